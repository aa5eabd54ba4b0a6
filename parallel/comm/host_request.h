// A call that was started on a HostCommunicator: what it is, the operation that carries it out, and how it
// ended.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "core/comm/communicator.h"
#include "parallel/comm/operation.h"

namespace edgetrain {

class HostCommunicator;

class HostRequest final : public RequestState {
 public:
  /// `operation` null: there is nothing to do. Borrows `owner` until done.
  HostRequest(HostCommunicator& owner, const CommCall& call, std::uint64_t sequence,
              std::unique_ptr<Operation> operation, std::uint64_t flight_token)
      : owner_(&owner),
        call_(call),
        sequence_(sequence),
        operation_(std::move(operation)),
        flight_token_(flight_token) {}

  bool test() override;
  [[nodiscard]] std::uint64_t moves() const override;
  [[nodiscard]] std::string describe() const override;

  /// For the owner: one step; true once the operation is over, well or not.
  [[nodiscard]] bool advance() noexcept;
  /// For the owner: ends it; test() throws `failure` from now on.
  void fail(const std::exception_ptr& failure) noexcept;
  [[nodiscard]] bool over() const { return done_ || failure_ != nullptr; }
  [[nodiscard]] const std::exception_ptr& failure() const { return failure_; }
  [[nodiscard]] std::uint64_t flight_token() const { return flight_token_; }

 private:
  HostCommunicator* owner_;
  CommCall call_;
  std::uint64_t sequence_;
  std::unique_ptr<Operation> operation_;
  std::uint64_t flight_token_;
  std::exception_ptr failure_;
  bool done_ = false;
};

}  // namespace edgetrain
