// A set of MPI messages under way, completed in any order.
//
// Why one set and MPI_Testsome: every MPI_Test runs MPI's whole progress engine; asking once for all messages
// of an operation is what keeps a poll cheap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "parallel/comm/mpi.h"

namespace edgetrain {

/// Tags of one communicator: collectives take two each, in turn; MPI keeps the order of equal ones.
inline constexpr int kMessageTag = 1;    // send, recv
inline constexpr int kSignatureTag = 2;  // exchange of call signatures
[[nodiscard]] constexpr int collective_tag(std::uint64_t sequence) {
  return 16 + static_cast<int>(sequence % 8192) * 2;
}

class Messages {
 public:
  /// Outlive the set: `comm`, `sent` (a counter of payload bytes, may be null), `moves` (of completed
  /// messages).
  Messages(MPI_Comm comm, std::int64_t* sent, std::uint64_t* moves)
      : comm_(comm), sent_(sent), moves_(moves) {}
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;
  /// Cancels what is still under way: only an operation that failed leaves anything.
  ~Messages();

  /// Buffers are borrowed until the message is reported by poll(). `id` is the caller's.
  void send(std::span<const std::byte> data, int peer, int tag, std::int64_t id);
  void receive(std::span<std::byte> data, int peer, int tag, std::int64_t id);
  [[nodiscard]] bool idle() const { return requests_.empty(); }

  /// The ids of messages that completed since the last call; valid until the next call. Never blocks. Errors:
  /// Error(peer) from MPI, or when a message is shorter than its buffer.
  [[nodiscard]] std::span<const std::int64_t> poll();

 private:
  struct Pending {
    std::int64_t id;
    std::size_t expected_bytes;  // receives only
    int peer;
    bool receives;
  };
  void check_length(const Pending& message, const MPI_Status& status) const;
  void forget(std::size_t index);

  MPI_Comm comm_;
  std::int64_t* sent_;
  std::uint64_t* moves_;
  std::vector<MPI_Request> requests_;
  std::vector<Pending> pending_;  // same order
  std::vector<int> completed_;    // indexes, as MPI reports them
  std::vector<MPI_Status> statuses_;
  std::vector<std::int64_t> ids_;
};

}  // namespace edgetrain
