// The sum of N vectors in the one order that all collectives keep: the balanced binary tree over the group
// indexes.
//
// Why here and not in core/ops: it is what makes every algorithm give the same bits, so it is part of the
// collectives' contract, and it works on N borrowed sources at once so that no partial sum travels through
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/comm/communicator.h"

namespace edgetrain {

/// dst[i] <- tree over k of sources[k][i], i < elements. The tree of [a, b) is tree[a, m) + tree[m, b), with
/// m - a the largest power of two below b - a. bf16 is widened, summed in f32 and rounded once. ReduceOp::max
/// keeps NaN. `dst` may be one of the sources, but may not overlap one otherwise. No alignment is asked
/// beyond the element's. Integers wrap around. Errors: Error(internal) for a dtype that cannot be reduced.
void reduce_tree(std::span<const std::byte* const> sources, std::byte* dst, std::int64_t elements,
                 Dtype dtype, ReduceOp op);

/// bf16 <-> f32, round to nearest even: for algorithms that send partial sums (in f32) of bf16 vectors.
void widen_bf16(const std::byte* bf16, std::byte* f32, std::int64_t elements);
void narrow_bf16(const std::byte* f32, std::byte* bf16, std::int64_t elements);

}  // namespace edgetrain
