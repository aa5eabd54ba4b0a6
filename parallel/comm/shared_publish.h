// all_gather and broadcast over a shared window: what one rank has is written once and read by all others.
#pragma once

#include <memory>

#include "parallel/comm/shared_operation.h"

namespace edgetrain {

[[nodiscard]] std::unique_ptr<Operation> shared_all_gather(const CommCall& call, const SharedContext& context,
                                                           const CallSignature& signature);
[[nodiscard]] std::unique_ptr<Operation> shared_broadcast(const CommCall& call, const SharedContext& context,
                                                          const CallSignature& signature);

}  // namespace edgetrain
