// The corpus of a job as micro-batches: which samples a rank takes at which step, and their tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/data/config.h"
#include "core/data/corpus.h"
#include "core/data/order.h"
#include "core/data/samples.h"
#include "core/program/model_layout.h"

namespace edgetrain {

class TrainingData {
 public:
  /// vocab: of the model; decides whether there is an end-of-document id. Errors: JobError, see core/data.
  TrainingData(const DataConfig& config, std::int64_t vocab, std::uint64_t seed);

  /// Samples at `positions` of the training order, into buffers of positions.size() * seq_len rows.
  void fill_training(PositionRange positions, const TokenBuffers& buffers) const;
  /// Validation samples [first, first + count), `count` the capacity of the buffers; what lies past `end` is padding that counts for
  /// nothing.
  void fill_validation(std::int64_t first, std::int64_t count, std::int64_t end, const TokenBuffers& buffers) const;

  /// Index in the training set of the sample at a position of the order.
  [[nodiscard]] std::int64_t training_sample(std::int64_t position) const { return order_.sample_at(position); }
  [[nodiscard]] const Splits& splits() const { return splits_; }
  [[nodiscard]] const Corpus& corpus() const { return corpus_; }
  [[nodiscard]] std::int64_t seq_len() const { return seq_len_; }
  /// Part of an epoch that `positions` samples are.
  [[nodiscard]] double epochs(std::int64_t positions) const;

 private:
  void fill_sample(const Samples& part, std::int64_t sample, std::int64_t slot, const TokenBuffers& buffers) const;
  std::int64_t seq_len_;
  Corpus corpus_;
  Splits splits_;
  SampleOrder order_;
};

}  // namespace edgetrain
