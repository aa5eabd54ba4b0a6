#include "launch/runs/svd_weights.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/singular.h"
#include "launch/runs/parallel_for.h"

namespace edgetrain {
namespace {

// The matrices of one adapter, row-major, as ParamSpec has them.
struct Vectors {
  std::vector<float> a, b;
};

std::vector<float> whole(const TileSource& source, const ParamSpec& spec, int param) {
  std::vector<float> values(static_cast<std::size_t>(spec.numel()));
  source(spec, {param, 0, spec.rows, 0, spec.cols, 0}, values);
  return values;
}

// GPT-2 stores (in, out): there the left vectors belong to the inputs.
Vectors vectors_of(const SingularTriplets& triplets, bool in_out) {
  const auto& of_inputs = in_out ? triplets.left : triplets.right;
  const auto& of_outputs = in_out ? triplets.right : triplets.left;
  Vectors out;
  out.a.reserve(of_inputs.size() * of_inputs.front().size());
  out.b.reserve(of_outputs.size() * of_outputs.front().size());
  for (const auto& row : of_inputs) {
    for (const double value : row) out.a.push_back(static_cast<float>(value));
  }
  for (std::size_t o = 0; o < of_outputs.front().size(); ++o) {
    for (const auto& column : of_outputs) out.b.push_back(static_cast<float>(column[o]));
  }
  return out;
}

void copy_tile(const std::vector<float>& from, const ParamSpec& spec, const Tile& tile,
               std::span<float> values) {
  auto to = values.begin();
  for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row)
    to = std::copy_n(from.begin() + row * spec.cols + tile.col, tile.cols, to);
}

// An adapter's A and the weight that it stands beside.
struct Target {
  const ParamSpec* a = nullptr;
  int weight = -1;
  std::string module;  // "h.0.attn.c_attn."
};

constexpr std::string_view kEnding = "lora_A.weight";

std::vector<Target> targets_of(const ParamTable& table) {
  std::vector<Target> targets;
  for (const auto& spec : table.specs) {
    if (!spec.adapter || !spec.name.ends_with(kEnding)) continue;
    const std::string module = spec.name.substr(0, spec.name.size() - kEnding.size());
    targets.push_back({&spec, table.find(module + "weight"), module});
    ET_ASSERT(targets.back().weight >= 0);
  }
  return targets;
}

constexpr std::int64_t kFloat = sizeof(float);

// Of both matrices of every adapter.
std::int64_t value_bytes(std::span<const Target> targets, const ParamTable& table) {
  std::int64_t bytes = 0;
  for (const auto& target : targets) {
    const auto& weight = table.specs[static_cast<std::size_t>(target.weight)];
    bytes += kFloat * target.a->rows * (weight.rows + weight.cols);
  }
  return bytes;
}

// Beside the values: the weight that takes most.
SingularBytes work_bytes(std::span<const Target> targets, const ParamTable& table) {
  SingularBytes bytes;
  for (const auto& target : targets) {
    const auto& weight = table.specs[static_cast<std::size_t>(target.weight)];
    const auto vectors = singular_bytes(weight.rows, weight.cols, target.a->rows);
    bytes.least = std::max(bytes.least, kFloat * weight.numel() + vectors.least);
    bytes.most = std::max(bytes.most, kFloat * weight.numel() + vectors.most);
  }
  return bytes;
}

}  // namespace

SingularBytes svd_bytes(const ModelLayout& layout) {
  const auto targets = targets_of(layout.table());
  const std::int64_t values = value_bytes(targets, layout.table());
  const auto work = work_bytes(targets, layout.table());
  return {values + work.least, values + work.most};
}

TileSource singular_vectors(const TileSource& base, const ModelLayout& layout, Family family,
                            const StartRoom& room, const std::function<void()>& beat) {
  const auto& table = layout.table();
  const auto targets = targets_of(table);
  const std::int64_t for_work = room.bytes - value_bytes(targets, table);
  std::vector<std::optional<Vectors>> found(targets.size());
  const auto find = [&](std::int64_t i, std::int64_t bytes) {
    const auto& target = targets[static_cast<std::size_t>(i)];
    const ParamSpec& weight = table.specs[static_cast<std::size_t>(target.weight)];
    const auto triplets =
        first_singular_triplets(whole(base, weight, target.weight), weight.rows, weight.cols, target.a->rows,
                                bytes - kFloat * weight.numel());
    if (triplets) found[static_cast<std::size_t>(i)] = vectors_of(*triplets, family == Family::gpt2);
    beat();
  };
  const auto threads = std::clamp<std::int64_t>(for_work / work_bytes(targets, table).least, 1, room.threads);
  parallel_for(static_cast<int>(threads), std::ssize(targets),
               [&](std::int64_t i) { find(i, for_work / threads); });
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!found[i]) find(static_cast<std::int64_t>(i), for_work);
    if (!found[i]) {
      throw Error(ErrorClass::resource,
                  fmt::format("model.adapter.init: svd: the first {} singular vectors of {} take more than "
                              "the {} bytes that memory.device leaves beside the model and the adapters\n"
                              "HINT: more memory.device, or init: gaussian",
                              targets[i].a->rows,
                              table.specs[static_cast<std::size_t>(targets[i].weight)].name, for_work));
    }
  }
  auto by_name = std::make_shared<std::map<std::string, std::vector<float>>>();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    (*by_name)[targets[i].a->name] = std::move(found[i]->a);
    (*by_name)[targets[i].module + "lora_B.weight"] = std::move(found[i]->b);
  }
  return [by_name](const ParamSpec& spec, const Tile& tile, std::span<float> values) {
    const auto matrix = by_name->find(spec.name);
    if (matrix == by_name->end()) {
      std::ranges::fill(values, 0.0F);
    } else {
      copy_tile(matrix->second, spec, tile, values);
    }
  };
}

}  // namespace edgetrain
