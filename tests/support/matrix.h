// A tensor read into doubles, and doubles rounded back into a tensor: the arithmetic of every oracle.
//
// Why a copy and not accessors: an oracle that reads all its inputs before it writes anything is right for
// every legal overlap of inputs and outputs, so in-place calls need no second code path.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor/tensor.h"

namespace edgetrain::testing {

struct Matrix {
  std::int64_t rows = 0, cols = 0;
  std::vector<double> values;

  Matrix(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  [[nodiscard]] double* operator[](std::int64_t r) { return values.data() + r * cols; }
  [[nodiscard]] const double* operator[](std::int64_t r) const { return values.data() + r * cols; }
};

/// Element (r, c) as a double; every dtype, integers up to 2^53 exactly.
[[nodiscard]] double element(const Tensor& tensor, std::int64_t r, std::int64_t c);
/// Rounds once, to nearest even; integers must be representable.
void set_element(const Tensor& tensor, std::int64_t r, std::int64_t c, double value);

[[nodiscard]] Matrix read(const Tensor& tensor);
/// Shapes must agree.
void write(const Matrix& values, const Tensor& tensor);
/// tensor = beta * tensor + values, summed in double; beta 0 does not read what was there.
void accumulate(const Matrix& values, const Tensor& tensor, double beta);

}  // namespace edgetrain::testing
