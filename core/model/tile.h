// A rectangle of a logical tensor, and where it lies in memory: the only bridge between names and addresses.
//
// ZeRO shards, tensor cuts, checkpoint slices, export, initialisation and per-tensor norms all speak in
// tiles.
#pragma once

#include <cstdint>

namespace edgetrain {

/// Half-open range of elements.
struct Range {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

/// Rows [row, row + rows) and columns [col, col + cols) of parameter `param`, dense and row-major at element
/// `at` of the memory that the tile belongs to.
struct Tile {
  int param = 0;
  std::int64_t row = 0, rows = 0;
  std::int64_t col = 0, cols = 0;
  std::int64_t at = 0;
  [[nodiscard]] std::int64_t numel() const { return rows * cols; }
  friend bool operator==(const Tile&, const Tile&) = default;
};

}  // namespace edgetrain
