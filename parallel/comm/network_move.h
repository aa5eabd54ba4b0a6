// What only moves bytes, over MPI messages: all_gather, broadcast, all_to_all, send and recv.
#pragma once

#include <memory>

#include "core/comm/communicator.h"
#include "parallel/comm/network_context.h"
#include "parallel/comm/operation.h"

namespace edgetrain {

/// Own part to every rank, theirs straight into `out`.
[[nodiscard]] std::unique_ptr<Operation> network_all_gather(const CommCall& call,
                                                            const NetworkContext& context);
/// Binomial tree; a rank passes segments on as they arrive.
[[nodiscard]] std::unique_ptr<Operation> network_broadcast(const CommCall& call,
                                                           const NetworkContext& context);
/// Pairwise, all pairs at once. Copies what it needs of `counts`.
[[nodiscard]] std::unique_ptr<Operation> network_all_to_all(const CommCall& call,
                                                            const NetworkContext& context);
/// send or recv.
[[nodiscard]] std::unique_ptr<Operation> network_message(const CommCall& call, const NetworkContext& context);

}  // namespace edgetrain
