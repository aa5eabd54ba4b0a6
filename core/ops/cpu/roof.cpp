#include "core/ops/cpu/roof.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "core/memory/pool.h"
#include "core/ops/cpu/elementwise.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {
namespace {

using Memory = dnnl::memory;

Memory::data_type type_of(Dtype dtype) {
  return dtype == Dtype::f32 ? Memory::data_type::f32 : Memory::data_type::bf16;
}

Memory::desc plain(std::int64_t rows, std::int64_t cols, bool transposed, Dtype dtype) {
  const auto strides = transposed ? Memory::dims{1, rows} : Memory::dims{cols, 1};
  return {{rows, cols}, type_of(dtype), strides};
}

Memory::desc any(std::int64_t rows, std::int64_t cols, Dtype dtype) {
  return {{rows, cols}, type_of(dtype), Memory::format_tag::any};
}

// Small values of mixed sign: zeros and denormals are not the usual operands.
Memory filled(const Memory::desc& desc, const dnnl::engine& engine) {
  Memory memory(desc, engine);
  auto* bytes = static_cast<std::uint8_t*>(memory.get_data_handle());
  for (std::size_t i = 0; i < desc.get_size(); ++i)
    bytes[i] = i % 2 == 0 ? static_cast<std::uint8_t>(i * 37) : 0x3c;
  return memory;
}

double median_seconds(const GemmShape& shape, const Memory::desc& a, const Memory::desc& b, int rounds) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  dnnl::primitive_attr attributes;
  if (shape.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
  const dnnl::matmul::primitive_desc desc({a, b, plain(shape.m, shape.n, false, shape.out)}, attributes,
                                          engine);
  const dnnl::matmul product(desc);
  Memory ma = filled(desc.src_desc(), engine), mb = filled(desc.weights_desc(), engine),
         mc(desc.dst_desc(), engine);
  std::fill_n(static_cast<std::uint8_t*>(mc.get_data_handle()), desc.dst_desc().get_size(), std::uint8_t{0});
  std::vector<double> seconds;
  for (int i = 0; i <= rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    product.execute(stream, {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}});
    stream.wait();
    if (i > 0)
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return seconds[static_cast<std::size_t>(rounds / 2)];
}

}  // namespace

double onednn_alone_seconds(const GemmShape& shape, int threads, int rounds) {
  omp_set_num_threads(threads);
  const auto a = plain(shape.m, shape.k, shape.trans_a, shape.in);
  const auto b = plain(shape.k, shape.n, shape.trans_b, shape.in);
  return std::min(median_seconds(shape, a, b, rounds),
                  median_seconds(shape, a, any(shape.k, shape.n, shape.in), rounds));
}

double memory_rate(int threads, int rounds) {
  constexpr std::int64_t kRows = 64, kCols = 1 << 20;  // 256 MiB each
  constexpr std::int64_t kBytes = kRows * kCols * size_of(Dtype::f32);
  Pool pool(Tier::device, 2 * kBytes);
  const Arena first = pool.reserve(Category::activations, kBytes, "x");
  const Arena second = pool.reserve(Category::activations, kBytes, "y");
  const Tensor x = matrix(first.data(), kRows, kCols, Dtype::f32);
  const Tensor y = matrix(second.data(), kRows, kCols, Dtype::f32);
  Workspace none;
  const CpuEnv env{none, threads};
  fill(env, x, 0.0F);
  fill(env, y, 0.0F);
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    add(env, x, y, y);
    fastest =
        std::min(fastest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return static_cast<double>(3 * kBytes) / fastest;
}

}  // namespace edgetrain::cpu
