#include "core/comm/self_communicator.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"

namespace edgetrain::testing {
namespace {

TEST(SelfCommunicator, CopiesInToOut) {
  SelfCommunicator comm("tp");
  const HostStream stream;
  std::vector<float> in = {1, 2, 3}, out(3);
  for (const Collective op : {Collective::all_reduce, Collective::reduce_scatter, Collective::all_gather}) {
    out.assign(3, 0.0F);
    CommCall call;
    call.op = op;
    call.in = vector_of(in.data(), 3, Dtype::f32);
    call.out = vector_of(out.data(), 3, Dtype::f32);
    EXPECT_TRUE(comm.start(call, stream, {}).test());
    EXPECT_EQ(out, in);
    EXPECT_EQ(comm.scratch_bytes(call) + comm.sent_bytes(call) + comm.sent().total(), 0);
  }
}

TEST(SelfCommunicator, RefusesMessagesAndForeignRoots) {
  SelfCommunicator comm("pp");
  const HostStream stream;
  float value = 0;
  CommCall call;
  call.op = Collective::send;
  call.in = vector_of(&value, 1, Dtype::f32);
  call.peer = 0;
  EXPECT_THROW((void)comm.start(call, stream, {}), Error);
  call.op = Collective::broadcast;
  call.out = call.in;
  call.peer = 1;
  EXPECT_THROW((void)comm.start(call, stream, {}), Error);
}

}  // namespace
}  // namespace edgetrain::testing
