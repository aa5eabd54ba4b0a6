// One communication under way: a state machine that somebody else drives.
//
// Why polled and not threaded: the driver is one thread per rank; a helper thread would steal a core from
// compute and make the order of events depend on the scheduler.
#pragma once

namespace edgetrain {

class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;
  /// Does all that can be done without blocking; true once complete, and is not called again then. Throws
  /// Error(peer) when MPI or a peer is at fault; the operation is dead afterwards.
  virtual bool advance() = 0;
};

}  // namespace edgetrain
