// What a CommCall must look like before anything is sent: the shapes of core/comm/communicator.h, as code.
//
// Why in core: the dry, the one-rank and the host communicator must refuse the same calls, or a plan would
// accept what a run then refuses.
#pragma once

#include "core/comm/communicator.h"

namespace edgetrain {

/// Throws Error(internal) naming `site` when the call breaks the contract for rank `rank` of `size`. Pure;
/// does not look at addresses, which are null on the dry device.
void check_call(const CommCall& call, int size, int rank);

/// The tensor whose size a message, a stamp and a formula mean: the full vector of a reduction, a gather or a
/// broadcast; what is sent or received by send, recv; what is sent by all_to_all.
[[nodiscard]] const Tensor& payload_of(const CommCall& call);

}  // namespace edgetrain
