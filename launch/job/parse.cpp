#include "launch/job/parse.h"

#include <filesystem>

#include "launch/job/layers.h"

namespace edgetrain {
namespace {

void parse_source(ParsedJob& parsed, std::span<const Override> overrides) {
  YamlNode root = load_layers(parsed.source, parsed.problems);
  // A file that is no job has one problem; listing every key that it lacks would hide it.
  const bool is_readable = parsed.problems.empty() || !root.entries.empty();
  for (const auto& change : overrides) apply_override(change, root, parsed.problems);
  if (is_readable) bind(root, parsed.job, parsed.written, parsed.problems);
}

}  // namespace

Location ParsedJob::place_of(std::string_view full_name) const {
  const auto found = written.find(full_name);
  return found == written.end() ? Location{source, 0, 0, 1} : found->second.value;
}

ParsedJob parse_job_file(const std::string& path, std::span<const Override> overrides) {
  ParsedJob parsed;
  parsed.name = std::filesystem::path(path).stem().string();
  parsed.source = read_job_file(path, {}, parsed.problems);
  if (parsed.source) parse_source(parsed, overrides);
  return parsed;
}

ParsedJob parse_job_text(std::string text, const std::string& name, std::span<const Override> overrides) {
  ParsedJob parsed;
  parsed.name = std::filesystem::path(name).stem().string();
  auto source = std::make_shared<Source>();
  source->name = name;
  source->text = std::move(text);
  parsed.source = std::move(source);
  parse_source(parsed, overrides);
  return parsed;
}

}  // namespace edgetrain
