#include "core/data/order.h"

#include <bit>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace edgetrain {
namespace {

// Four rounds are enough for indistinguishability in theory (Luby & Rackoff 1988); with the narrow halves of
// a small data set more are needed to come near a random permutation.
constexpr int kRounds = 8;
// Keeps these counters apart from those of initial weights, whose last word is half of a name's hash.
constexpr auto kDomain = static_cast<std::uint32_t>(fnv1a("data.order"));

// A permutation of [0, 4^half_bits).
std::uint64_t feistel(std::uint64_t value, int half_bits, PhiloxKey key, std::int64_t epoch) {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  const auto epoch_words = philox_words(static_cast<std::uint64_t>(epoch));
  std::uint64_t left = value >> half_bits, right = value & mask;
  for (int round = 0; round < kRounds; ++round) {
    const PhiloxCounter counter{static_cast<std::uint32_t>(right), epoch_words[0], epoch_words[1],
                                kDomain + static_cast<std::uint32_t>(round)};
    const std::uint64_t mixed = (left ^ philox(counter, key)[0]) & mask;
    left = right;
    right = mixed;
  }
  return (left << half_bits) | right;
}

}  // namespace

std::int64_t permuted(std::int64_t index, std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  ET_CHECK(index >= 0 && index < n, "index {} of {}", index, n);
  if (n == 1) return 0;
  const int bits = std::bit_width(static_cast<std::uint64_t>(n - 1));
  const int half_bits = (bits + 1) / 2;
  const PhiloxKey key = philox_words(seed);
  auto value = static_cast<std::uint64_t>(index);
  // Cycle walking: the network permutes up to 4 n values; following it until it is back below n permutes
  // those below.
  do {
    value = feistel(value, half_bits, key, epoch);
  } while (value >= static_cast<std::uint64_t>(n));
  return static_cast<std::int64_t>(value);
}

SampleOrder::SampleOrder(DataOrder order, std::uint64_t seed, std::int64_t num_samples)
    : order_(order), seed_(seed), num_samples_(num_samples) {
  ET_CHECK(num_samples >= 1, "{} samples", num_samples);
}

std::int64_t SampleOrder::sample_at(std::int64_t position) const {
  ET_CHECK(position >= 0, "position {}", position);
  const std::int64_t index = position % num_samples_;
  return order_ == DataOrder::sequential ? index : permuted(index, num_samples_, seed_, epoch_of(position));
}

PositionRange rank_positions(std::int64_t next, std::int64_t global_batch, int dp, int d) {
  ET_CHECK(dp >= 1 && d >= 0 && d < dp && global_batch % dp == 0, "rank {} of {}, global batch {}", d, dp,
           global_batch);
  const std::int64_t per_rank = global_batch / dp;
  return {next + d * per_rank, next + (d + 1) * per_rank};
}

}  // namespace edgetrain
