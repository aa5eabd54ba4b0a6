// Short texts between ranks: what each has to say, told to rank 0; what rank 0 has decided, told to all.
//
// Why: a check that one rank makes must become everybody's verdict before the next collective, or the others
// wait for ever (rank-local throws between collectives are the classic hang). Sent in slices, so that memory
// does not grow with the longest text times the number of ranks.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/comm/communicator.h"

namespace edgetrain {

/// All calls are collective over `world` and block; Error(hang) after `deadline` for one collective.
class TextExchange {
 public:
  /// `site`: what the texts are about, for flight records and errors; a literal or outlives this object.
  /// `staging` holds slices of the texts and the communicator's scratch: 8 bytes a rank and the scratch of
  /// that at least, Error(internal) otherwise; 64 KiB do for 4096 ranks, with fewer ranks slices are longer.
  /// Of any alignment. Borrowed for the life of this object.
  TextExchange(Communicator& world, std::string_view site, std::span<std::byte> staging,
               std::chrono::milliseconds deadline)
      : world_(world), site_(site), staging_(staging), deadline_(deadline) {}

  /// Rank 0 gets the texts of all ranks, in rank order; the others an empty list.
  [[nodiscard]] std::vector<std::string> gather(std::string_view own);
  /// Everyone gets rank 0's text.
  [[nodiscard]] std::string broadcast(std::string_view text_of_rank_0);

 private:
  // Of the slices of all ranks, and of some bytes, at the start of the staging.
  [[nodiscard]] CommCall gather_call(std::int64_t slice) const;
  [[nodiscard]] CommCall broadcast_call(std::int64_t bytes) const;
  [[nodiscard]] bool fits(const CommCall& call) const;
  void run(const CommCall& call);
  [[nodiscard]] std::vector<std::int64_t> gather_sizes(std::int64_t own);
  [[nodiscard]] std::int64_t slice_bytes() const;
  [[nodiscard]] std::span<std::byte> scratch_for(const CommCall& call);
  Communicator& world_;
  std::string_view site_;
  std::span<std::byte> staging_;
  std::chrono::milliseconds deadline_;
};

}  // namespace edgetrain
