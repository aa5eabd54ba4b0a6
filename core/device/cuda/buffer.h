// Memory of the two kinds that a GPU works with: its own, and pinned memory of the host.
//
// Why pinned: a copy from pageable memory is staged by the driver and blocks the host, so it would not be a
// lane. Both are made once, before step 1, and cut up by plans; nothing allocates on the training path.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgetrain {

/// `bytes` of the current device, 256-byte aligned, zeroed. Move-only. Throws Error(resource) when there are
/// none left.
class CudaBuffer {
 public:
  CudaBuffer() = default;
  explicit CudaBuffer(std::int64_t bytes);
  CudaBuffer(CudaBuffer&& other) noexcept;
  CudaBuffer& operator=(CudaBuffer&& other) noexcept;
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;
  ~CudaBuffer();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// `bytes` of page-locked host memory, zeroed, which the device copies to and from without the host.
/// Move-only.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::int64_t bytes);
  PinnedBuffer(PinnedBuffer&& other) noexcept;
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace edgetrain
