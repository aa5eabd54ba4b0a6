// Micro-batches: the token, target and position tensors of a range of positions of the sample sequence.
//
// Stateless: the caller keeps the one integer that says how far training is (order.h).
#pragma once

#include <cstdint>
#include <vector>

#include "core/data/corpus.h"
#include "core/data/order.h"
#include "core/data/samples.h"
#include "core/tensor/tensor.h"

namespace edgetrain {

class Loader {
 public:
  /// Borrows `corpus`. order.num_samples() == samples.count().
  Loader(const Corpus& corpus, const Samples& samples, const SampleOrder& order);

  /// Rows of a micro-batch of `positions`: S for each.
  [[nodiscard]] std::int64_t rows(const PositionRange& positions) const {
    return (positions.end - positions.begin) * samples_.seq_len;
  }

  /// ids, targets, position: (rows(positions), 1) i32, contiguous, in host memory; sample by sample.
  /// targets[t] is the token that follows ids[t]; position counts 0 .. S-1 within each sample. Blocks on the
  /// disk. Errors: Error(data) when a file fails or has shrunk.
  void fill(const PositionRange& positions, Tensor ids, Tensor targets, Tensor position) const;

  /// Rows of that micro-batch at which a document begins inside a sample, ascending: for masks that keep
  /// documents apart (core/model/mask.h).
  [[nodiscard]] std::vector<std::int64_t> document_starts(const PositionRange& positions) const;

  [[nodiscard]] const SampleOrder& order() const { return order_; }
  [[nodiscard]] const Samples& samples() const { return samples_; }

 private:
  const Corpus& corpus_;
  Samples samples_;
  SampleOrder order_;
};

}  // namespace edgetrain
