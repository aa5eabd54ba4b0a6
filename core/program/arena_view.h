// From objects to addresses, and an instruction's own workspace.
#pragma once

#include "core/memory/pool.h"
#include "core/program/program.h"

namespace edgetrain {

/// Where an object lies; null when dry (`arena` null).
[[nodiscard]] inline std::byte* address_of(const Program& program, int object, std::byte* arena) {
  const auto& o = program.objects.at(static_cast<std::size_t>(object));
  return arena == nullptr ? nullptr : arena + o.address;
}

/// The scratch object of `instr` of the given kind (workspace or exchange); -1: none.
[[nodiscard]] inline int scratch_of(const Program& program, const Instr& instr, Kind kind) {
  for (const auto& use : instr.uses) {
    if (program.objects[static_cast<std::size_t>(use.object)].kind == kind) return use.object;
  }
  return -1;
}

/// Binds a workspace to the instruction's scratch for the scope's life. Taking more than was rehearsed
/// throws; at the end of the scope the run's peak must equal the rehearsal's, which is the contract that plan
/// equals run.
class ScratchBinding {
 public:
  ScratchBinding(const Program& program, const Instr& instr, std::byte* arena, Workspace& workspace)
      : workspace_(workspace) {
    const int object = scratch_of(program, instr, Kind::workspace);
    planned_ = object < 0 ? 0 : program.objects[static_cast<std::size_t>(object)].bytes;
    workspace.rebind(object < 0 ? arena : address_of(program, object, arena), planned_);
  }
  ScratchBinding(const ScratchBinding&) = delete;
  ScratchBinding& operator=(const ScratchBinding&) = delete;
  ~ScratchBinding() = default;
  /// Bytes that the plan set aside and the run did not take: 0, or dry and real have drifted apart.
  [[nodiscard]] std::int64_t unused() const { return planned_ - workspace_.peak(); }

 private:
  Workspace& workspace_;
  std::int64_t planned_ = 0;
};

}  // namespace edgetrain
