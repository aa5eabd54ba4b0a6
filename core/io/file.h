// Files that are written durably or not at all, and files that are read with suspicion.
//
// Why not std::ofstream: on a full disk write(2) returned a part, then ENOSPC, and close() returned 0; a
// stream hides all three. Why pread and no mmap: a file that is cut short while it is mapped kills the
// process with SIGBUS, and a mapping would count against no budget. Names the path, the system's words and
// what to do in every error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/io/disk.h"

namespace edgetrain {

/// A file under construction. Appends only. Move-only; an unfinished one is closed, not removed, on
/// destruction. Errors: Error(resource).
class FileWriter {
 public:
  /// Creates `path`, which must not exist; the mode is 0666 less the umask.
  FileWriter(std::filesystem::path path, Disk& disk);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  /// Reserves blocks for a file of `bytes`, so that a full disk shows now. No promise where the file system
  /// cannot.
  void reserve(std::int64_t bytes);
  /// Writes all of it.
  void append(std::span<const std::byte> bytes);
  /// Makes the content durable and closes. The name is durable only after sync_folder() of its folder.
  void finish();
  /// Bytes appended so far.
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  [[noreturn]] void fail(std::string_view what, int error) const;
  std::filesystem::path path_;
  Disk* disk_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

/// Makes the entries of a folder (created, renamed, removed names) durable. Error(resource).
void sync_folder(const std::filesystem::path& folder, Disk& disk = system_disk());

/// rename(2): atomic for every other process, durable after sync_folder(). Error(resource).
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, Disk& disk);

/// Creates `folder` and its missing parents; one that exists is fine. Error(resource) if a file is in the
/// way.
void make_folders(const std::filesystem::path& folder, Disk& disk = system_disk());

/// `path` holds either what it held before or all of `bytes`, after a kill at any instant; its mode follows
/// the umask. A file `<name>.tmp-<pid>` beside it may be left by a kill. Error(resource); the temporary file
/// is removed then.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                           Disk& disk = system_disk());

/// Whether the last component of a path may be a symbolic link. `refuse` is for names that came out of a
/// file.
enum class Symlinks : std::uint8_t { follow, refuse };

/// A regular file, open for reading. Move-only. Errors: Error(data) where the file is not what it should be
/// (missing, no regular file, too short), Error(resource) where the system fails.
class FileReader {
 public:
  explicit FileReader(std::filesystem::path path, Symlinks symlinks = Symlinks::follow);
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&& other) noexcept;
  ~FileReader();

  /// Size when it was opened.
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Fills all of `out` from `offset` on, or throws.
  void read_at(std::int64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

/// The whole of a file of at most `max_bytes`; the size is checked before anything is allocated.
[[nodiscard]] std::string read_whole_file(const std::filesystem::path& path, std::int64_t max_bytes,
                                          Symlinks symlinks = Symlinks::follow);

}  // namespace edgetrain
