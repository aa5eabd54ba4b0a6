#include "core/device/cuda/buffer.h"

#include <cuda_runtime_api.h>

#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/device/cuda/check.h"

namespace edgetrain {

CudaBuffer::CudaBuffer(std::int64_t bytes) : bytes_(bytes) {
  ET_CHECK(bytes >= 0, "{} bytes", bytes);
  if (bytes == 0) return;
  void* data = nullptr;
  cuda::check(cudaMalloc(&data, static_cast<std::size_t>(bytes)),
              fmt::format("cudaMalloc of {} bytes", bytes));
  data_ = static_cast<std::byte*>(data);
  cuda::check(cudaMemset(data_, 0, static_cast<std::size_t>(bytes)), "cudaMemset");
  // The memset runs in the default stream, which non-blocking streams do not wait for.
  cuda::check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
}

CudaBuffer::CudaBuffer(CudaBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

CudaBuffer& CudaBuffer::operator=(CudaBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

CudaBuffer::~CudaBuffer() {
  if (data_ != nullptr) cuda::check_noexcept(cudaFree(data_), "cudaFree");
}

PinnedBuffer::PinnedBuffer(std::int64_t bytes) : bytes_(bytes) {
  ET_CHECK(bytes >= 0, "{} bytes", bytes);
  if (bytes == 0) return;
  void* data = nullptr;
  cuda::check(cudaMallocHost(&data, static_cast<std::size_t>(bytes)),
              fmt::format("cudaMallocHost of {} bytes", bytes));
  data_ = static_cast<std::byte*>(data);
  std::memset(data_, 0, static_cast<std::size_t>(bytes));
}

PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) cuda::check_noexcept(cudaFreeHost(data_), "cudaFreeHost");
}

}  // namespace edgetrain
