// all_gather and broadcast by reading the owner's memory directly: one copy, for vectors that are worth a
// system call.
//
// Owners publish where their vector lies; readers fetch it and say so; an owner is done when all have, since
// its memory is only lent until then.
#pragma once

#include <memory>

#include "parallel/comm/shared_operation.h"

namespace edgetrain {

/// all_gather or broadcast; context.window.reads_peers() must hold.
[[nodiscard]] std::unique_ptr<Operation> shared_fetch(const CommCall& call, const SharedContext& context,
                                                      const CallSignature& signature);

}  // namespace edgetrain
