#include "launch/runs/text_writer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/philox.h"
#include "core/data/byte_tokenizer.h"

namespace edgetrain {
namespace {

// Uniform in [0, 1) from 32 random bits.
double uniform(std::uint64_t seed, std::int64_t position) {
  const auto low = philox_words(static_cast<std::uint64_t>(position));
  const auto high = philox_words(fnv1a("generate"));
  return philox({low[0], low[1], high[0], high[1]}, philox_words(seed))[0] * 0x1p-32;
}

// Indexes of the k largest logits, largest first, equal ones by index; all of them for k == 0.
std::vector<std::int32_t> candidates(std::span<const float> logits, std::int64_t k) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = k > 0 ? std::min<std::size_t>(ids.size(), static_cast<std::size_t>(k)) : ids.size();
  std::partial_sort(
      ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(), [&](auto a, auto b) {
        const float la = logits[static_cast<std::size_t>(a)], lb = logits[static_cast<std::size_t>(b)];
        return la != lb ? la > lb : a < b;
      });
  ids.resize(count);
  return ids;
}

std::int32_t draw(std::span<const float> logits, const GenerateConfig& config, double random) {
  const auto ids = candidates(logits, config.temperature > 0.0 ? config.top_k : 1);
  if (config.temperature <= 0.0) return ids.front();
  std::vector<double> weights;
  const double top = logits[static_cast<std::size_t>(ids.front())];
  for (const auto id : ids)
    weights.push_back(std::exp((logits[static_cast<std::size_t>(id)] - top) / config.temperature));
  double rest = random * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    rest -= weights[i];
    if (rest < 0.0) return ids[i];
  }
  return ids.back();
}

}  // namespace

std::string write_text(const Job& job, RankEngine& engine) {
  const auto& config = job.generate;
  const auto seed = static_cast<std::uint64_t>(config.seed.value_or(job.seed));
  const auto window = static_cast<std::size_t>(engine.plan().spec().seq_len);
  std::vector<std::int32_t> ids = encode_bytes(config.prompt);
  for (std::int64_t i = 0; i < config.max_new_tokens; ++i) {
    const std::size_t begin = ids.size() > window ? ids.size() - window : 0;
    const auto logits = engine.next_logits(std::span<const std::int32_t>(ids).subspan(begin));
    ids.push_back(draw(logits, config, uniform(seed, i)));
  }
  return decode_bytes(ids);
}

}  // namespace edgetrain
