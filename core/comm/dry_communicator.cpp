#include "core/comm/dry_communicator.h"

#include <utility>

#include "core/base/error.h"
#include "core/comm/call_check.h"

namespace edgetrain {

RecordedCall record_of(const CommCall& call) {
  const Tensor& payload = payload_of(call);
  return {call.op, call.reduce_op, payload.dtype, payload.numel(), call.peer, std::string(call.site)};
}

DryCommunicator::DryCommunicator(int size, int rank, std::string name, CommCostModel cost)
    : size_(size), rank_(rank), name_(std::move(name)), cost_(std::move(cost)) {
  ET_CHECK(rank >= 0 && rank < size, "rank {} of {} in '{}'", rank, size, name_);
}

std::int64_t DryCommunicator::scratch_bytes(const CommCall& call) const { return cost_(call).scratch_bytes; }

std::int64_t DryCommunicator::sent_bytes(const CommCall& call) const { return cost_(call).sent_bytes; }

Request DryCommunicator::start(const CommCall& call, const Stream&, std::span<std::byte> scratch) {
  check_call(call, size_, rank_);
  const CommCost cost = cost_(call);
  ET_CHECK(scratch.data() == nullptr || static_cast<std::int64_t>(scratch.size()) >= cost.scratch_bytes,
           "{} of '{}' on {}: {} bytes of scratch, {} needed", name_of(call.op), call.site, name_,
           scratch.size(), cost.scratch_bytes);
  calls_.push_back(record_of(call));
  sent_.by_op[static_cast<std::size_t>(call.op)] += cost.sent_bytes;
  return {};
}

}  // namespace edgetrain
