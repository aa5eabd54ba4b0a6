// A group of one: every collective is a copy, or nothing at all when input and output are the same memory.
//
// Why a class of its own: units and executors talk to a Communicator whatever the layout is, and a layout of
// one rank must cost nothing and need no MPI.
#pragma once

#include <string>

#include "core/comm/communicator.h"

namespace edgetrain {

/// What any call means for a group of one: `out` becomes `in`.
void complete_alone(const CommCall& call);

/// size() is 1, rank() is 0. Requests are complete when start() returns. Nothing is sent, no scratch is
/// needed. Errors: Error(internal) from start() for send and recv (there is no peer) and for a `peer` other
/// than 0.
class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::int64_t scratch_bytes(const CommCall&) const override { return 0; }
  [[nodiscard]] std::int64_t sent_bytes(const CommCall&) const override { return 0; }
  [[nodiscard]] Request start(const CommCall& call, const Stream& producer,
                              std::span<std::byte> scratch) override;
  [[nodiscard]] const CommBytes& sent() const override { return sent_; }

 private:
  std::string name_;
  CommBytes sent_;
};

}  // namespace edgetrain
