// std::source_location for clang 14, which is what Debian 12 has for libFuzzer.
//
// Why: clang got __builtin_source_location in version 15, and libstdc++ 12 hides <source_location> from
// compilers without it. The older builtins give the same file and line. cmake/EdgetrainTargets.cmake includes
// this file in front of every source, for clang below 15 only; nothing includes it by name.
#pragma once

#include <cstdint>

namespace std {  // NOLINT(cert-dcl58-cpp): it stands in for the one that is missing

struct source_location {
  static constexpr source_location current(const char* file = __builtin_FILE(),
                                           const char* function = __builtin_FUNCTION(),
                                           std::uint_least32_t line = __builtin_LINE()) noexcept {
    return {file, function, line};
  }
  [[nodiscard]] constexpr const char* file_name() const noexcept { return file_; }
  [[nodiscard]] constexpr const char* function_name() const noexcept { return function_; }
  [[nodiscard]] constexpr std::uint_least32_t line() const noexcept { return line_; }

  const char* file_ = "";
  const char* function_ = "";
  std::uint_least32_t line_ = 0;
};

}  // namespace std
