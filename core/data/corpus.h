// Text files as one stream of tokens, read where and when they are needed.
//
// Why pread and not mmap: a file that is truncated while it is mapped kills the process with SIGBUS; with
// pread it is an error that names the file. A sample is one small read, so the copy does not show. One
// end-of-document id stands between two files, none after the last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/data/files.h"

namespace edgetrain {

/// Not thread-safe: keeps a few files open between reads.
class Corpus {
 public:
  /// files: in stream order, not empty. end_of_document: absent when the vocabulary has no room for it.
  Corpus(std::vector<DataFile> files, std::optional<std::int32_t> end_of_document);
  Corpus(Corpus&&) noexcept;
  Corpus& operator=(Corpus&&) noexcept;
  ~Corpus();

  [[nodiscard]] std::int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] std::span<const DataFile> files() const { return files_; }
  [[nodiscard]] std::optional<std::int32_t> end_of_document() const { return end_of_document_; }

  /// out[i] = token begin + i; the range lies within [0, num_tokens()).
  /// Errors: Error(data) naming the file when it cannot be read or has become shorter since it was listed.
  void tokens(std::int64_t begin, std::span<std::int32_t> out) const;

  /// First tokens of the documents that begin within [begin, begin + count), ascending. The end-of-document
  /// id belongs to the document that it ends.
  [[nodiscard]] std::vector<std::int64_t> document_starts(std::int64_t begin, std::int64_t count) const;

 private:
  class OpenFiles;
  [[nodiscard]] std::size_t file_of(std::int64_t token) const;

  std::vector<DataFile> files_;
  std::vector<std::int64_t> starts_;  // first token of each file
  std::optional<std::int32_t> end_of_document_;
  std::int64_t num_tokens_ = 0;
  std::unique_ptr<OpenFiles> open_files_;
};

}  // namespace edgetrain
