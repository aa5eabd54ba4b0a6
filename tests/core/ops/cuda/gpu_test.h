// What every test on a GPU stands on: a stream, operators with a workspace, the oracle, seeded values.
//
// Without a GPU the constructor throws and every test fails: a green run means that the kernels ran.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "core/device/cuda/buffer.h"
#include "core/device/cuda/stream.h"
#include "core/memory/pool.h"
#include "core/ops/cuda/cuda_ops.h"
#include "tests/core/ops/cuda/twin.h"
#include "tests/support/compare.h"
#include "tests/support/oracle_ops.h"

namespace edgetrain::testing {

class GpuTest : public ::testing::Test {
 protected:
  static constexpr unsigned kSeed = 31337;

  Twin twin(std::int64_t rows, std::int64_t cols, Dtype dtype, Placement placement = {}) {
    return {random_, rows, cols, dtype, placement};
  }

  /// After the same call on both sides: result and sentinels.
  void expect_equal(Twin& result, Tolerance tolerance) {
    stream_.synchronize();
    const Matrix actual = result.from_device(), expected = read(result.host());
    EXPECT_TRUE(all_close(std::span(actual.values), std::span(expected.values), tolerance));
    EXPECT_TRUE(result.guards_intact());
  }

  ::testing::ScopedTrace seed_{__FILE__, __LINE__, ::testing::Message() << "seed " << kSeed};
  std::mt19937 random_{kSeed};
  CudaStream stream_;
  CudaBuffer scratch_{std::int64_t{40} << 20};
  Workspace workspace_{scratch_.data(), scratch_.bytes()};
  CudaOps ops_{stream_, workspace_};
  OracleOps oracle_;
};

/// One ulp of a dtype, since sums in another order may round to the neighbour, and slack for those sums:
/// `terms` products of standard normal values.
[[nodiscard]] inline Tolerance tolerance_of(Dtype dtype, double terms = 1.0) {
  const double sums = 1.2e-7 * 4.0 * terms;
  switch (dtype) {
    case Dtype::bf16:
      return {.absolute = sums, .relative = 0x1p-7};
    case Dtype::f16:
      return {.absolute = sums, .relative = 0x1p-10};
    default:
      return {.absolute = sums, .relative = 0x1p-21};
  }
}

}  // namespace edgetrain::testing
