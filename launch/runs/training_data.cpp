#include "launch/runs/training_data.h"

#include <algorithm>

#include "core/base/error.h"

namespace edgetrain {
namespace {

// Cross-entropy leaves rows with this target out.
constexpr std::int32_t kIgnored = -100;

TokenBuffers samples_of(const TokenBuffers& all, std::int64_t first, std::int64_t count,
                        std::int64_t seq_len) {
  const auto rows = [&](const Tensor& t) { return t.row_range(first * seq_len, count * seq_len); };
  return {rows(all.ids), rows(all.targets), rows(all.position), rows(all.losses)};
}

}  // namespace

TrainingData::TrainingData(const DataConfig& config, std::int64_t vocab, std::uint64_t seed)
    : data_(open_byte_data_set(config.path, vocab, config.seq_len, config.val_fraction)),
      train_(data_.corpus, data_.splits.train, SampleOrder(config.order, seed, data_.splits.train.count())) {
  const std::int64_t validation = data_.splits.validation.count();
  if (validation > 0) {
    validation_.emplace(data_.corpus, data_.splits.validation,
                        SampleOrder(DataOrder::sequential, 0, validation));
  }
}

void TrainingData::fill_training(const PositionRange& positions, const TokenBuffers& buffers) const {
  train_.fill(positions, buffers.ids, buffers.targets, buffers.position);
}

void TrainingData::fill_validation(const PositionRange& wanted, std::int64_t capacity,
                                   const TokenBuffers& buffers) const {
  ET_ASSERT(validation_.has_value());
  const std::int64_t count = wanted.end - wanted.begin;
  const auto real = samples_of(buffers, 0, count, seq_len());
  validation_->fill(wanted, real.ids, real.targets, real.position);
  for (std::int64_t slot = count; slot < capacity; ++slot) {  // the first sample once more, as padding
    const auto padding = samples_of(buffers, slot, 1, seq_len());
    validation_->fill({wanted.begin, wanted.begin + 1}, padding.ids, padding.targets, padding.position);
    const auto targets = padding.targets.flat<std::int32_t>();
    std::fill(targets.begin(), targets.end(), kIgnored);
  }
}

}  // namespace edgetrain
