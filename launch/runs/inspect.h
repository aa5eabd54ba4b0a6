// edgetrain inspect PATH: what a model folder, a safetensors file, a checkpoint or a data set holds. Reads,
// never writes.
#pragma once

#include <filesystem>
#include <string>

namespace edgetrain {

/// Tells by what lies there: manifest.json (a checkpoint, or a folder of them), config.json or *.safetensors
/// (a model), text otherwise. A checkpoint is verified byte by byte. Errors: JobError when the path is none
/// of these; Error(data) when it is damaged.
[[nodiscard]] std::string inspect(const std::filesystem::path& path);

}  // namespace edgetrain
