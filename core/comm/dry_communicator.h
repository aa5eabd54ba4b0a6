// The communicator of the dry device: sends nothing, records every call.
//
// Why the cost model is handed in: what a call costs is known to the backend that will run it, which core
// must not include; its formulas are pure, so launch passes the same ones to the plan and to the run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/comm/communicator.h"

namespace edgetrain {

/// What one call costs on one rank: bytes of scratch that it needs, bytes that this rank sends.
struct CommCost {
  std::int64_t scratch_bytes = 0;
  std::int64_t sent_bytes = 0;
};
/// Pure: same call, same answer.
using CommCostModel = std::function<CommCost(const CommCall&)>;

/// One call, without addresses. `site` is a copy: it outlives the unit call that made it.
struct RecordedCall {
  Collective op = Collective::all_reduce;
  ReduceOp reduce_op = ReduceOp::sum;
  Dtype dtype = Dtype::f32;
  std::int64_t elements = 0;  // of payload_of(call)
  int peer = -1;
  std::string site;
  friend bool operator==(const RecordedCall&, const RecordedCall&) = default;
};
[[nodiscard]] RecordedCall record_of(const CommCall& call);

/// Requests are complete when start() returns; tensors may have null data and are never touched. sent()
/// counts what a run would send. Errors: Error(internal) for a call that breaks the contract, or too little
/// scratch (a null span with a null `data` tensor stands for any).
class DryCommunicator final : public Communicator {
 public:
  DryCommunicator(int size, int rank, std::string name, CommCostModel cost);
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::int64_t scratch_bytes(const CommCall& call) const override;
  [[nodiscard]] std::int64_t sent_bytes(const CommCall& call) const override;
  [[nodiscard]] Request start(const CommCall& call, const Stream& producer,
                              std::span<std::byte> scratch) override;
  [[nodiscard]] const CommBytes& sent() const override { return sent_; }

  [[nodiscard]] const std::vector<RecordedCall>& calls() const { return calls_; }
  void forget_calls() { calls_.clear(); }

 private:
  int size_, rank_;
  std::string name_;
  CommCostModel cost_;
  CommBytes sent_;
  std::vector<RecordedCall> calls_;
};

}  // namespace edgetrain
