// A CUDA stream as a Stream: device work in issue order, ordered against other streams by events.
#pragma once

#include <cuda_runtime_api.h>

#include "core/comm/stream.h"

namespace edgetrain {

class CudaEvent;

/// Owns the stream; created non-blocking on the device that is current. Move-only. One host thread at a time.
class CudaStream final : public Stream {
 public:
  CudaStream();
  CudaStream(CudaStream&& other) noexcept;
  CudaStream& operator=(CudaStream&& other) noexcept;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() override;

  /// Work queued from now on starts after `event` completes. Does not block the host.
  void wait(const CudaEvent& event);
  /// Blocks the host until all queued work is done: for tests and teardown; the driver polls requests
  /// instead.
  void synchronize() const;
  [[nodiscard]] cudaStream_t handle() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace edgetrain
