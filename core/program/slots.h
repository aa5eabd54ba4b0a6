// Addresses: places every object of a program in one arena so that objects whose lives overlap never share a byte.
//
// First fit in order of birth, lowest address first: the lives of a training step nest (saved fields are freed in the
// reverse order of their making), where this comes within the padding of the optimum. From here on, reuse of memory orders the lanes
// too: the driver waits for whatever still uses a slot before it gives the slot to the next object.
#pragma once

#include <vector>

#include "core/program/program.h"

namespace edgetrain {

/// Instructions [first, last] in whose span an object must keep its bytes; carried ones live for the whole program.
struct Life {
  int first = -1, last = -1;
  [[nodiscard]] bool used() const { return first >= 0; }
};
[[nodiscard]] std::vector<Life> lives(const Program& program);

/// Sets Object::address, carried_bytes and arena_bytes. Carried objects are placed first, in the order of the objects, so programs
/// that declare the same carried objects first (training, validation, generation) share them.
void assign_slots(Program& program);

/// Bytes alive per category at the instruction where their sum is largest, and that sum. The arena may be larger by the
/// gaps that first fit leaves; `gaps` says by how much.
struct PeakUse {
  CategoryBytes at_peak{};
  CategoryBytes peak_of{};  // each category's own maximum
  std::int64_t live_bytes = 0, gaps = 0;
  int instr = -1;
};
[[nodiscard]] PeakUse peak_use(const Program& program);

}  // namespace edgetrain
