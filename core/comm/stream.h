// An in-order queue of work. On a CPU the queue is the calling thread itself; CUDA streams derive in
// core/device/cuda.
#pragma once

namespace edgetrain {

class Stream {
 public:
  virtual ~Stream() = default;
};

/// Work runs inline, in the caller: all that was issued before is done.
class HostStream final : public Stream {};

}  // namespace edgetrain
