#include "launch/job/write.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "launch/job/schema.h"

namespace edgetrain {
namespace {

// A comment must not end its line early.
std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::string line(const Key& key, const std::string& value, const std::string& comment, bool is_live) {
  const std::string indent = key.section.empty() ? "" : "  ";
  const std::string entry = fmt::format("{}{}{}: {}", indent, is_live ? "" : "# ", key.name, value);
  return comment.empty() ? entry + "\n" : fmt::format("{:<44}  # {}\n", entry, one_line(comment));
}

template <typename Line>
std::string by_section(const Line& line_of) {
  std::string text;
  for (const auto& section : sections()) {
    if (!section.name.empty()) text += fmt::format("{}:\n", section.name);
    for (const auto& key : schema()) {
      if (key.section == section.name) text += line_of(key);
    }
  }
  return text;
}

// What `init` writes where the default is no good start.
const std::map<std::string, std::string, std::less<>>& starter_values() {
  static const std::map<std::string, std::string, std::less<>> values = {{"model.preset", "llama-tiny"},
                                                                         {"data.path", "[data/austen]"}};
  return values;
}

std::string starter_line(const Key& key) {
  const auto special = starter_values().find(key.full_name());
  const std::string value = special != starter_values().end() ? special->second : to_yaml(key.get(Job{}));
  return line(key, value, key.doc, key.is_starter);
}

}  // namespace

std::string write_resolved_yaml(const ResolvedJob& resolved) {
  std::map<std::string, std::string> reasons;
  for (const auto& decision : resolved.decisions) reasons[decision.key] = decision.reason;
  return "# What this run did, with every key. `edgetrain` runs this file unchanged.\n" +
         by_section([&](const Key& key) {
           return line(key, to_yaml(key.get(resolved.job)), reasons[key.full_name()], true);
         });
}

std::string write_starter_yaml() {
  return "# A job for edgetrain. Run it:    mpirun -np 2 edgetrain job.yaml\n"
         "# Change a key for one run:      edgetrain job.yaml train.steps=50\n"
         "# What a key means:              edgetrain explain train.steps\n"
         "# Commented keys show their defaults.\n" +
         by_section(starter_line);
}

}  // namespace edgetrain
