#include "tests/core/ops/cuda/gpu_test.h"

namespace edgetrain::testing {
namespace {

constexpr float kEps = 1e-5F;

class CudaRmsNorm : public GpuTest {
 protected:
  void expect_norm(std::int64_t rows, std::int64_t width, std::int64_t groups, Dtype dtype,
                   Placement placement, bool in_place) {
    SCOPED_TRACE(::testing::Message()
                 << rows << " rows, " << groups << " groups of " << width << " " << name_of(dtype) << " gap "
                 << placement.gap << " offset " << placement.offset << " in place " << in_place);
    Twin x = twin(rows, groups * width, dtype, placement), w = twin(1, width, dtype, placement),
         other = twin(rows, groups * width, dtype, placement),
         rstd = twin(rows, groups, Dtype::f32, {.gap = 1});
    Twin& y = in_place ? x : other;
    oracle_.rms_norm(x.host(), w.host(), kEps, y.host(), rstd.host());
    ops_.rms_norm(x.device(), w.device(), kEps, y.device(), rstd.device());
    expect_equal(y, tolerance_of(dtype, 8));
    expect_equal(rstd, {.absolute = 0, .relative = 1e-5});
  }
};

TEST_F(CudaRmsNorm, EveryWidth) {
  for (const auto dtype : {Dtype::f32, Dtype::bf16}) {
    for (const std::int64_t width : {1, 3, 64, 255, 256, 768, 1027, 4096})
      expect_norm(5, width, 1, dtype, {}, false);
  }
}

TEST_F(CudaRmsNorm, GroupsAreNormalisedOnTheirOwn) {
  for (const auto dtype : {Dtype::f32, Dtype::bf16}) {
    expect_norm(7, 64, 12, dtype, {}, false);
    expect_norm(7, 33, 3, dtype, {}, false);
  }
}

TEST_F(CudaRmsNorm, RowStridesAndOddAddresses) {
  for (const auto dtype : {Dtype::f32, Dtype::bf16}) {
    expect_norm(9, 64, 2, dtype, {.gap = 64, .offset = 8}, false);
    expect_norm(9, 64, 2, dtype, {.gap = 1, .offset = 1}, false);
  }
}

TEST_F(CudaRmsNorm, InPlace) {
  for (const auto dtype : {Dtype::f32, Dtype::bf16}) expect_norm(5, 771, 1, dtype, {}, true);
}

TEST_F(CudaRmsNorm, MoreRowsThanAGridHasInItsSecondDimension) {
  expect_norm(70001, 8, 1, Dtype::f32, {}, false);
}

TEST_F(CudaRmsNorm, NoRowsAreLegal) {
  Twin w = twin(1, 8, Dtype::f32);
  ops_.rms_norm(matrix(nullptr, 0, 8, Dtype::f32), w.device(), kEps, matrix(nullptr, 0, 8, Dtype::f32),
                matrix(nullptr, 0, 1, Dtype::f32));
  stream_.synchronize();
}

}  // namespace
}  // namespace edgetrain::testing
