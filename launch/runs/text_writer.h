// The few lines that a trained model writes at the end of a run: section `generate` of the job.
#pragma once

#include <string>

#include "launch/job/job.h"
#include "launch/runs/rank_engine.h"

namespace edgetrain {

/// Prompt and continuation, as bytes. Every rank calls it and gets the same text: tokens are drawn from the
/// logits with Philox, keyed by (generate.seed, position). The context is the last seq_len tokens.
[[nodiscard]] std::string write_text(const Job& job, RankEngine& engine);

}  // namespace edgetrain
