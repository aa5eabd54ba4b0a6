// data.path -> the list of text files that make up the corpus.
//
// Every rank and every run must see the same list: it is sorted by path bytes, never by what the file system
// returns. All problems are collected into one error, because nobody wants to fix a list of 40 paths one run
// at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace edgetrain {

struct DataFile {
  std::string path;        // as the user wrote it, or the folder as written + "/" + the rest
  std::int64_t bytes = 0;  // when it was listed; at least 1
};

/// Files are taken whatever their name. Folders contribute every *.txt below them, at any depth; names that
/// begin with a dot are skipped, file or folder, and so is any other extension (a README beside the text is
/// not text to learn). A link to a folder inside a folder is refused rather than followed (loops) or skipped
/// (silence). Result: bytewise order of paths, at least one file, no path twice. Errors: JobError with every
/// problem: missing, empty, unreadable, neither file nor folder (pipe, device, socket), folder without *.txt,
/// path named twice.
[[nodiscard]] std::vector<DataFile> expand_data_paths(std::span<const std::string> paths);

}  // namespace edgetrain
