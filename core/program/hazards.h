// Which two instructions may not overlap: they use one object and one of them writes it, or one takes over
// bytes that the other still uses. The driver, the verifier and the simulator ask the same question here.
#pragma once

#include <vector>

#include "core/program/program.h"

namespace edgetrain {

class Hazards {
 public:
  /// `program` must be slotted; before slots only shared objects count. Borrows it.
  explicit Hazards(const Program& program);

  /// Must instruction `later` wait for the asynchronous instruction `earlier`, of this step or the step
  /// before?
  [[nodiscard]] bool conflict(int earlier, int later) const;

 private:
  const Program& program_;
  std::vector<std::vector<int>>
      takes_over_;  // per instruction: asynchronous objects whose bytes its new objects take over
};

}  // namespace edgetrain
