// Which sample comes when: the order contract (docs/architecture.md, "Order of data").
//
// The samples of a run form one endless sequence of positions 0, 1, 2, ...; step t (from 0) with global batch
// G takes positions t*G .. t*G + G-1. Position p is in epoch p / n and is its (p % n)-th sample. So the state
// of a loader is one integer, a run resumes anywhere, on any number of ranks, and no rank needs to know what
// the others read.
//
// Shuffling is a keyed Feistel network over the indexes with cycle walking (Black & Rogaway 2002): a
// permutation by construction, in O(1) memory, any element of it in about a microsecond. Rejected:
// Fisher-Yates over an index array, which costs 8 bytes a sample on every rank and has to be replayed to
// resume.
#pragma once

#include <cstdint>

#include "core/data/config.h"

namespace edgetrain {

/// Image of `index` under a permutation of [0, n) that (seed, epoch) chooses. 0 <= index < n.
[[nodiscard]] std::int64_t permuted(std::int64_t index, std::int64_t n, std::uint64_t seed,
                                    std::int64_t epoch);

/// Positions -> sample indexes.
class SampleOrder {
 public:
  /// num_samples >= 1. seed is used by `shuffled` only.
  SampleOrder(DataOrder order, std::uint64_t seed, std::int64_t num_samples);
  /// position >= 0.
  [[nodiscard]] std::int64_t sample_at(std::int64_t position) const;
  [[nodiscard]] std::int64_t epoch_of(std::int64_t position) const { return position / num_samples_; }
  [[nodiscard]] std::int64_t num_samples() const { return num_samples_; }

 private:
  DataOrder order_;
  std::uint64_t seed_;
  std::int64_t num_samples_;
};

/// Positions [begin, end), to be used in ascending order.
struct PositionRange {
  std::int64_t begin = 0, end = 0;
  friend bool operator==(const PositionRange&, const PositionRange&) = default;
};

/// What rank d of dp takes of the step that starts at position `next`: [next + d*G/dp, next + (d+1)*G/dp).
/// dp divides G (global_batch).
[[nodiscard]] PositionRange rank_positions(std::int64_t next, std::int64_t global_batch, int dp, int d);

}  // namespace edgetrain
