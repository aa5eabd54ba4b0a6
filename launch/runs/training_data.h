// The data set of a job as micro-batches of its training and validation parts.
#pragma once

#include <cstdint>
#include <optional>

#include "core/data/config.h"
#include "core/data/data_set.h"
#include "core/data/fingerprint.h"
#include "core/data/loader.h"
#include "core/program/model_layout.h"

namespace edgetrain {

class TrainingData {
 public:
  /// vocab: of the model; decides whether there is an end-of-document id. Errors: JobError, see core/data.
  TrainingData(const DataConfig& config, std::int64_t vocab, std::uint64_t seed);
  TrainingData(const TrainingData&) = delete;
  TrainingData& operator=(const TrainingData&) = delete;

  /// Samples at `positions` of the training order, into buffers of as many samples.
  void fill_training(const PositionRange& positions, const TokenBuffers& buffers) const;
  /// Validation samples `wanted`, into buffers that hold `capacity` samples; the rest is padding that counts
  /// for nothing.
  void fill_validation(const PositionRange& wanted, std::int64_t capacity, const TokenBuffers& buffers) const;

  /// Reads the data, see fingerprint.h: ask once.
  [[nodiscard]] DataFingerprint fingerprint() const { return fingerprint_of(data_.corpus); }
  [[nodiscard]] const Splits& splits() const { return data_.splits; }
  [[nodiscard]] std::int64_t seq_len() const { return data_.splits.train.seq_len; }
  /// Index in the training set of the sample at a position of the order.
  [[nodiscard]] std::int64_t training_sample(std::int64_t position) const {
    return train_.order().sample_at(position);
  }

 private:
  DataSet data_;
  Loader train_;
  std::optional<Loader> validation_;  // empty: val_fraction is 0
};

}  // namespace edgetrain
