// Jobs for tests: a folder that exists for one test, and the smallest job that is right.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "launch/job/parse.h"

namespace edgetrain::testing {

/// A fresh folder, removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "edgetrain-job-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no folder for the test";
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  /// Writes a file below the folder, with the folders above it.
  std::string write(const std::string& name, std::string_view text) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Arguments as the command line numbers them: the first override behind `edgetrain job.yaml` is argument 2.
inline std::vector<Override> overrides(const std::vector<std::string>& texts) {
  std::vector<Override> list;
  for (const auto& text : texts) list.push_back({text, static_cast<int>(list.size()) + 2});
  return list;
}

inline ParsedJob parse(std::string text, const std::vector<std::string>& changes = {}) {
  const auto list = overrides(changes);
  return parse_job_text(std::move(text), "job.yaml", list);
}

/// Right in every way but that data/austen need not exist where the test runs.
inline constexpr const char* kMinimal =
    "model: {preset: llama-tiny}\n"
    "data: {path: [data/austen]}\n";

/// All problems of a text as they are printed.
inline std::string errors(std::string text, const std::vector<std::string>& changes = {}) {
  return format(parse(std::move(text), changes).problems);
}

/// The problems of the minimal job with one more line in it.
inline std::string errors_with(const std::string& line) { return errors(std::string(kMinimal) + line); }

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace edgetrain::testing

#define EXPECT_CONTAINS(text, part) EXPECT_TRUE(edgetrain::testing::contains(text, part)) << (text)
