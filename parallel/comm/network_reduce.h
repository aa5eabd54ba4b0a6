// Reductions over MPI messages.
//
// parts: part j of every rank goes to rank j, which sums all N of them in tree order, segment by segment,
// while the next segments arrive; all_reduce then sends the summed part to everybody. Rejected: a ring, whose
// order of summation depends on the rank, and recursive halving, which needs a power of two; both send the
// same number of bytes. direct: every vector to every rank at once, each sums all; one latency. doubling:
// log2(N) exchanges of partial sums with the rank across; lower half first, which is the tree order.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/comm/communicator.h"
#include "parallel/comm/network_context.h"
#include "parallel/comm/operation.h"

namespace edgetrain {

/// Scratch as host_cost() says; borrowed until complete.
[[nodiscard]] std::unique_ptr<Operation> network_parts_reduce(const CommCall& call,
                                                              const NetworkContext& context,
                                                              std::span<std::byte> scratch);
[[nodiscard]] std::unique_ptr<Operation> network_direct_reduce(const CommCall& call,
                                                               const NetworkContext& context,
                                                               std::span<std::byte> scratch);
[[nodiscard]] std::unique_ptr<Operation> network_doubling_reduce(const CommCall& call,
                                                                 const NetworkContext& context,
                                                                 std::span<std::byte> scratch);

}  // namespace edgetrain
