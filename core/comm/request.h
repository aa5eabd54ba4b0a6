// Completion of something that was started: a collective, a copy, a read.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace edgetrain {

class Stream;

/// What a backend implements. One request, one state.
class RequestState {
 public:
  virtual ~RequestState() = default;
  /// Makes progress without blocking; true once complete. Throws what the operation threw.
  virtual bool test() = 0;
  /// Grows while test() makes progress. See Backoff::pause.
  [[nodiscard]] virtual std::uint64_t moves() const { return 0; }
  /// Orders `stream` after completion. Host streams run in the caller, so there the default waits.
  virtual void wait_on(Stream& stream);
  /// One line for a person: operation, axis, sequence number, bytes.
  [[nodiscard]] virtual std::string describe() const { return "request"; }
};

/// Copyable handle. A default-made Request is complete.
class Request {
 public:
  Request() = default;
  explicit Request(std::shared_ptr<RequestState> state) : state_(std::move(state)) {}

  /// Device work queued on `stream` after this call starts after completion; never blocks the host on a GPU.
  void wait(Stream& stream) const;
  /// Polls. True once complete; drops the state then.
  [[nodiscard]] bool test();
  /// Blocks until complete: poll, then yield, then sleep in 50 us steps. Throws Error(hang) after `deadline`.
  void wait_host(std::chrono::milliseconds deadline);
  [[nodiscard]] std::uint64_t moves() const { return state_ ? state_->moves() : 0; }
  [[nodiscard]] std::string describe() const { return state_ ? state_->describe() : "complete"; }

 private:
  std::shared_ptr<RequestState> state_;
};

}  // namespace edgetrain
