#include "core/data/samples.h"

#include <cmath>

#include "core/base/error.h"

namespace edgetrain {

Splits split_samples(std::int64_t num_tokens, std::int64_t seq_len, double val_fraction) {
  ET_CHECK(seq_len >= 1, "seq_len {}", seq_len);
  ET_CHECK(val_fraction >= 0.0 && val_fraction < 1.0, "val_fraction {}", val_fraction);
  const auto tail = static_cast<std::int64_t>(std::floor(val_fraction * static_cast<double>(num_tokens)));
  const Splits splits{.train = {.begin = 0, .tokens = num_tokens - tail, .seq_len = seq_len},
                      .validation = {.begin = num_tokens - tail, .tokens = tail, .seq_len = seq_len}};
  if (splits.train.count() == 0) {
    throw JobError(
        fmt::format("the data set is too short: {} tokens for training, one sample of data.seq_len {} needs "
                    "{}; add text or lower data.seq_len",
                    splits.train.tokens, seq_len, seq_len + 1));
  }
  if (val_fraction > 0.0 && splits.validation.count() == 0) {
    throw JobError(fmt::format(
        "the validation part is too short: data.val_fraction {} of {} tokens is {}, one sample of "
        "data.seq_len {} needs {}; raise data.val_fraction, or set it to 0 for none",
        val_fraction, num_tokens, tail, seq_len, seq_len + 1));
  }
  return splits;
}

}  // namespace edgetrain
