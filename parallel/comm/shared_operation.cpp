#include "parallel/comm/shared_operation.h"

namespace edgetrain {

SharedOperation::SharedOperation(const SharedContext& context, const CallSignature& signature, std::int64_t rounds)
    : context_(context), signature_(signature), rounds_(rounds), first_(context.window.take_rounds(rounds)) {}

void SharedOperation::publish_filled(std::int64_t round) {
  if (round == 0) window().signature(window().rank(), global(0)) = signature_;
  publish(Flag::filled, round);
}

bool SharedOperation::peer_filled(int peer, std::int64_t round) {
  if (!window().reached(peer, Flag::filled, global(round))) return false;
  if (round == 0 && peer != window().rank()) {
    check_same_call(signature_, context_.world_ranks[static_cast<std::size_t>(window().rank())],
                    window().signature(peer, global(0)), context_.world_ranks[static_cast<std::size_t>(peer)],
                    context_.group);
  }
  return true;
}

bool SharedOperation::all_filled(std::int64_t round) {
  for (int peer = 0; peer < window().size(); ++peer) {
    if (!peer_filled(peer, round)) return false;
  }
  return true;
}

}  // namespace edgetrain
