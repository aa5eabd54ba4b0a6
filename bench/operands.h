// What the benches of operators share: a pool, matrices filled with numbers, and the program around them.
#pragma once

#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/memory/pool.h"
#include "core/tensor/bf16.h"
#include "core/tensor/tensor.h"

namespace edgetrain {

inline Pool& pool() {
  static Pool instance(Tier::device, std::int64_t{16} << 30);
  return instance;
}

inline constexpr std::size_t kNormals = 10007;
inline const std::vector<float>& normals() {
  static const std::vector<float> numbers = [] {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0F, 1.5F);
    std::vector<float> made(kNormals);
    for (float& value : made) value = normal(random);
    return made;
  }();
  return numbers;
}

/// A matrix of normal numbers, the same ones over and over; integers are zero.
class Filled {
 public:
  Filled(Dtype dtype, std::int64_t rows, std::int64_t cols)
      : arena_(pool().reserve(Category::activations, rows * cols * size_of(dtype), "bench")),
        tensor_(matrix(arena_.data(), rows, cols, dtype)) {
    std::memset(tensor_.data, 0, static_cast<std::size_t>(tensor_.bytes()));
    for (std::int64_t i = 0; i < tensor_.numel(); ++i) {
      const float value = normals()[static_cast<std::size_t>(i) % kNormals];
      if (dtype == Dtype::f32) tensor_.as<float>()[i] = value;
      if (dtype == Dtype::bf16) tensor_.as<std::uint16_t>()[i] = bf16_from_float(value);
    }
  }
  [[nodiscard]] Tensor tensor() const { return tensor_; }

 private:
  Arena arena_;
  Tensor tensor_;
};

/// Runs what add_all() registered, as the command line filters it.
template <typename AddAll>
int run_benchmarks(int argc, char** argv, const AddAll& add_all) {
  benchmark::Initialize(&argc, argv);
  add_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace edgetrain
