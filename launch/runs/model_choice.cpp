#include "launch/runs/model_choice.h"

#include <fmt/format.h>

#include "core/model/hf_config.h"
#include "core/model/presets.h"
#include "launch/job/suggest.h"

namespace edgetrain {
namespace {

constexpr std::string_view kInline = "model.config";

// The value of the field; for one that is not there, the key of the innermost object that should have it.
Location place_in(const ParsedJob& parsed, std::string_view key) {
  std::string name = fmt::format("{}.{}", kInline, key);
  if (parsed.is_written(name)) return parsed.place_of(name);
  while (name.size() > kInline.size() && !parsed.is_written(name)) name.resize(name.rfind('.'));
  const auto found = parsed.written.find(name);
  return found == parsed.written.end() ? parsed.place_of(name) : found->second.key;
}

}  // namespace

std::vector<Problem> check_inline_model(const ParsedJob& parsed) {
  std::vector<Problem> problems;
  const std::string& json = parsed.job.model.config.json;
  if (json.empty()) return problems;
  const HfConfig config = parse_hf_config(json, kInline);
  for (const auto& problem : config.problems) {
    problems.push_back({place_in(parsed, problem.key),
                        fmt::format("'{}.{}' {}", kInline, problem.key, problem.message), ""});
  }
  for (const auto& key : config.unknown) {
    const std::string meant = nearest(key, config.read);
    problems.push_back({place_in(parsed, key), fmt::format("unknown key '{}' in '{}'", key, kInline),
                        meant.empty() ? "" : fmt::format("did you mean '{}'?", meant)});
  }
  return problems;
}

ModelConfig chosen_model(const ModelSelection& selection, std::vector<std::string>& warnings) {
  if (!selection.path.empty()) return load_hf_config(selection.path, warnings);
  if (!selection.preset.empty()) return model_presets().at(selection.preset);
  return model_config_from_inline(selection.config.json, kInline, warnings);
}

}  // namespace edgetrain
