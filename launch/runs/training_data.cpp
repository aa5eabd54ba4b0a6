#include "launch/runs/training_data.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/files.h"

namespace edgetrain {
namespace {

// Cross-entropy leaves rows with this target out.
constexpr std::int32_t kIgnored = -100;

}  // namespace

TrainingData::TrainingData(const DataConfig& config, std::int64_t vocab, std::uint64_t seed)
    : seq_len_(config.seq_len),
      corpus_(expand_data_paths(config.path), byte_end_of_document(vocab)),
      splits_(split_samples(corpus_.num_tokens(), config.seq_len, config.val_fraction)),
      order_(config.order, seed, splits_.train.count()) {}

void TrainingData::fill_training(PositionRange positions, const TokenBuffers& buffers) const {
  for (std::int64_t p = positions.begin; p < positions.end; ++p) {
    fill_sample(splits_.train, order_.sample_at(p), p - positions.begin, buffers);
  }
}

void TrainingData::fill_validation(std::int64_t first, std::int64_t count, std::int64_t end,
                                   const TokenBuffers& buffers) const {
  for (std::int64_t slot = 0; slot < count; ++slot) {
    fill_sample(splits_.validation, std::min(first + slot, end - 1), slot, buffers);
    if (first + slot < end) continue;
    const auto targets = buffers.targets.row_range(slot * seq_len_, seq_len_).flat<std::int32_t>();
    std::fill(targets.begin(), targets.end(), kIgnored);
  }
}

double TrainingData::epochs(std::int64_t positions) const {
  return static_cast<double>(positions) / static_cast<double>(splits_.train.count());
}

void TrainingData::fill_sample(const Samples& part, std::int64_t sample, std::int64_t slot,
                               const TokenBuffers& buffers) const {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(seq_len_ + 1));
  corpus_.tokens(part.first_token(sample), tokens);
  const auto rows = [&](const Tensor& column) { return column.row_range(slot * seq_len_, seq_len_).flat<std::int32_t>(); };
  std::copy(tokens.begin(), tokens.end() - 1, rows(buffers.ids).begin());
  std::copy(tokens.begin() + 1, tokens.end(), rows(buffers.targets).begin());
  const auto position = rows(buffers.position);
  std::iota(position.begin(), position.end(), 0);
}

}  // namespace edgetrain
