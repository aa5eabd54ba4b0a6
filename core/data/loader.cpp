#include "core/data/loader.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace edgetrain {
namespace {

std::span<std::int32_t> rows_of(Tensor tensor, std::int64_t rows) {
  ET_CHECK(tensor.dtype == Dtype::i32 && tensor.rows == rows && tensor.cols == 1,
           "({}, {}) {} for {} rows of tokens", tensor.rows, tensor.cols, name_of(tensor.dtype), rows);
  return tensor.flat<std::int32_t>();
}

}  // namespace

Loader::Loader(const Corpus& corpus, const Samples& samples, const SampleOrder& order)
    : corpus_(corpus), samples_(samples), order_(order) {
  ET_CHECK(order.num_samples() == samples.count(), "order over {} samples, part of {}", order.num_samples(),
           samples.count());
}

void Loader::fill(const PositionRange& positions, Tensor ids, Tensor targets, Tensor position) const {
  const auto seq_len = static_cast<std::size_t>(samples_.seq_len);
  auto ids_left = rows_of(ids, rows(positions));
  auto targets_left = rows_of(targets, rows(positions));
  auto position_left = rows_of(position, rows(positions));
  std::vector<std::int32_t> sample(seq_len + 1);
  for (std::int64_t p = positions.begin; p < positions.end; ++p) {
    corpus_.tokens(samples_.first_token(order_.sample_at(p)), sample);
    std::copy_n(sample.begin(), seq_len, ids_left.begin());
    std::copy_n(sample.begin() + 1, seq_len, targets_left.begin());
    std::iota(position_left.begin(), position_left.begin() + static_cast<std::ptrdiff_t>(seq_len), 0);
    ids_left = ids_left.subspan(seq_len);
    targets_left = targets_left.subspan(seq_len);
    position_left = position_left.subspan(seq_len);
  }
}

std::vector<std::int64_t> Loader::document_starts(const PositionRange& positions) const {
  std::vector<std::int64_t> rows;
  for (std::int64_t p = positions.begin; p < positions.end; ++p) {
    const std::int64_t first = samples_.first_token(order_.sample_at(p));
    const std::int64_t first_row = (p - positions.begin) * samples_.seq_len;
    for (const auto token : corpus_.document_starts(first + 1, samples_.seq_len - 1)) {
      rows.push_back(first_row + token - first);
    }
  }
  return rows;
}

}  // namespace edgetrain
