// What a rank is about to do, as its peers can read it: written next to the data, compared before the data is
// used.
//
// Why: two ranks that disagree about an operation or a size do not fail by themselves; they hang or mix up
// numbers.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/comm/communicator.h"

namespace edgetrain {

/// Fixed size, no pointers: it lies in shared memory and travels in messages.
struct CallSignature {
  std::uint64_t sequence = 0;  // of the collective in its group
  std::int64_t bytes = 0;      // of payload_of(call); 0 for all_to_all, where ranks may differ
  Collective op = Collective::all_reduce;
  Dtype dtype = Dtype::f32;
  ReduceOp reduce_op = ReduceOp::sum;
  std::int32_t root = -1;
  char site[88] = {};  // shortened; for messages only
};
static_assert(sizeof(CallSignature) == 112);

[[nodiscard]] CallSignature signature_of(const CommCall& call, std::uint64_t sequence);

/// Throws Error(peer) naming both ranks (of the world), calls and sites when they do not mean the same
/// collective.
void check_same_call(const CallSignature& own, int own_rank, const CallSignature& theirs, int their_rank,
                     std::string_view group);

}  // namespace edgetrain
