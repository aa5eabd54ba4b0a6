// What the operations over a shared window have in common: a range of rounds, and the check that peers mean
// the same.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/comm/communicator.h"
#include "parallel/comm/operation.h"
#include "parallel/comm/shared_window.h"
#include "parallel/comm/signature.h"

namespace edgetrain {

/// What an operation borrows from its communicator, which outlives it.
struct SharedContext {
  SharedWindow& window;
  std::string_view group;
  std::span<const int> world_ranks;
  std::int64_t* sent;         // bytes of this kind of call
  std::uint64_t* moves;       // grows with every round
  std::int64_t stream_bytes;  // results from here up are written past the caches
};

class SharedOperation : public Operation {
 protected:
  /// Takes `rounds` rounds of the window now, so operations must be made in collective order.
  SharedOperation(const SharedContext& context, const CallSignature& signature, std::int64_t rounds);

  [[nodiscard]] SharedWindow& window() const { return context_.window; }
  [[nodiscard]] std::int64_t rounds() const { return rounds_; }
  [[nodiscard]] std::uint64_t global(std::int64_t round) const {
    return first_ + static_cast<std::uint64_t>(round);
  }

  [[nodiscard]] bool writable(std::int64_t round) const { return window().writable(global(round)); }
  [[nodiscard]] std::byte* slot(int rank, std::int64_t round) const {
    return window().slot(rank, global(round));
  }
  /// Publishes the own slot; the first one goes with the signature of the call.
  void publish_filled(std::int64_t round);
  /// From a slot (or what has just been read) to the caller's memory.
  void deliver(std::byte* to, const std::byte* from, std::int64_t bytes) const;
  /// Counts bytes just written as sent to `readers` ranks.
  void count_sent(std::int64_t bytes, int readers) { *context_.sent += bytes * readers; }
  void publish(Flag which, std::int64_t round) {
    window().publish(which, global(round));
    ++*context_.moves;
  }
  /// The peer's slot may be read. Checks, once, that the peer is in the same call.
  [[nodiscard]] bool peer_filled(int peer, std::int64_t round);
  [[nodiscard]] bool all_filled(std::int64_t round);
  [[nodiscard]] bool all_reached(Flag which, std::int64_t round) const {
    return window().all_reached(which, global(round));
  }

 private:
  SharedContext context_;
  CallSignature signature_;
  std::int64_t rounds_;
  std::uint64_t first_;
  bool streams_;
};

}  // namespace edgetrain
