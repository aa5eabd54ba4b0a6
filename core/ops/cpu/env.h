// What every cpu operator is given: scratch, the size of its OpenMP team, and how bf16 is multiplied.
//
// Bits: the operators of this folder cut their work into tasks by shape alone and let one thread do one task
// in a fixed order, so no result depends on `threads`. There is no separate canonical code path to keep true.
#pragma once

#include <cstdint>

#include "core/memory/pool.h"

namespace edgetrain::cpu {

/// How the processor multiplies bf16, as far as ONEDNN_MAX_CPU_ISA and the kernel let it: one answer for
/// oneDNN, MatrixUnit, `dtype: auto` and the banner. Asking for the first time asks the kernel for tiles.
enum class Bf16Hardware : std::uint8_t { none, avx512, amx };
[[nodiscard]] Bf16Hardware bf16_hardware();
[[nodiscard]] inline bool hardware_multiplies_bf16() { return bf16_hardware() != Bf16Hardware::none; }

/// Borrowed by operators for one call. Formulas (`..._scratch_bytes`) read everything but the workspace,
/// which may be a dry one.
struct CpuEnv {
  Workspace& workspace;
  int threads = 1;  // size of the OpenMP team; 1: no parallel region at all
  /// Multiply bf16 by widening panels to fp32. The default is right for running; tests force it.
  bool widen_bf16 = !hardware_multiplies_bf16();
};

}  // namespace edgetrain::cpu
