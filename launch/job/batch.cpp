#include "launch/job/batch.h"

#include <fmt/format.h>

#include <algorithm>

namespace edgetrain {
namespace {

constexpr const char* kGlobal = "train.global_batch_size";
constexpr const char* kMicro = "train.micro_batch_size";
constexpr const char* kAccumulation = "train.gradient_accumulation_steps";

BatchAnswer refuse(std::string key, std::string message, std::string hint) {
  return {std::nullopt, "", std::move(key), std::move(message), std::move(hint)};
}

std::string on_ranks(std::int64_t dp) {
  return fmt::format("{} data-parallel rank{}", dp, dp == 1 ? "" : "s");
}

// global and micro are fixed.
BatchAnswer from_global_and_micro(std::int64_t global, std::int64_t micro, std::int64_t dp,
                                  std::string reason) {
  const std::int64_t share = global / dp;
  if (share % micro == 0) return {BatchTriple{global, micro, share / micro}, std::move(reason), "", "", ""};
  return refuse(kMicro,
                fmt::format("a micro-batch of {} does not divide the {} sequences that each of {} has in a "
                            "global batch of {}",
                            micro, share, on_ranks(dp), global),
                fmt::format("nearest: {}: {}, or {}: {}", kMicro, largest_divisor(share, micro), kGlobal,
                            nearest_multiple(global, micro * dp)));
}

BatchAnswer all_written(std::int64_t global, std::int64_t micro, std::int64_t accumulation, std::int64_t dp) {
  const std::int64_t product = micro * accumulation * dp;
  if (product == global) return {BatchTriple{global, micro, accumulation}, "", "", "", ""};
  const std::string hint = fmt::format("write two of the three; {}: {} fits the other two", kGlobal, product);
  return refuse(kGlobal,
                fmt::format("a global batch of {} is not {} (micro-batch) x {} (accumulation) x {} (dp) = {}",
                            global, micro, accumulation, dp, product),
                hint);
}

BatchAnswer from_accumulation(std::int64_t global, std::int64_t accumulation, std::int64_t dp,
                              bool global_written, const DefaultBatch& defaults) {
  const std::int64_t share = global / dp;
  if (share % accumulation == 0) {
    return {BatchTriple{global, share / accumulation, accumulation},
            fmt::format("a global batch of {} over {} in {} passes", global, on_ranks(dp), accumulation), "",
            "", ""};
  }
  if (!global_written) {
    return {BatchTriple{defaults.micro * accumulation * dp, defaults.micro, accumulation},
            fmt::format("the default of {} cannot be had in {} passes", global, accumulation), "", "", ""};
  }
  return refuse(
      kAccumulation,
      fmt::format("the {} sequences that each of {} has in a global batch of {} do not divide into {} passes",
                  share, on_ranks(dp), global, accumulation),
      fmt::format("nearest: {}: {}, or {}: {}", kAccumulation, largest_divisor(share, accumulation), kGlobal,
                  nearest_multiple(global, accumulation * dp)));
}

// Only micro is written: the default of global gives way if it must.
BatchAnswer from_micro(std::int64_t micro, const DefaultBatch& defaults, std::int64_t dp) {
  const std::int64_t global = defaults.global;
  if (global % (micro * dp) == 0) {
    return from_global_and_micro(global, micro, dp, fmt::format("the default global batch of {}", global));
  }
  const std::int64_t moved = nearest_multiple(global, micro * dp);
  return from_global_and_micro(moved, micro, dp,
                               fmt::format("the multiple of {} (micro-batch) x {} (dp) nearest to the "
                                           "default of {}",
                                           micro, dp, global));
}

}  // namespace

std::int64_t nearest_multiple(std::int64_t value, std::int64_t step) {
  const std::int64_t below = value / step * step;
  if (below == 0) return step;
  return value - below < below + step - value ? below : below + step;
}

std::int64_t largest_divisor(std::int64_t value, std::int64_t wanted) {
  std::int64_t divisor = std::clamp<std::int64_t>(wanted, 1, value);
  while (value % divisor != 0) --divisor;
  return divisor;
}

BatchAnswer solve_batch(const WrittenBatch& written, const DefaultBatch& defaults, std::int64_t dp) {
  if (written.global && written.micro && written.accumulation) {
    return all_written(*written.global, *written.micro, *written.accumulation, dp);
  }
  if (written.micro && written.accumulation) {
    return {BatchTriple{*written.micro * *written.accumulation * dp, *written.micro, *written.accumulation},
            fmt::format("{} (micro-batch) x {} (accumulation) x {} (dp)", *written.micro,
                        *written.accumulation, dp),
            "", "", ""};
  }
  const std::int64_t global = written.global.value_or(defaults.global);
  if (global % dp != 0) {
    return refuse(kGlobal, fmt::format("a global batch of {} does not divide among {}", global, on_ranks(dp)),
                  fmt::format("nearest: {}: {}", kGlobal, nearest_multiple(global, dp)));
  }
  if (written.accumulation) {
    return from_accumulation(global, *written.accumulation, dp, written.global.has_value(), defaults);
  }
  if (written.micro) {
    return written.global
               ? from_global_and_micro(global, *written.micro, dp,
                                       fmt::format("a global batch of {} over {}", global, on_ranks(dp)))
               : from_micro(*written.micro, defaults, dp);
  }
  const std::int64_t micro = largest_divisor(global / dp, defaults.micro);
  return from_global_and_micro(global, micro, dp,
                               fmt::format("a global batch of {} over {}", global, on_ranks(dp)));
}

}  // namespace edgetrain
