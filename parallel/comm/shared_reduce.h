// Reductions over a shared window.
//
// SharedReduce: every rank copies all parts but its own into its slot; the owner of a part sums that part of
// all slots (its own from the input) in tree order; all_reduce then copies the sums of the others out. So
// (N-1)/N of the message is copied in, 1/N is summed and (N-1)/N is copied out per rank: nothing is copied
// that its reader does not need. Three stages of several rounds run at once, a slot apart.
// SharedDirectReduce: for messages so small that the second phase costs more than summing everything
// everywhere.
#pragma once

#include <memory>

#include "parallel/comm/shared_operation.h"

namespace edgetrain {

/// all_reduce or reduce_scatter of any size > 0.
[[nodiscard]] std::unique_ptr<Operation> shared_reduce(const CommCall& call, const SharedContext& context,
                                                       const CallSignature& signature);
/// all_reduce of at most one slot.
[[nodiscard]] std::unique_ptr<Operation> shared_direct_reduce(const CommCall& call,
                                                              const SharedContext& context,
                                                              const CallSignature& signature);

}  // namespace edgetrain
