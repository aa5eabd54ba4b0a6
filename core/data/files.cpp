#include "core/data/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"

namespace edgetrain {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().native().starts_with('.'); }

// A permission bit can lie (root, ACLs, network file systems); opening the file is the only proof. Only
// regular files come here, so the open cannot hang as it would on a pipe.
int open_error(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  ::close(fd);
  return 0;
}

class Expansion {
 public:
  void add(const fs::path& path) {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (fs::is_directory(status)) {
      add_folder(path);
    } else if (status.type() == fs::file_type::not_found) {
      problem(path, "no such file or folder");
    } else if (error) {
      problem(path, error.message());
    } else {
      add_file(path, status);
    }
  }

  std::vector<DataFile> finish() {
    std::sort(files_.begin(), files_.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    for (std::size_t i = 1; i < files_.size(); ++i) {
      if (files_[i].path == files_[i - 1].path) problem(files_[i].path, "is named twice");
    }
    if (files_.empty() && problems_.empty()) problems_ = "data.path: names no file";
    if (!problems_.empty()) throw JobError(problems_);
    return std::move(files_);
  }

 private:
  void problem(const fs::path& path, std::string_view what) {
    if (!problems_.empty()) problems_ += '\n';
    problems_ += fmt::format("data.path: {}: {}", path.native(), what);
  }

  void add_file(const fs::path& path, const fs::file_status& status) {
    if (!fs::is_regular_file(status)) return problem(path, "is neither a regular file nor a folder");
    if (const int code = open_error(path); code != 0) return problem(path, std::strerror(code));
    std::error_code error;
    const auto bytes = fs::file_size(path, error);
    if (error) return problem(path, error.message());
    if (bytes == 0) return problem(path, "is empty");
    files_.push_back({path.lexically_normal().native(), static_cast<std::int64_t>(bytes)});
  }

  void add_folder(const fs::path& folder) {
    const auto files_before = files_.size();
    const auto problems_before = problems_.size();
    walk(folder);
    if (files_.size() == files_before && problems_.size() == problems_before) {
      problem(folder, "has no *.txt file");
    }
  }

  void walk(const fs::path& folder) {
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, error), end;
    while (!error && entry != end) {
      visit(entry);
      entry.increment(error);
    }
    if (error) problem(folder, error.message());
  }

  void visit(fs::recursive_directory_iterator& entry) {
    const fs::path& path = entry->path();
    std::error_code error;
    const auto status = entry->status(error);
    if (is_hidden(path)) {
      entry.disable_recursion_pending();
    } else if (fs::is_directory(status)) {
      if (entry->is_symlink()) problem(path, "is a link to a folder: name its target in data.path instead");
    } else if (path.extension() == ".txt") {
      add(path);
    }
  }

  std::vector<DataFile> files_;
  std::string problems_;
};

}  // namespace

std::vector<DataFile> expand_data_paths(std::span<const std::string> paths) {
  Expansion expansion;
  for (const auto& path : paths) expansion.add(path);
  return expansion.finish();
}

}  // namespace edgetrain
