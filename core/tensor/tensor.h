// A borrowed matrix: the only shape that operators, communicators and stores take.
//
// Why no N-d tensor: rows are tokens wherever there are tokens, so a micro-batch, a sample, a
// context-parallel slice and an offloaded fraction of an activation are all prefixes or ranges of rows; heads
// are ranges of columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/tensor/dtype.h"

namespace edgetrain {

/// rows x cols elements of `dtype`; element (r, c) lies at data + (r * row_stride + c) * size_of(dtype).
/// Borrows; never owns. `data` is null on the dry device, where shape and dtype are all there is, and in an
/// absent optional argument (then rows == cols == 0).
struct Tensor {
  std::byte* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_stride = 0;  // in elements
  Dtype dtype = Dtype::f32;

  [[nodiscard]] std::int64_t numel() const { return rows * cols; }
  [[nodiscard]] std::int64_t bytes() const { return numel() * size_of(dtype); }
  [[nodiscard]] bool contiguous() const { return row_stride == cols || rows <= 1; }
  [[nodiscard]] bool absent() const { return rows == 0 && cols == 0; }

  /// Rows [begin, begin + count), same columns.
  [[nodiscard]] Tensor row_range(std::int64_t begin, std::int64_t count) const {
    ET_ASSERT(begin >= 0 && count >= 0 && begin + count <= rows);
    return {offset(begin * row_stride), count, cols, row_stride, dtype};
  }
  /// Columns [begin, begin + count), same rows.
  [[nodiscard]] Tensor col_range(std::int64_t begin, std::int64_t count) const {
    ET_ASSERT(begin >= 0 && count >= 0 && begin + count <= cols);
    return {offset(begin), rows, count, row_stride, dtype};
  }
  /// The same elements, contiguous, as another shape of equal size.
  [[nodiscard]] Tensor reshaped(std::int64_t new_rows, std::int64_t new_cols) const {
    ET_ASSERT(contiguous() && new_rows * new_cols == numel());
    return {data, new_rows, new_cols, new_cols, dtype};
  }

  template <typename T>
  [[nodiscard]] T* as() const {
    ET_ASSERT(sizeof(T) == static_cast<std::size_t>(size_of(dtype)));
    return reinterpret_cast<T*>(data);
  }
  /// Row r as typed elements; host memory only.
  template <typename T>
  [[nodiscard]] T* row(std::int64_t r) const {
    return as<T>() + r * row_stride;
  }
  /// All elements of a contiguous tensor; host memory only.
  template <typename T>
  [[nodiscard]] std::span<T> flat() const {
    ET_ASSERT(contiguous());
    return {as<T>(), static_cast<std::size_t>(numel())};
  }

 private:
  [[nodiscard]] std::byte* offset(std::int64_t elements) const {
    return data == nullptr ? nullptr : data + elements * size_of(dtype);
  }
};

/// A dense row-major view over `data`.
[[nodiscard]] inline Tensor matrix(void* data, std::int64_t rows, std::int64_t cols, Dtype dtype) {
  return {static_cast<std::byte*>(data), rows, cols, cols, dtype};
}
/// One row of n elements.
[[nodiscard]] inline Tensor vector_of(void* data, std::int64_t n, Dtype dtype) {
  return matrix(data, 1, n, dtype);
}

}  // namespace edgetrain
