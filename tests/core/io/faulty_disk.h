// A Disk that goes wrong at its k-th call: with an error, with a short write, or as if the machine lost its
// power.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "core/io/disk.h"

namespace edgetrain::testing {

/// Thrown at the chosen call; no std::exception, so that no handler of ours takes it for an error.
struct PowerCut {};

class FaultyDisk final : public Disk {
 public:
  enum class Fault { none, error, power_cut };
  /// From call `at` (from 0) on the fault shows: -error_number from every call but removals, or one PowerCut,
  /// after which nothing reaches the disk and every call fails. Half of each file that was not flushed is
  /// lost then.
  FaultyDisk(Fault fault, int at, int error_number = ENOSPC) : fault_(fault), at_(at), error_(error_number) {}
  FaultyDisk() : FaultyDisk(Fault::none, 0) {}

  /// Every write takes at most this many bytes.
  std::size_t max_write = static_cast<std::size_t>(-1);
  /// exchange() answers -EINVAL, as on file systems that cannot.
  bool can_exchange = true;
  /// reserve() answers -EOPNOTSUPP.
  bool can_reserve = true;
  /// The power is gone.
  [[nodiscard]] bool dead() const { return dead_; }

  int open(const std::filesystem::path& path, int flags, mode_t mode) override {
    if (const int fault = step()) return fault;
    const int fd = disk_.open(path, flags, mode);
    if (fd >= 0) path_of_[fd] = path;
    if (fd >= 0 && (flags & O_CREAT) != 0) unflushed_.insert(path);
    return fd;
  }
  ssize_t write(int fd, std::span<const std::byte> bytes) override {
    // A fault in the middle of a write leaves half of it behind.
    const bool faulty = fault_ != Fault::none && calls_ == at_;
    const std::size_t count = std::min(faulty ? bytes.size() / 2 : bytes.size(), max_write);
    if (faulty && !dead_) (void)disk_.write(fd, bytes.first(count));
    if (const int fault = step()) return fault;
    unflushed_.insert(path_of_[fd]);
    return disk_.write(fd, bytes.first(count));
  }
  int reserve(int fd, off_t bytes) override {
    if (const int fault = step()) return fault;
    return can_reserve ? disk_.reserve(fd, bytes) : -EOPNOTSUPP;
  }
  int truncate(int fd, off_t bytes) override {
    if (const int fault = step()) return fault;
    return disk_.truncate(fd, bytes);
  }
  int fsync(int fd) override {
    if (const int fault = step()) return fault;
    unflushed_.erase(
        path_of_[fd]);  // what a real flush would do; it takes milliseconds, and there are thousands
    return 0;
  }
  int close(int fd) override {
    (void)disk_.close(fd);  // also when dead: the test process lives on
    return step(Cut::quietly);
  }
  int rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (const int fault = step()) return fault;
    moved(from, to);
    return disk_.rename(from, to);
  }
  int exchange(const std::filesystem::path& a, const std::filesystem::path& b) override {
    if (const int fault = step()) return fault;
    if (!can_exchange) return -EINVAL;
    moved(a, b);  // b, which was there before, is flushed
    return disk_.exchange(a, b);
  }
  int make_folder(const std::filesystem::path& path, mode_t mode) override {
    if (const int fault = step()) return fault;
    return disk_.make_folder(path, mode);
  }
  // A full disk still removes.
  int remove_file(const std::filesystem::path& path) override {
    if (fault_ == Fault::power_cut && step(Cut::quietly) != 0) return -EIO;
    return disk_.remove_file(path);
  }
  int remove_folder(const std::filesystem::path& path) override {
    if (fault_ == Fault::power_cut && step(Cut::quietly) != 0) return -EIO;
    return disk_.remove_folder(path);
  }

 private:
  enum class Cut { by_exception, quietly };  // quietly: called from destructors and other noexcept code
  int step(Cut cut = Cut::by_exception) {
    if (dead_) return -EIO;
    const int call = calls_++;
    if (fault_ == Fault::none || call < at_) return 0;
    if (fault_ == Fault::error) return -error_;
    dead_ = true;
    lose_what_was_not_flushed();
    if (cut == Cut::quietly) return -EIO;
    throw PowerCut{};
  }
  void lose_what_was_not_flushed() {
    for (const auto& path : unflushed_) {
      std::error_code ignored;
      std::filesystem::resize_file(path, std::filesystem::file_size(path, ignored) / 2, ignored);
    }
  }
  void moved(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::set<std::filesystem::path> paths;
    for (const auto& path : unflushed_) {
      const bool inside = path == from || path.parent_path() == from;
      paths.insert(!inside ? path : path == from ? to : to / path.filename());
    }
    unflushed_ = std::move(paths);
  }
  Disk& disk_ = system_disk();
  Fault fault_;
  int at_, error_;
  int calls_ = 0;
  bool dead_ = false;
  std::map<int, std::filesystem::path> path_of_;
  std::set<std::filesystem::path> unflushed_;
};

}  // namespace edgetrain::testing
