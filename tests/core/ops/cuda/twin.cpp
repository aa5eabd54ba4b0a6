#include "tests/core/ops/cuda/twin.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "core/device/cuda/check.h"

namespace edgetrain::testing {
namespace {

constexpr std::byte kSentinel{0xA5};
constexpr std::int64_t kGuardBytes = 256;  // before the first and after the last row; keeps the alignment

}  // namespace

Twin::Twin(std::mt19937& random, std::int64_t rows, std::int64_t cols, Dtype dtype, Placement placement)
    : rows_(rows), cols_(cols), dtype_(dtype), placement_(placement) {
  const std::int64_t elements = placement.offset + rows * (cols + placement.gap);
  host_.assign(static_cast<std::size_t>(2 * kGuardBytes + elements * size_of(dtype)), kSentinel);
  device_ = CudaBuffer(static_cast<std::int64_t>(host_.size()));
  std::normal_distribution<double> normal;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) set_element(host(), r, c, normal(random));
  }
  upload();
}

Tensor Twin::at(std::byte* base) const {
  if (rows_ == 0 && cols_ == 0) return {};
  return {base + kGuardBytes + placement_.offset * size_of(dtype_), rows_, cols_, cols_ + placement_.gap,
          dtype_};
}

void Twin::upload() {
  cuda::check(cudaMemcpy(device_.data(), host_.data(), host_.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

std::vector<std::byte> Twin::bytes_from_device() const {
  std::vector<std::byte> bytes(host_.size());
  cuda::check(cudaMemcpy(bytes.data(), device_.data(), bytes.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  return bytes;
}

Matrix Twin::from_device() const {
  auto bytes = bytes_from_device();
  return read(at(bytes.data()));
}

bool Twin::guards_intact() const {
  auto bytes = bytes_from_device();
  const Tensor elements = at(bytes.data());
  const std::int64_t size = size_of(dtype_);
  for (std::int64_t r = 0; r < rows_; ++r) {
    std::byte* row = elements.data + r * elements.row_stride * size;
    std::fill(row, row + cols_ * size, kSentinel);
  }
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == kSentinel; });
}

}  // namespace edgetrain::testing
