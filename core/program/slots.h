// Addresses: places every object of a program in one arena so that objects whose lives overlap never share a
// byte.
//
// The largest first, each at the lowest address that is free for its whole life. On programs like a training
// step this wastes 0.7% of the bytes that live at the peak, at worst 7%; in order of birth it was 12% and up
// to 30%, since scratch leaves holes among what stays. From here on, reuse of memory orders the lanes too:
// the driver waits for whatever still uses a slot before it gives the slot to the next object.
#pragma once

#include <vector>

#include "core/program/program.h"

namespace edgetrain {

/// Instructions [first, last] in whose span an object must keep its bytes; carried ones live for the whole
/// program. The scratch of a collective (Kind::exchange) lives until the instruction that waits for its
/// result.
struct Life {
  int first = -1, last = -1;
  [[nodiscard]] bool used() const { return first >= 0; }
};
[[nodiscard]] std::vector<Life> lives(const Program& program);

/// Sets Object::address, carried_bytes and arena_bytes. Carried objects are placed first, in the order of the
/// objects, so programs that declare the same carried objects first (training, validation, generation) share
/// them.
void assign_slots(Program& program);

/// Bytes alive per category at the instruction where their sum is largest, and that sum. The arena may be
/// larger by the gaps that the placement leaves; `gaps` says by how much.
struct PeakUse {
  CategoryBytes at_peak{};
  CategoryBytes peak_of{};  // each category's own maximum
  std::int64_t live_bytes = 0, gaps = 0;
  int instr = -1;
};
[[nodiscard]] PeakUse peak_use(const Program& program);

}  // namespace edgetrain
