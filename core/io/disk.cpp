#include "core/io/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace edgetrain {
namespace {

template <typename Result>
Result or_errno(Result result) {
  return result < 0 ? static_cast<Result>(-errno) : result;
}

class SystemDisk final : public Disk {
 public:
  int open(const std::filesystem::path& path, int flags, mode_t mode) override {
    return or_errno(::open(path.c_str(), flags | O_CLOEXEC, mode));
  }
  ssize_t write(int fd, std::span<const std::byte> bytes) override {
    return or_errno(::write(fd, bytes.data(), bytes.size()));
  }
  // Not posix_fallocate: where the file system cannot reserve, glibc emulates it by writing into every block.
  int reserve(int fd, off_t bytes) override {
    return or_errno(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes));
  }
  int truncate(int fd, off_t bytes) override { return or_errno(::ftruncate(fd, bytes)); }
  int fsync(int fd) override { return or_errno(::fsync(fd)); }
  int close(int fd) override { return or_errno(::close(fd)); }
  int rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    return or_errno(::rename(from.c_str(), to.c_str()));
  }
  int exchange(const std::filesystem::path& a, const std::filesystem::path& b) override {
    return or_errno(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE));
  }
  int make_folder(const std::filesystem::path& path, mode_t mode) override {
    return or_errno(::mkdir(path.c_str(), mode));
  }
  int remove_file(const std::filesystem::path& path) override { return or_errno(::unlink(path.c_str())); }
  int remove_folder(const std::filesystem::path& path) override { return or_errno(::rmdir(path.c_str())); }
};

}  // namespace

Disk& system_disk() {
  static SystemDisk disk;
  return disk;
}

}  // namespace edgetrain
