// How the cpu backend is set up.
#pragma once

#include "core/memory/pool.h"
#include "core/ops/cpu/env.h"

namespace edgetrain {

struct CpuOptions {
  int threads = 1;          // size of the OpenMP team of every operator; results do not depend on it
  bool widen_bf16 = false;  // multiply bf16 by widening to fp32 even where the hardware multiplies it
  bool profile = false;     // fill CpuOps::times()
};

/// The environment that operators get. Widening is not a choice where the hardware cannot multiply bf16.
[[nodiscard]] inline cpu::CpuEnv cpu_env(Workspace& workspace, const CpuOptions& options) {
  ET_CHECK(options.threads > 0, "{} threads", options.threads);
  return {workspace, options.threads, options.widen_bf16 || !cpu::hardware_multiplies_bf16()};
}

}  // namespace edgetrain
