#include "launch/runs/first_weights.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "core/io/safetensors.h"
#include "core/model/peft_config.h"

namespace edgetrain {
namespace {

TileSource with_adapter(TileSource base, TileSource adapter) {
  return [base = std::move(base), adapter = std::move(adapter)](const ParamSpec& spec, const Tile& tile,
                                                                std::span<float> values) {
    (spec.adapter ? adapter : base)(spec, tile, values);
  };
}

// What of the adapter's tensors is missing, has another shape, or is no adapter of this model.
std::string mismatches(const SafetensorsReader& file, const ModelLayout& layout, Family family) {
  std::string problems;
  std::set<std::string> wanted;
  for (const auto& spec : layout.table().specs) {
    if (!spec.adapter) continue;
    const std::string name = *wanted.insert(peft_tensor_name(spec.name, family)).first;
    const auto* entry = file.find(name);
    if (entry == nullptr) {
      problems += fmt::format("\n  {}: missing", name);
    } else if (entry->rows() != spec.rows || entry->cols() != spec.cols) {
      problems += fmt::format("\n  {}: {} x {} in the file, {} x {} for the model", name, entry->rows(),
                              entry->cols(), spec.rows, spec.cols);
    }
  }
  for (const auto& entry : file.entries()) {
    if (!wanted.contains(entry.name)) problems += fmt::format("\n  {}: belongs to no target", entry.name);
  }
  return problems;
}

}  // namespace

WeightsOrigin origin_of(const Job& job) {
  return {job.model.init == ModelInit::pretrained ? job.model.path : "", static_cast<std::uint64_t>(job.seed),
          job.model.adapter ? job.model.adapter->path : ""};
}

std::string describe(const WeightsOrigin& origin) {
  const bool both = !origin.path.empty() && !origin.adapter_path.empty();
  return fmt::format("{}{}{}", origin.path, both ? ", " : "", origin.adapter_path);
}

TileSource base_weights(const WeightsOrigin& origin, const ModelLayout& layout) {
  return origin.path.empty() ? random_weights(origin.seed) : pretrained_weights(origin.path, layout);
}

TileSource peft_weights(const std::filesystem::path& folder, const ModelLayout& layout, Family family) {
  const auto path = folder / kPeftWeightsFile;
  auto file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(path));
  const std::string problems = mismatches(*file, layout, family);
  if (!problems.empty())
    throw Error(ErrorClass::data,
                fmt::format("{}: the adapter does not fit the model:{}", path.string(), problems));
  return [file, family](const ParamSpec& spec, const Tile& tile, std::span<float> values) {
    file->read(peft_tensor_name(spec.name, family), {tile.row, tile.row + tile.rows},
               {tile.col, tile.col + tile.cols}, matrix(values.data(), tile.rows, tile.cols, Dtype::f32));
  };
}

TileSource weights_as_written(const WeightsOrigin& origin, const ModelLayout& layout, Family family) {
  return with_adapter(base_weights(origin, layout), origin.adapter_path.empty()
                                                        ? random_weights(origin.seed)
                                                        : peft_weights(origin.adapter_path, layout, family));
}

TileSource first_weights(const WeightsOrigin& origin, const ModelLayout& layout, Family family,
                         const AdapterSpec& adapter, const StartRoom& room,
                         const std::function<void()>& beat) {
  if (adapter.empty() || adapter.init != AdapterInit::svd) return weights_as_written(origin, layout, family);
  TileSource base = base_weights(origin, layout);
  TileSource vectors = singular_vectors(base, layout, family, room, beat);
  return with_adapter(std::move(base), std::move(vectors));
}

Hash128 mark_of(const TileSource& base, const ModelLayout& layout) {
  constexpr std::int64_t kColumns = 1024;
  Hasher hasher;
  std::vector<float> values;
  const auto& specs = layout.table().specs;
  for (std::size_t p = 0; p < specs.size(); ++p) {
    const auto& spec = specs[p];
    if (spec.adapter) continue;
    for (const std::int64_t row : {std::int64_t{0}, spec.rows / 2, spec.rows - 1}) {
      const Tile tile{static_cast<int>(p), row, 1, 0, std::min(spec.cols, kColumns), 0};
      values.resize(static_cast<std::size_t>(tile.cols));
      base(spec, tile, values);
      hasher.add(std::as_bytes(std::span(values)));
    }
  }
  return hasher.take();
}

}  // namespace edgetrain
