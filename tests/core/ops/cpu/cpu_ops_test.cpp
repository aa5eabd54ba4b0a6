#include "core/ops/cpu/cpu_ops.h"

#include <gtest/gtest.h>

#include "tests/core/ops/cpu/operand.h"

namespace edgetrain::testing {
namespace {

class CpuOpsTest : public ::testing::Test {
 protected:
  Workspace workspace_;
  Operand a_{Dtype::f32, 3, 5}, b_{Dtype::f32, 3, 5};
  void SetUp() override { a_.constant(1.0); }
};

TEST_F(CpuOpsTest, PollsAfterEveryOperator) {
  CpuOps ops(workspace_, {});
  int polls = 0;
  ops.set_poll([&] { ++polls; });
  ops.fill(a_.tensor(), 2.0F);
  ops.copy(a_.tensor(), b_.tensor());
  EXPECT_EQ(polls, 2);
  EXPECT_THROW(ops.copy(a_.tensor(), b_.tensor().col_range(0, 4)), Error);
  EXPECT_EQ(polls, 2) << "a refused call does not poll";
  ops.set_poll({});
  ops.fill(a_.tensor(), 2.0F);
  EXPECT_EQ(polls, 2);
}

TEST_F(CpuOpsTest, ProfileCountsCallsAndTime) {
  CpuOps ops(workspace_, {.profile = true});
  ops.fill(a_.tensor(), 2.0F);
  ops.fill(b_.tensor(), 2.0F);
  ops.add(a_.tensor(), b_.tensor(), b_.tensor());
  const OpTimes times = ops.times();
  EXPECT_EQ(times[static_cast<std::size_t>(OpKind::fill)].calls, 2);
  EXPECT_EQ(times[static_cast<std::size_t>(OpKind::add)].calls, 1);
  EXPECT_GT(times[static_cast<std::size_t>(OpKind::fill)].nanoseconds, 0);
  EXPECT_EQ(times[static_cast<std::size_t>(OpKind::gemm)].calls, 0);
  ops.reset_times();
  EXPECT_EQ(ops.times()[static_cast<std::size_t>(OpKind::fill)].calls, 0);
}

TEST_F(CpuOpsTest, WithoutProfileNothingIsTimed) {
  CpuOps ops(workspace_, {});
  ops.fill(a_.tensor(), 2.0F);
  EXPECT_EQ(ops.times()[static_cast<std::size_t>(OpKind::fill)].calls, 0);
}

TEST_F(CpuOpsTest, ZeroRowsAreLegal) {
  CpuOps ops(workspace_, {.threads = 2});
  const Tensor none = a_.tensor().row_range(0, 0);
  Operand w(Dtype::f32, 1, 5), dw(Dtype::f32, 1, 5), rstd(Dtype::f32, 3, 1);
  ops.add(none, none, none);
  ops.copy(none, b_.tensor().row_range(1, 0));
  ops.rms_norm_backward(none, w.tensor(), rstd.tensor().row_range(0, 0), none, b_.tensor().row_range(0, 0),
                        false, dw.tensor(), 0.0F);
  for (const float value : dw.tensor().flat<float>()) EXPECT_EQ(value, 0.0F) << "beta 0 over no rows is zero";
}

TEST_F(CpuOpsTest, RefusesNoThreads) { EXPECT_THROW(CpuOps(workspace_, {.threads = 0}), Error); }

}  // namespace
}  // namespace edgetrain::testing
