// What is wrong with a job, and where: the one form of every message about a job.
//
// Why a list and not an exception: a person who wrote three mistakes wants to read about three mistakes.
// Parsing and checking collect problems; only the caller at the very top stops.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace edgetrain {

struct Source;

/// A place in a source. Lines and columns count from 1, columns in bytes. Line 0: the source as a whole;
/// column 0: a line that cannot be shown (it holds no text).
struct Location {
  std::shared_ptr<const Source> source;
  std::size_t line = 0;
  std::size_t column = 0;
  std::size_t length = 1;  // bytes to underline
};

/// A text that a job was read from: a file, or one argument of the command line.
struct Source {
  std::string name;          // as people know it: "configs/austen.yaml", "command line, argument 3"
  std::string text;          // UTF-8
  bool is_file = true;       // an argument has no line numbers worth printing
  Location extended_from{};  // the `extends:` that named this file, if one did
  [[nodiscard]] std::string_view line(std::size_t number) const;
};

struct Problem {
  Location at;
  std::string message;
  std::string hint;  // what to do about it; may be empty
};

/// "job.yaml:14:3: error: message", the line, a caret under it, and the hint. Ends in a newline.
[[nodiscard]] std::string format(const Problem& problem);

/// All problems in the order of their places, then one line that counts them.
[[nodiscard]] std::string format(std::span<const Problem> problems);

}  // namespace edgetrain
