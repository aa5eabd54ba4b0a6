// The first singular triplets of a dense matrix: what an adapter after SVFit starts from.
//
// Why our own: the first few of many are wanted, for which a Lanczos iteration takes one pass over the matrix
// per step, seconds for all weights of a GPT-2; a full decomposition takes minutes. Rejected: subspace
// iteration, which needs many times the passes where singular values lie close together, as those of trained
// weights do behind the first ones. One thread, a fixed order of sums: the same bits on every rank.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace edgetrain {

/// w ~ sum over i of values[i] * left[i] right[i]^T.
struct SingularTriplets {
  std::vector<double> values;              // descending
  std::vector<std::vector<double>> left;   // of `rows` elements, orthonormal
  std::vector<std::vector<double>> right;  // of `cols` elements, orthonormal
};

/// The first `count` triplets of w (rows, cols), row-major; 1 <= count <= min(rows, cols). Each is off by
/// about 1e-6 of the largest value at most. Lanczos on the smaller one of w^T w and w w^T with full
/// orthogonalisation (Golub & Van Loan, 10.1), whose vectors grow in number until the triplets have settled:
/// nothing if that takes more than `max_bytes` of heap.
[[nodiscard]] std::optional<SingularTriplets> first_singular_triplets(
    std::span<const float> w, std::int64_t rows, std::int64_t cols, std::int64_t count,
    std::int64_t max_bytes = std::numeric_limits<std::int64_t>::max());

/// Heap that it takes: where the triplets settle at once, and where they need as many vectors as there are.
struct SingularBytes {
  std::int64_t least = 0, most = 0;
};
[[nodiscard]] SingularBytes singular_bytes(std::int64_t rows, std::int64_t cols, std::int64_t count);

}  // namespace edgetrain
