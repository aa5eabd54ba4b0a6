// The batch triple: global = micro * accumulation * dp. Any two determine the third.
//
// Only keys that were written with a number count; a default gives way. The global batch is what training
// sees, so it is the last to move: a default of it changes only if a written micro-batch does not divide it,
// never for dp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace edgetrain {

struct BatchTriple {
  std::int64_t global = 0;        // sequences per step over all ranks
  std::int64_t micro = 0;         // sequences per forward pass of a rank
  std::int64_t accumulation = 0;  // forward passes of a rank per step
};

/// What the job writes; an empty one was not written, or is auto.
struct WrittenBatch {
  std::optional<std::int64_t> global, micro, accumulation;
};

/// Values of the keys that are not written, if nothing speaks against them.
struct DefaultBatch {
  std::int64_t global = 32;
  std::int64_t micro = 4;
};

struct BatchAnswer {
  std::optional<BatchTriple> batch;
  std::string reason;   // why the unwritten ones are what they are; for `batch`
  std::string key;      // the key to blame if there is no batch: "train.global_batch_size"
  std::string message;  // what does not work out
  std::string hint;     // the nearest value that does
};

/// Solves for `dp` data-parallel ranks, dp >= 1.
[[nodiscard]] BatchAnswer solve_batch(const WrittenBatch& written, const DefaultBatch& defaults,
                                      std::int64_t dp);

/// The positive multiple of `step` that is nearest to `value`; the larger of two that are equally near.
[[nodiscard]] std::int64_t nearest_multiple(std::int64_t value, std::int64_t step);

/// The divisor of `value` that is nearest to `wanted` and at most it; at least 1.
[[nodiscard]] std::int64_t largest_divisor(std::int64_t value, std::int64_t wanted);

}  // namespace edgetrain
