#include "optim/bucket_share.h"

#include <algorithm>

namespace edgetrain {
namespace {

Tensor part_of(const Tensor& memory, Range range) {
  return memory.absent() ? memory : memory.col_range(range.begin, range.size());
}

}  // namespace

std::vector<TensorShare> tensor_shares(const UpdateRule& rule, const OwnedBucket& of,
                                       const FigureLayout& figures, const ShareSources& sources) {
  std::vector<TensorShare> shares;
  for (std::size_t i = 0; i < of.bucket.params.size(); ++i) {
    const int param = of.bucket.params[i];
    TensorShare share;
    share.spec = &of.specs[static_cast<std::size_t>(param)];
    share.hyper = rule.hyper(*share.spec);
    share.own = elements_within(of, i, of.owned);
    share.at = std::clamp(of.bucket.at[i] - of.owned.begin, std::int64_t{0}, of.owned.size());
    const Range here{share.at, share.at + share.own.size()};
    share.grad = part_of(sources.grad, here);
    share.master = part_of(sources.master, here);
    share.out = part_of(sources.out, here);
    for (std::size_t s = 0; s < sources.states.size(); ++s)
      share.states.at(s) = part_of(sources.states[s], state_place(rule, s, of, i));
    for (int phase = 0; phase < figures.phases(); ++phase) {
      auto& words = share.figures.at(static_cast<std::size_t>(phase));
      words = part_of(sources.figures.at(static_cast<std::size_t>(phase)), figures.of_param(phase, param));
    }
    if (rule.wants_whole(*share.spec)) {
      const Range elements{of.bucket.at[i], of.bucket.at[i] + share.spec->numel()};
      share.whole = part_of(sources.whole, elements).reshaped(share.spec->rows, share.spec->cols);
    }
    shares.push_back(share);
  }
  return shares;
}

std::span<const TensorShare> tensors_within(std::span<const TensorShare> tensors, Range range) {
  const auto first = std::ranges::partition_point(
      tensors, [&](const TensorShare& t) { return t.at + t.own.size() <= range.begin; });
  const auto last =
      std::partition_point(first, tensors.end(), [&](const TensorShare& t) { return t.at < range.end; });
  return {first, last};
}

TensorShare part_within(const TensorShare& tensor, Range range, const ShareSources& values) {
  TensorShare part = tensor;
  const std::int64_t begin = std::max(tensor.at, range.begin);
  const std::int64_t end = std::min(tensor.at + tensor.own.size(), range.end);
  part.own = {tensor.own.begin + begin - tensor.at, tensor.own.begin + end - tensor.at};
  part.at = begin - range.begin;
  const Range here{part.at, end - range.begin};
  part.grad = part_of(values.grad, here);
  part.master = part_of(values.master, here);
  part.out = part_of(values.out, here);
  for (std::size_t s = 0; s < values.states.size(); ++s) part.states.at(s) = part_of(values.states[s], here);
  return part;
}

}  // namespace edgetrain
