// A folder of files that is gone when the test ends.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace edgetrain::testing {

class TextFolder {
 public:
  TextFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "edgetrain_data_XXXXXX").native();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  TextFolder(const TextFolder&) = delete;
  TextFolder& operator=(const TextFolder&) = delete;
  ~TextFolder() { std::filesystem::remove_all(path_); }

  /// Writes a file, making its folders; returns its path.
  std::string write(std::string_view name, std::string_view text) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.native();
  }
  [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).native(); }
  [[nodiscard]] std::string path() const { return path_.native(); }

 private:
  std::filesystem::path path_;
};

}  // namespace edgetrain::testing
