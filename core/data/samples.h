// A part of the token stream, cut into samples: training is the head of the stream, validation its tail.
#pragma once

#include <cstdint>

namespace edgetrain {

/// Sample i is the S + 1 tokens begin + [i*S, i*S + S]: S inputs and, one further, their targets. Neighbours
/// share one token, the last target of one and the first input of the next. What is left at the end of the
/// part is not used.
struct Samples {
  std::int64_t begin = 0;    // first token of the part, in the stream
  std::int64_t tokens = 0;   // of the part
  std::int64_t seq_len = 0;  // S

  [[nodiscard]] std::int64_t count() const { return tokens < 1 ? 0 : (tokens - 1) / seq_len; }
  [[nodiscard]] std::int64_t first_token(std::int64_t sample) const { return begin + sample * seq_len; }
};

struct Splits {
  Samples train, validation;  // validation.count() == 0 when val_fraction is 0
};

/// The last floor(val_fraction * num_tokens) tokens are the validation part; 0 means none.
/// Errors: JobError when either part that was asked for has no sample, with the numbers and what to change.
[[nodiscard]] Splits split_samples(std::int64_t num_tokens, std::int64_t seq_len, double val_fraction);

}  // namespace edgetrain
