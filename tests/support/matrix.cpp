#include "tests/support/matrix.h"

#include <bit>
#include <cmath>

#include "core/tensor/bf16.h"

namespace edgetrain::testing {
namespace {

/// Round to odd: an inexact result gets its last bit set, so that a second rounding to fewer bits is as if
/// from double.
float float_to_odd(double value) {
  auto rounded = static_cast<float>(value);
  if (!std::isfinite(rounded) || static_cast<double>(rounded) == value) return rounded;
  if (std::abs(static_cast<double>(rounded)) > std::abs(value)) rounded = std::nextafter(rounded, 0.0F);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(rounded) | 1U);
}

}  // namespace

double element(const Tensor& tensor, std::int64_t r, std::int64_t c) {
  switch (tensor.dtype) {
    case Dtype::f32:
      return static_cast<double>(tensor.row<float>(r)[c]);
    case Dtype::bf16:
      return static_cast<double>(float_from_bf16(tensor.row<std::uint16_t>(r)[c]));
    case Dtype::f16:
      return static_cast<double>(float_from_f16(tensor.row<std::uint16_t>(r)[c]));
    case Dtype::f64:
      return tensor.row<double>(r)[c];
    case Dtype::i32:
      return static_cast<double>(tensor.row<std::int32_t>(r)[c]);
    case Dtype::i64:
      return static_cast<double>(tensor.row<std::int64_t>(r)[c]);
    case Dtype::u8:
      return static_cast<double>(tensor.row<std::uint8_t>(r)[c]);
  }
  return 0.0;
}

void set_element(const Tensor& tensor, std::int64_t r, std::int64_t c, double value) {
  switch (tensor.dtype) {
    case Dtype::f32:
      tensor.row<float>(r)[c] = static_cast<float>(value);
      return;
    case Dtype::bf16:
      tensor.row<std::uint16_t>(r)[c] = bf16_from_float(float_to_odd(value));
      return;
    case Dtype::f16:
      tensor.row<std::uint16_t>(r)[c] = f16_from_float(float_to_odd(value));
      return;
    case Dtype::f64:
      tensor.row<double>(r)[c] = value;
      return;
    case Dtype::i32:
      tensor.row<std::int32_t>(r)[c] = static_cast<std::int32_t>(value);
      return;
    case Dtype::i64:
      tensor.row<std::int64_t>(r)[c] = static_cast<std::int64_t>(value);
      return;
    case Dtype::u8:
      tensor.row<std::uint8_t>(r)[c] = static_cast<std::uint8_t>(value);
      return;
  }
}

Matrix read(const Tensor& tensor) {
  Matrix values(tensor.rows, tensor.cols);
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    for (std::int64_t c = 0; c < tensor.cols; ++c) values[r][c] = element(tensor, r, c);
  }
  return values;
}

void write(const Matrix& values, const Tensor& tensor) { accumulate(values, tensor, 0.0); }

void accumulate(const Matrix& values, const Tensor& tensor, double beta) {
  ET_CHECK(values.rows == tensor.rows && values.cols == tensor.cols, "{} x {} into {} x {}", values.rows,
           values.cols, tensor.rows, tensor.cols);
  ET_ASSERT(beta == 0.0 || beta == 1.0);
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    for (std::int64_t c = 0; c < tensor.cols; ++c) {
      set_element(tensor, r, c, values[r][c] + (beta == 0.0 ? 0.0 : element(tensor, r, c)));
    }
  }
}

}  // namespace edgetrain::testing
