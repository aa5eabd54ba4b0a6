// A sum of doubles without rounding, so that neither order nor grouping can change it.
//
// Why: loss and gradient norm are sums over rows and buckets that every layout groups differently; a rounded
// sum would then differ in the last bits, and so would the clipping coefficient and all later weights. Here
// every addend is added exactly into a fixed-point number that covers the whole range of double (Kulisch &
// Miranker 1986), and only value() rounds. Merging over ranks is one all_reduce (sum) of kLimbs int64.
// Rejected: compensated and pairwise sums (better, still dependent on order); sorting (needs all values in
// one place).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace edgetrain {

/// About 3 ns per addend, 0.6 KB. Limits: 2^62 addends over all ranks, 2^30 merged sums.
class ExactSum {
 public:
  /// 32-bit digits from 2^-1074 to beyond 2^1024, and the counts of +inf, -inf and NaN.
  static constexpr std::size_t kDigits = 68;
  static constexpr std::size_t kLimbs = kDigits + 3;

  void add(double value);
  void add(std::span<const float> values);
  void add(std::span<const double> values);

  /// The whole state. Two sums merge by adding limbs as integers (in place, e.g. an all_reduce); the limbs of
  /// one sum are below 2^32 in magnitude when this returns, so 2^30 of them can be added up.
  [[nodiscard]] std::span<std::int64_t, kLimbs> limbs();

  /// The sum, rounded to nearest even once; +-inf beyond the range. NaN or infinite addends give what IEEE
  /// addition in any order gives. An empty sum is +0.
  [[nodiscard]] double value() const;

 private:
  void add_finite(double value);

  // limbs_[i] counts 2^(32 i - 1074) for i < kDigits; behind them the three counts.
  std::array<std::int64_t, kLimbs> limbs_{};
  std::int64_t pending_ = 0;  // additions since the last carry
};

}  // namespace edgetrain
