#include "core/ops/cpu/env.h"

#include <oneapi/dnnl/dnnl.hpp>

namespace edgetrain::cpu {

bool hardware_multiplies_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_amx:
      return true;
    default:
      return false;
  }
}

}  // namespace edgetrain::cpu
