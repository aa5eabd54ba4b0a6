#include "core/comm/request.h"

#include "core/base/error.h"
#include "core/comm/backoff.h"
#include "core/comm/stream.h"

namespace edgetrain {

void RequestState::wait_on(Stream&) {
  for (Backoff backoff; !test(); backoff.pause(moves())) {
  }
}

void Request::wait(Stream& stream) const {
  if (state_) state_->wait_on(stream);
}

bool Request::test() {
  if (!state_) return true;
  if (!state_->test()) return false;
  state_.reset();
  return true;
}

void Request::wait_host(std::chrono::milliseconds deadline) {
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  for (Backoff backoff; !test(); backoff.pause(moves())) {
    if (backoff.cold() && std::chrono::steady_clock::now() > give_up) {
      throw Error(ErrorClass::hang, fmt::format("waited {} ms for {}", deadline.count(), describe()));
    }
  }
}

}  // namespace edgetrain
