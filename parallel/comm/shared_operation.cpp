#include "parallel/comm/shared_operation.h"

#include <cstring>

#include "parallel/comm/stream_copy.h"

namespace edgetrain {

SharedOperation::SharedOperation(const SharedContext& context, const CallSignature& signature,
                                 std::int64_t rounds)
    : context_(context),
      signature_(signature),
      rounds_(rounds),
      first_(context.window.take_rounds(rounds)),
      streams_(signature.bytes >= context.stream_bytes) {}

void SharedOperation::deliver(std::byte* to, const std::byte* from, std::int64_t bytes) const {
  if (streams_) {
    stream_copy(to, from, static_cast<std::size_t>(bytes));
  } else if (bytes > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
}

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
