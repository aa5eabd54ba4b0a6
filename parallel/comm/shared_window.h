// The shared memory of one group inside a node: bounded staging slots per rank, and progress counters.
//
// How it works: all work of a group is numbered in rounds, in the same order on every rank. In round t a rank
// may write its slot t % slots; it then publishes "filled t". Owners that sum publish "reduced t", readers
// that need nothing more of round t publish "drained t". Counters only grow, each is written by one rank
// (release) and read by the others (acquire), so no locks, no resets and no barriers between operations. A
// slot is free again when every rank has drained the round that used it last. Why own memory and not MPI
// windows: MPI's own shared windows hide their size, place and first touch; this one is a formula
// (shared_window_bytes), reserved up front, so that a full /dev/shm is an error here and not a SIGBUS later.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/comm/mpi.h"
#include "parallel/comm/shared_layout.h"
#include "parallel/comm/signature.h"

namespace edgetrain {

class SharedWindow {
 public:
  /// Collective over `comm`, whose members all share memory. Blocking. Errors: Error(resource) on every
  /// member when one of them cannot get or map the memory.
  SharedWindow(const MpiComm& comm, int slots, std::int64_t slot_data);
  SharedWindow(const SharedWindow&) = delete;
  SharedWindow& operator=(const SharedWindow&) = delete;
  ~SharedWindow();

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::int64_t slot_data() const { return slot_data_; }
  [[nodiscard]] std::int64_t bytes() const { return layout_.bytes(); }
  /// Every member may read every other's memory (peer_memory.h); the same answer on all.
  [[nodiscard]] bool reads_peers() const { return reads_peers_; }

  /// Takes `count` rounds for an operation; the first of them. Same calls in the same order on every rank.
  [[nodiscard]] std::uint64_t take_rounds(std::int64_t count);

  /// Own slot of `round` may be written: all have drained the round that used it before.
  [[nodiscard]] bool writable(std::uint64_t round);
  /// `peer` (all peers) has published `which` for `round`. Polls one line per peer at most.
  [[nodiscard]] bool reached(int peer, Flag which, std::uint64_t round);
  [[nodiscard]] bool all_reached(Flag which, std::uint64_t round);
  void publish(Flag which, std::uint64_t round);

  [[nodiscard]] std::byte* slot(int rank, std::uint64_t round) const;
  [[nodiscard]] CallSignature& signature(int rank, std::uint64_t round) const;

 private:
  [[nodiscard]] bool try_peers(const MpiComm& comm);
  [[nodiscard]] std::atomic<std::uint64_t>& counter(int rank, Flag which) const;
  [[nodiscard]] int slot_index(std::uint64_t round) const { return static_cast<int>(round % slots_); }

  SharedLayout layout_;
  int size_, rank_;
  std::uint64_t slots_;
  std::int64_t slot_data_;
  std::byte* base_ = nullptr;
  std::uint64_t next_round_ = 0;
  bool reads_peers_ = false;
  std::vector<std::uint64_t>
      known_[kFlags];  // rounds that each peer is known to have published: counters only grow
};

}  // namespace edgetrain
