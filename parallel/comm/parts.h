// How a message is cut: n elements in N parts, one per rank; the only arithmetic of that kind in the
// collectives.
#pragma once

#include <cstdint>

namespace edgetrain {

/// Elements [begin, end).
struct PartRange {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t count() const { return end - begin; }
};

/// Part `index` of `elements` over `parts`: contiguous, in order, sizes differ by at most one. Where parts
/// divides elements (reduce_scatter, all_gather) all are equal.
[[nodiscard]] constexpr PartRange part_of(std::int64_t elements, int parts, int index) {
  const std::int64_t base = elements / parts;
  const std::int64_t rest = elements % parts;
  const std::int64_t begin = base * index + (index < rest ? index : rest);
  return {begin, begin + base + (index < rest ? 1 : 0)};
}

/// Segment `index` of `part` in pieces of `piece` elements; empty past the end.
[[nodiscard]] constexpr PartRange segment_of(PartRange part, std::int64_t piece, std::int64_t index) {
  const std::int64_t begin = part.begin + index * piece;
  if (begin >= part.end) return {part.end, part.end};
  return {begin, begin + piece < part.end ? begin + piece : part.end};
}

/// How many pieces cover `elements`.
[[nodiscard]] constexpr std::int64_t pieces(std::int64_t elements, std::int64_t piece) {
  return (elements + piece - 1) / piece;
}

}  // namespace edgetrain
