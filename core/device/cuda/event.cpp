#include "core/device/cuda/event.h"

#include <memory>
#include <utility>

#include "core/device/cuda/check.h"

namespace edgetrain {
namespace {

class EventState final : public RequestState {
 public:
  EventState(const CudaStream& stream, std::string what) : event_(stream), what_(std::move(what)) {}

  bool test() override { return event_.done(); }

  void wait_on(Stream& stream) override {
    if (auto* device = dynamic_cast<CudaStream*>(&stream)) {
      device->wait(event_);
    } else {
      RequestState::wait_on(stream);
    }
  }

  [[nodiscard]] std::string describe() const override { return what_; }

 private:
  CudaEvent event_;
  std::string what_;
};

}  // namespace

CudaEvent::CudaEvent(const CudaStream& stream) {
  cuda::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  cuda::check(cudaEventRecord(event_, stream.handle()), "cudaEventRecord");
}

CudaEvent::CudaEvent(CudaEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}

CudaEvent& CudaEvent::operator=(CudaEvent&& other) noexcept {
  std::swap(event_, other.event_);
  return *this;
}

// Destroying an event that is still pending is legal: CUDA frees it when it completes.
CudaEvent::~CudaEvent() {
  if (event_ != nullptr) cuda::check_noexcept(cudaEventDestroy(event_), "cudaEventDestroy");
}

bool CudaEvent::done() const {
  const cudaError_t code = cudaEventQuery(event_);
  if (code == cudaErrorNotReady) return false;
  cuda::check(code, "cudaEventQuery");
  return true;
}

Request completion_of(const CudaStream& stream, std::string what) {
  return Request(std::make_shared<EventState>(stream, std::move(what)));
}

}  // namespace edgetrain
