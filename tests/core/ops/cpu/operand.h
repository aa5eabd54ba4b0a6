// An operand of a test: a matrix with gaps between its rows, every byte around its elements a sentinel.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "core/tensor/tensor.h"

namespace edgetrain::testing {

/// Copies are deep; tensor() borrows.
class Operand {
 public:
  /// Row stride cols + gap. Elements start as NaN (or the sentinel, for integers): reading one that was never
  /// written shows.
  Operand(Dtype dtype, std::int64_t rows, std::int64_t cols, std::int64_t gap = 0);
  /// The absent operand.
  Operand() = default;

  [[nodiscard]] Tensor tensor();
  /// Uniform in [low, high), rounded to the dtype.
  Operand& uniform(std::mt19937_64& random, double low, double high);
  /// Uniform in [low, high), integers.
  Operand& integers(std::mt19937_64& random, std::int64_t low, std::int64_t high);
  Operand& constant(double value);
  /// Every byte outside the elements is still a sentinel.
  [[nodiscard]] bool guards_intact() const;
  /// Elements and guards.
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  [[nodiscard]] std::size_t begin_of(std::int64_t row) const;
  Dtype dtype_ = Dtype::f32;
  std::int64_t rows_ = 0, cols_ = 0, stride_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace edgetrain::testing
