// edgetrain inspect PATH: what a model folder, a safetensors file, a checkpoint or a data set holds. Reads,
// never writes.
#pragma once

#include <filesystem>
#include <string>

namespace edgetrain {

/// Tells by what lies there: manifest.json (a checkpoint), checkpoints or a run's folder with them,
/// config.json or *.safetensors (a model), text otherwise. Checkpoints are verified byte by byte. Errors:
/// JobError when the path is none of these; Error(data) when it is a damaged checkpoint; in a folder of them
/// a damaged one has its reason in its line.
[[nodiscard]] std::string inspect(const std::filesystem::path& path);

}  // namespace edgetrain
