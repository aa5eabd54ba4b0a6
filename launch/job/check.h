// What two keys say together, and what the job says about this machine: every contradiction that one process
// can find before MPI starts. Keys by themselves (type, range) were judged by parse.h.
//
// Files are looked at, never changed: `check` may be run anywhere, at any time.
#pragma once

#include <vector>

#include "core/model/config.h"
#include "launch/job/batch.h"
#include "launch/job/facts.h"
#include "launch/job/parse.h"

namespace edgetrain {

/// All contradictions in a job that parsed without problems. What depends on the number of ranks is checked
/// if facts.world_size or parallel.dp says it.
[[nodiscard]] std::vector<Problem> check(const ParsedJob& parsed, const Facts& facts);

/// What the job asks of the model that it names, once that has been read.
[[nodiscard]] std::vector<Problem> check_model_fits(const ParsedJob& parsed, const ModelConfig& model);

/// Data-parallel ranks: written, or the ranks that the other axes leave; 1 if the number of ranks is not
/// known.
[[nodiscard]] std::int64_t data_parallel_ranks(const Job& job, const Facts& facts);

/// The batch keys that were written with a number.
[[nodiscard]] WrittenBatch written_batch(const ParsedJob& parsed);

}  // namespace edgetrain
