#include "tests/core/ops/cpu/operand.h"

#include <algorithm>
#include <limits>

#include "tests/support/matrix.h"

namespace edgetrain::testing {
namespace {

constexpr std::byte kSentinel{0xA5};
// Odd multiples of 16 bytes, so that rows are not aligned to vectors by accident.
constexpr std::size_t kGuardBytes = 80;

bool is_integer(Dtype dtype) { return dtype == Dtype::i32 || dtype == Dtype::i64 || dtype == Dtype::u8; }

}  // namespace

Operand::Operand(Dtype dtype, std::int64_t rows, std::int64_t cols, std::int64_t gap)
    : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + gap) {
  bytes_.assign(2 * kGuardBytes + static_cast<std::size_t>(rows * stride_ * size_of(dtype)), kSentinel);
  if (!is_integer(dtype)) constant(std::numeric_limits<double>::quiet_NaN());
}

Tensor Operand::tensor() {
  if (bytes_.empty()) return {};
  return {bytes_.data() + kGuardBytes, rows_, cols_, stride_, dtype_};
}

Operand& Operand::uniform(std::mt19937_64& random, double low, double high) {
  std::uniform_real_distribution<double> values(low, high);
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < cols_; ++c) set_element(tensor(), r, c, values(random));
  }
  return *this;
}

Operand& Operand::integers(std::mt19937_64& random, std::int64_t low, std::int64_t high) {
  std::uniform_int_distribution<std::int64_t> values(low, high - 1);
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < cols_; ++c) set_element(tensor(), r, c, static_cast<double>(values(random)));
  }
  return *this;
}

Operand& Operand::constant(double value) {
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < cols_; ++c) set_element(tensor(), r, c, value);
  }
  return *this;
}

std::size_t Operand::begin_of(std::int64_t row) const {
  return kGuardBytes + static_cast<std::size_t>(row * stride_ * size_of(dtype_));
}

bool Operand::guards_intact() const {
  if (bytes_.empty()) return true;
  const auto row_bytes = static_cast<std::size_t>(cols_ * size_of(dtype_));
  std::size_t at = 0;
  const auto untouched_until = [&](std::size_t end) {
    return std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                       bytes_.begin() + static_cast<std::ptrdiff_t>(end),
                       [](std::byte b) { return b == kSentinel; });
  };
  for (std::int64_t r = 0; r < rows_; ++r) {
    if (!untouched_until(begin_of(r))) return false;
    at = begin_of(r) + row_bytes;
  }
  return untouched_until(bytes_.size());
}

}  // namespace edgetrain::testing
