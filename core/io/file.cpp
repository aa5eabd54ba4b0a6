#include "core/io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace edgetrain {
namespace {

// EINTR is normal when a signal (SIGUSR1) arrives, so it is retried without a bound.
template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result == -EINTR) result = call();
  return result;
}

std::string_view advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free space there, or choose another folder";
    case EACCES:
    case EPERM:
      return "; give this user the permission, or choose another folder";
    case EROFS:
      return "; the file system is read-only: choose another folder";
    case EIO:
      return "; the disk or the network file system failed: check the system log";
    case ENAMETOOLONG:
      return "; choose a shorter path";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files (ulimit -n)";
    case EEXIST:
      return "; remove it, or choose another path";
    case ENOTDIR:
      return "; a part of the path is a file";
    default:
      return "";
  }
}

std::string system_message(std::string_view what, const std::filesystem::path& path, int error) {
  return fmt::format("cannot {} {}: {}{}", what, path.string(), std::generic_category().message(error),
                     advice(error));
}

[[noreturn]] void throw_system(std::string_view what, const std::filesystem::path& path, int error) {
  throw Error(ErrorClass::resource, system_message(what, path, error));
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const auto parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

}  // namespace

// ---- FileWriter
// ------------------------------------------------------------------------------------------------

FileWriter::FileWriter(std::filesystem::path path, Disk& disk) : path_(std::move(path)), disk_(&disk) {
  fd_ = retried([&] { return disk.open(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666); });
  if (fd_ < 0) throw_system("create", path_, -fd_);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      disk_(other.disk_),
      fd_(std::exchange(other.fd_, -1)),
      size_(std::exchange(other.size_, 0)) {}

FileWriter::~FileWriter() {
  if (fd_ >= 0) (void)disk_->close(fd_);  // unfinished: nobody relies on it
}

void FileWriter::fail(std::string_view what, int error) const {
  throw Error(ErrorClass::resource,
              fmt::format("{} (after {} bytes)", system_message(what, path_, error), size_));
}

void FileWriter::reserve(std::int64_t bytes) {
  if (bytes <= size_) return;
  const int result = retried([&] { return disk_->reserve(fd_, bytes); });
  if (result < 0 && result != -EOPNOTSUPP) fail(fmt::format("reserve {} bytes for", bytes), -result);
}

void FileWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = retried([&] { return disk_->write(fd_, bytes); });
    if (written < 0) fail("write", static_cast<int>(-written));
    if (written == 0) fail("write", EIO);  // no progress and no reason: never loop on it
    size_ += written;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void FileWriter::finish() {
  // Gives back what was reserved past the end.
  if (const int result = retried([&] { return disk_->truncate(fd_, size_); }); result < 0)
    fail("cut", -result);
  // Never retried: after a failed fsync the kernel may have dropped the pages and would report success.
  if (const int result = disk_->fsync(fd_); result < 0) fail("flush", -result);
  const int result = disk_->close(std::exchange(fd_, -1));
  if (result < 0 && result != -EINTR) fail("close", -result);
}

// ---- folders
// ---------------------------------------------------------------------------------------------------

void sync_folder(const std::filesystem::path& folder, Disk& disk) {
  const int fd = retried([&] { return disk.open(folder, O_RDONLY | O_DIRECTORY, 0); });
  if (fd < 0) throw_system("open the folder", folder, -fd);
  const int synced = disk.fsync(fd);
  (void)disk.close(fd);
  // Some network file systems have no fsync for folders and say EINVAL; their renames are durable at the
  // server.
  if (synced < 0 && synced != -EINVAL) throw_system("flush the folder", folder, -synced);
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, Disk& disk) {
  const int result = retried([&] { return disk.rename(from, to); });
  if (result < 0) throw_system(fmt::format("rename {} to", from.string()), to, -result);
}

void make_folders(const std::filesystem::path& folder, Disk& disk) {
  if (folder.empty() || is_folder(folder)) return;
  make_folders(folder.parent_path(), disk);
  const int result = retried([&] { return disk.make_folder(folder, 0777); });
  if (result == 0) return sync_folder(folder_of(folder), disk);
  if (result == -EEXIST && is_folder(folder)) return;  // another rank was faster
  throw_system("create the folder", folder, -result);
}

// ---- write_file_atomically
// -------------------------------------------------------------------------------------

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes, Disk& disk) {
  auto temporary = path;
  temporary += fmt::format(".tmp-{}", ::getpid());
  (void)disk.remove_file(temporary);  // of an earlier process that was killed and had the same id
  try {
    FileWriter file(temporary, disk);
    file.reserve(static_cast<std::int64_t>(bytes.size()));
    file.append(std::as_bytes(std::span(bytes)));
    file.finish();
    rename_path(temporary, path, disk);
  } catch (const Error&) {
    (void)disk.remove_file(temporary);
    throw;
  }
  sync_folder(folder_of(path), disk);
}

// ---- FileReader
// ------------------------------------------------------------------------------------------------

FileReader::FileReader(std::filesystem::path path, Symlinks symlinks) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer. It changes nothing for regular files.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (symlinks == Symlinks::refuse ? O_NOFOLLOW : 0);
  fd_ = retried([&] {
    const int fd = ::open(path_.c_str(), flags);
    return fd < 0 ? -errno : fd;
  });
  if (fd_ == -ELOOP && symlinks == Symlinks::refuse) {
    throw Error(ErrorClass::data,
                fmt::format("{} is a symbolic link, which is not followed here: put a copy of the "
                            "file in its place (cp -L)",
                            path_.string()));
  }
  if (fd_ == -ENOENT || fd_ == -ENOTDIR) {
    throw Error(ErrorClass::data, fmt::format("{} does not exist", path_.string()));
  }
  if (fd_ < 0) throw_system("open", path_, -fd_);
  struct stat status {};
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    throw Error(ErrorClass::data, fmt::format("{} is not a regular file", path_.string()));
  }
  size_ = status.st_size;
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(std::exchange(other.size_, 0)) {}

FileReader& FileReader::operator=(FileReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

FileReader::~FileReader() {
  if (fd_ >= 0) ::close(fd_);
}

void FileReader::read_at(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_system(fmt::format("read at byte {} of", offset), path_, errno);
    if (got == 0) {
      throw Error(ErrorClass::data, fmt::format("{} ends at byte {}, {} bytes too early: it is cut short",
                                                path_.string(), offset, out.size()));
    }
    offset += got;
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::string read_whole_file(const std::filesystem::path& path, std::int64_t max_bytes, Symlinks symlinks) {
  const FileReader file(path, symlinks);
  if (file.size() > max_bytes) {
    throw Error(ErrorClass::data,
                fmt::format("{} has {} bytes; at most {} are read", path.string(), file.size(), max_bytes));
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace edgetrain
