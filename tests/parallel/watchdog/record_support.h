// A folder of flight records of an invented job, all written by this process.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "parallel/watchdog/flight_record.h"

namespace edgetrain::testing {

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("edgetrain-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// `size` ranks, all members of group "dp" (number 0).
class RecordedJob {
 public:
  RecordedJob(const std::string& name, int size) : folder_(name) {
    std::vector<int> all(static_cast<std::size_t>(size));
    std::iota(all.begin(), all.end(), 0);
    for (int rank = 0; rank < size; ++rank) {
      records_.push_back(std::make_unique<FlightRecord>(folder_.path(), rank, size));
      (void)records_.back()->add_group("dp", all);
    }
  }
  [[nodiscard]] FlightRecord& rank(int rank) { return *records_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] const std::filesystem::path& dir() const { return folder_.path(); }
  void close(int rank) { records_[static_cast<std::size_t>(rank)].reset(); }

 private:
  TemporaryFolder folder_;
  std::vector<std::unique_ptr<FlightRecord>> records_;
};

}  // namespace edgetrain::testing
