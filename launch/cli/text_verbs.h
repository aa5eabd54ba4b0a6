// The verbs that only print or write text and need neither a job, nor MPI, nor a device: help, version,
// explain, init, docs, schema.
#pragma once

#include <iosfwd>
#include <span>
#include <string>

#include "launch/cli/command_line.h"

namespace edgetrain {

/// The text of --help.
[[nodiscard]] std::string help_text();

/// "edgetrain 0.1.0", then one line per feature of this build.
[[nodiscard]] std::string version_text(std::span<const std::string> features);

[[nodiscard]] bool is_text_verb(CommandVerb verb);

/// Runs such a verb. Throws JobError for a key that does not exist (with the nearest one) and for a file that
/// `init` would overwrite or cannot write.
void run_text_verb(const CommandLine& command, std::span<const std::string> features, std::ostream& out);

}  // namespace edgetrain
