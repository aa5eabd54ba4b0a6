// One matrix twice: on the host for the oracle, on the GPU for the operator; with sentinels around and
// between the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "core/device/cuda/buffer.h"
#include "core/tensor/tensor.h"
#include "tests/support/matrix.h"

namespace edgetrain::testing {

/// How a matrix lies in memory.
struct Placement {
  std::int64_t gap = 0;     // elements between the end of a row and the next row
  std::int64_t offset = 0;  // elements from a 256-byte boundary to the first
};

class Twin {
 public:
  /// Absent operand.
  Twin() = default;
  /// Standard normal values, rounded to dtype; the same on both sides.
  Twin(std::mt19937& random, std::int64_t rows, std::int64_t cols, Dtype dtype, Placement placement = {});

  [[nodiscard]] Tensor host() { return at(host_.data()); }
  [[nodiscard]] Tensor device() const { return at(device_.data()); }
  /// Sends what the host side holds now.
  void upload();
  /// What the GPU holds now. The caller has waited for its work.
  [[nodiscard]] Matrix from_device() const;
  [[nodiscard]] std::vector<std::byte> bytes_from_device() const;
  /// No byte on the GPU outside the elements has changed.
  [[nodiscard]] bool guards_intact() const;

 private:
  [[nodiscard]] Tensor at(std::byte* base) const;
  std::int64_t rows_ = 0, cols_ = 0;
  Dtype dtype_ = Dtype::f32;
  Placement placement_;
  std::vector<std::byte> host_;
  CudaBuffer device_;
};

}  // namespace edgetrain::testing
