#include "core/device/cuda/stream.h"

#include <utility>

#include "core/device/cuda/check.h"
#include "core/device/cuda/event.h"

namespace edgetrain {

// Non-blocking: the legacy default stream would otherwise order lanes that nobody asked to order.
CudaStream::CudaStream() {
  cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

CudaStream::CudaStream(CudaStream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}

CudaStream& CudaStream::operator=(CudaStream&& other) noexcept {
  std::swap(stream_, other.stream_);
  return *this;
}

CudaStream::~CudaStream() {
  if (stream_ != nullptr) cuda::check_noexcept(cudaStreamDestroy(stream_), "cudaStreamDestroy");
}

void CudaStream::wait(const CudaEvent& event) {
  cuda::check(cudaStreamWaitEvent(stream_, event.handle(), 0), "cudaStreamWaitEvent");
}

void CudaStream::synchronize() const { cuda::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

}  // namespace edgetrain
