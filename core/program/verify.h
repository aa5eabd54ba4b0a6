// Proves a set of programs before they run: lives, slots and, through the abstract machine, termination.
#pragma once

#include <vector>

#include "core/program/abstract_run.h"

namespace edgetrain {

/// One program on its own: nothing is read before it is written, every object has an address inside the
/// arena, and no two objects that live at the same time share a byte.
[[nodiscard]] std::vector<Defect> verify_memory(const Program& program);

/// All of it: verify_memory for each distinct program, then two steps in a row on the abstract machine.
[[nodiscard]] std::vector<Defect> verify(const World& world);

}  // namespace edgetrain
