// What an operation over MPI messages borrows from its communicator.
#pragma once

#include <cstdint>

#include "parallel/comm/host_cost.h"
#include "parallel/comm/mpi.h"
#include "parallel/comm/segment_streams.h"

namespace edgetrain {

/// The communicator outlives its operations. `tag` and `tag + 1` are the operation's own.
struct NetworkContext {
  const MpiComm& comm;
  const HostCommOptions& options;
  std::int64_t* sent;  // bytes of this kind of call
  int tag;

  [[nodiscard]] SegmentStreams streams(int tag_offset = 0) const {
    return {comm.handle(), sent, tag + tag_offset, options.segment_bytes, options.depth};
  }
};

}  // namespace edgetrain
