#include "parallel/comm/shared_fetch.h"

#include <unistd.h>

#include <cstring>

#include "parallel/comm/peer_memory.h"

namespace edgetrain {
namespace {

class SharedFetch final : public SharedOperation {
 public:
  SharedFetch(const CommCall& call, const SharedContext& context, const CallSignature& signature)
      : SharedOperation(context, signature, 1),
        call_(call),
        gathers_(call.op == Collective::all_gather),
        owns_(gathers_ || call.peer == context.window.rank()),
        left_(gathers_ ? context.window.size() - 1 : (owns_ ? 0 : 1)) {}

  bool advance() override {
    if (owns_ && !offered_ && !offer()) return false;
    while (left_ > 0) {
      if (!fetch_next()) return false;
    }
    if (!drained_) publish(Flag::drained, 0);
    drained_ = true;
    return !owns_ || all_reached(Flag::drained, 0);
  }

 private:
  // Says where the vector lies, then copies the own part while the others read.
  bool offer() {
    if (!writable(0)) return false;
    const PeerAddress own{::getpid(), reinterpret_cast<std::uint64_t>(call_.in.data)};
    std::memcpy(slot(window().rank(), 0), &own, sizeof(own));
    publish_filled(0);
    count_sent(call_.in.bytes(), window().size() - 1);
    if (gathers_ && part(window().rank()) != call_.in.data) {
      deliver(part(window().rank()), call_.in.data, call_.in.bytes());
    }
    return offered_ = true;
  }

  // Owners in ring order behind the own rank, so that not all read from one at a time.
  bool fetch_next() {
    const int owner = gathers_ ? (window().rank() + left_) % window().size() : call_.peer;
    if (!peer_filled(owner, 0)) return false;
    PeerAddress from;
    std::memcpy(&from, slot(owner, 0), sizeof(from));
    read_peer(from, {gathers_ ? part(owner) : call_.out.data, static_cast<std::size_t>(call_.in.bytes())});
    --left_;
    return true;
  }

  [[nodiscard]] std::byte* part(int owner) const { return call_.out.data + owner * call_.in.bytes(); }

  CommCall call_;
  bool gathers_, owns_;
  int left_;  // owners still to read from
  bool offered_ = false, drained_ = false;
};

}  // namespace

std::unique_ptr<Operation> shared_fetch(const CommCall& call, const SharedContext& context,
                                        const CallSignature& signature) {
  return std::make_unique<SharedFetch>(call, context, signature);
}

}  // namespace edgetrain
