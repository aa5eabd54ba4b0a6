// The system calls that change a disk, behind one small interface.
//
// Why an interface: a checkpoint must survive a full disk, a short write and a kill between any two of these
// calls. Tests put a Disk of their own here that fails, cuts short or stops at call k, for every k. Rejected:
// #ifdef hooks (the tested code would not be the shipped code) and LD_PRELOAD (per process, not per rank).
// Reading is not here: it cannot damage a checkpoint, and what it returns is hashed anyway.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>

namespace edgetrain {

/// Every call returns its result or -errno, retries nothing and throws nothing.
class Disk {
 public:
  virtual ~Disk() = default;
  [[nodiscard]] virtual int open(const std::filesystem::path& path, int flags, mode_t mode) = 0;
  /// May write less than was asked, as write(2) may.
  [[nodiscard]] virtual ssize_t write(int fd, std::span<const std::byte> bytes) = 0;
  /// Reserves blocks for [0, bytes) without changing the file's size.
  [[nodiscard]] virtual int reserve(int fd, off_t bytes) = 0;
  [[nodiscard]] virtual int truncate(int fd, off_t bytes) = 0;
  [[nodiscard]] virtual int fsync(int fd) = 0;
  [[nodiscard]] virtual int close(int fd) = 0;
  [[nodiscard]] virtual int rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// Swaps two existing paths in one step; -EINVAL where the file system cannot.
  [[nodiscard]] virtual int exchange(const std::filesystem::path& a, const std::filesystem::path& b) = 0;
  [[nodiscard]] virtual int make_folder(const std::filesystem::path& path, mode_t mode) = 0;
  [[nodiscard]] virtual int remove_file(const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual int remove_folder(const std::filesystem::path& path) = 0;
};

/// The real one. Stateless.
[[nodiscard]] Disk& system_disk();

}  // namespace edgetrain
