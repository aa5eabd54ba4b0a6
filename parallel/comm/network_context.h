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
  std::int64_t* sent;    // bytes of this kind of call
  std::uint64_t* moves;  // grows with every message
  int tag;

  [[nodiscard]] Messages messages() const { return {comm.handle(), sent, moves}; }
  [[nodiscard]] SegmentStreams streams(int tag_offset, std::int64_t segment_bytes) const {
    return {comm.handle(), sent, moves, tag + tag_offset, segment_bytes, options.depth};
  }
  [[nodiscard]] SegmentStreams streams() const { return streams(0, options.segment_bytes); }
};

}  // namespace edgetrain
