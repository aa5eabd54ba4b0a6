// Appending to a log that must not end in half a record because a write was short or interrupted.
#pragma once

#include <filesystem>
#include <string_view>

namespace edgetrain {

/// Writes all of `bytes` to the file descriptor. Errors: Error(resource) naming `path`.
void append_all(int file, std::string_view bytes, const std::filesystem::path& path);

}  // namespace edgetrain
