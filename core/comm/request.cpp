#include "core/comm/request.h"

#include <thread>

#include "core/base/error.h"
#include "core/comm/stream.h"

namespace edgetrain {
namespace {

// A wait polls hot for about as long as a small collective takes, then gives the core away: with more ranks than
// cores the peer that we wait for needs it.
constexpr int kHotPolls = 64;
constexpr int kYieldPolls = 2048;
constexpr std::chrono::microseconds kNap{50};

}  // namespace

void RequestState::wait_on(Stream&) {
  for (int polls = 0; !test(); ++polls) {
    if (polls > kYieldPolls) {
      std::this_thread::sleep_for(kNap);
    } else if (polls > kHotPolls) {
      std::this_thread::yield();
    }
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
  for (int polls = 0; !test(); ++polls) {
    if (polls <= kHotPolls) continue;
    if (std::chrono::steady_clock::now() > give_up) {
      throw Error(ErrorClass::hang, fmt::format("waited {} ms for {}", deadline.count(), describe()));
    }
    if (polls > kYieldPolls) {
      std::this_thread::sleep_for(kNap);
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace edgetrain
