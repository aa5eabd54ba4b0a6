// The model that a job names: a folder, a preset, or fields of config.json written into the job.
#pragma once

#include <string>
#include <vector>

#include "core/model/config.h"
#include "launch/job/parse.h"

namespace edgetrain {

/// What is wrong with an inline `model.config`, each at the field in the job that says it, or at its section
/// where a field is missing. None without an inline one. A key that nobody has heard of is wrong here:
/// whoever writes a job means it. In a config.json it is a warning, since new releases add harmless ones.
[[nodiscard]] std::vector<Problem> check_inline_model(const ParsedJob& parsed);

/// Reads the model of a job that check() and check_inline_model() found right; appends lines to `warnings`.
/// Errors: Error(data) when the config.json of model.path is wrong.
[[nodiscard]] ModelConfig chosen_model(const ModelSelection& selection, std::vector<std::string>& warnings);

}  // namespace edgetrain
