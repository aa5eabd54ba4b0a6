// Cutting loops over OpenMP threads so that no bit depends on how many there are.
//
// Why: every light operator is elementwise, or a sum along a row, or a sum over rows for one column. So rows
// or columns are cut into contiguous parts and one thread does the whole sum of each of its outputs; partial
// sums per thread were rejected, since their number would change the bits. A body must not throw: an
// exception may not leave an OpenMP region. Operators check everything before.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "core/ops/cpu/env.h"

namespace edgetrain::cpu {

/// Half-open range of rows, columns or elements.
struct Part {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};

/// Waking a team costs some microseconds: what touches fewer bytes than this runs on the caller's thread.
inline constexpr std::int64_t kSerialBytes = std::int64_t{32} * 1024;
/// Columns are cut at multiples of one cache line of f32, so that two threads rarely write the same line.
inline constexpr std::int64_t kColumnGrain = 16;

[[nodiscard]] inline int team_size(const CpuEnv& env, std::int64_t bytes) {
  return bytes < kSerialBytes ? 1 : env.threads;
}

/// Part `index` of `count` nearly equal parts of [0, n), cut at multiples of `grain`; may be empty.
[[nodiscard]] inline Part part_of(std::int64_t n, std::int64_t grain, int index, int count) {
  const std::int64_t grains = (n + grain - 1) / grain;
  return {std::min(n, grains * index / count * grain), std::min(n, grains * (index + 1) / count * grain)};
}

/// body(part) on every thread of a team, over all of [0, n). `bytes` is the size of the whole work.
template <typename Body>
void for_parts(const CpuEnv& env, std::int64_t n, std::int64_t grain, std::int64_t bytes, Body&& body) {
  const int team = team_size(env, bytes);
  if (team == 1) {
    body(Part{0, n});
    return;
  }
#pragma omp parallel num_threads(team)
  {
    const Part mine = part_of(n, grain, omp_get_thread_num(), omp_get_num_threads());
    if (mine.size() > 0) body(mine);
  }
}

/// Two passes over the same rows: columns(row part, column part) folds rows into per-column sums, in row
/// order, and then rows(row part) may overwrite what the first has read. One thread alternates between them
/// in blocks that stay in its cache; a team makes each pass whole, with a barrier between them. Both give the
/// same bits.
template <typename Columns, typename Rows>
void fold_columns_then_rows(const CpuEnv& env, std::int64_t num_rows, std::int64_t num_cols,
                            std::int64_t bytes, Columns&& columns, Rows&& rows) {
  constexpr std::int64_t kRowsPerBlock = 16;
  const int team = team_size(env, bytes);
  if (team == 1) {
    for (std::int64_t begin = 0; begin < num_rows; begin += kRowsPerBlock) {
      const Part block{begin, std::min(num_rows, begin + kRowsPerBlock)};
      columns(block, Part{0, num_cols});
      rows(block);
    }
    return;
  }
#pragma omp parallel num_threads(team)
  {
    const int index = omp_get_thread_num(), count = omp_get_num_threads();
    columns(Part{0, num_rows}, part_of(num_cols, kColumnGrain, index, count));
#pragma omp barrier
    rows(part_of(num_rows, 1, index, count));
  }
}

}  // namespace edgetrain::cpu
