// A rank's share of a bucket, cut into its tensors: from memory to what rules read (update_rule.h).
#pragma once

#include <array>
#include <vector>

#include "optim/figures.h"
#include "optim/state_layout.h"
#include "optim/update_rule.h"

namespace edgetrain {

/// Where a bucket's values lie; addresses are null on the dry device.
struct ShareSources {
  Tensor grad, master, out;                // (1, owned)
  std::vector<Tensor> states;              // as state_room says
  std::array<Tensor, kMaxPhases> figures;  // (1, words) of all buckets; absent where there are none
  Tensor whole;                            // (1, elements) f32; absent unless assembled
};

/// All tensors of the bucket, in memory order, also those of which nothing lies here: their states per row
/// and column are here.
[[nodiscard]] std::vector<TensorShare> tensor_shares(const UpdateRule& rule, const OwnedBucket& of,
                                                     const FigureLayout& figures,
                                                     const ShareSources& sources);

/// Those of a share's tensors that lie, at least in part, in `range` of the share.
[[nodiscard]] std::span<const TensorShare> tensors_within(std::span<const TensorShare> tensors, Range range);

/// A tensor of the share as far as it lies in `range` of it: a share that is `range` alone, whose values are
/// `values`, every state per element.
[[nodiscard]] TensorShare part_within(const TensorShare& tensor, Range range, const ShareSources& values);

}  // namespace edgetrain
