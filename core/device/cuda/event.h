// A point in a CUDA stream, and a Request that is complete when the stream has reached it.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/comm/request.h"
#include "core/device/cuda/stream.h"

namespace edgetrain {

/// Marks the work queued on `stream` before its construction. No timing, so that recording costs next to
/// nothing.
class CudaEvent {
 public:
  explicit CudaEvent(const CudaStream& stream);
  CudaEvent(CudaEvent&& other) noexcept;
  CudaEvent& operator=(CudaEvent&& other) noexcept;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  ~CudaEvent();

  /// True once all marked work is done. Never blocks. Throws Error(resource) if that work failed.
  [[nodiscard]] bool done() const;
  [[nodiscard]] cudaEvent_t handle() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Completion of all work queued on `stream` so far. Request::wait(CudaStream) orders on the device and never
/// blocks the host; wait(HostStream), test() and wait_host() poll. what: for Request::describe(), e.g. "copy
/// in blocks.3".
[[nodiscard]] Request completion_of(const CudaStream& stream, std::string what);

}  // namespace edgetrain
