#include "core/ops/cpu/env.h"

#include <oneapi/dnnl/dnnl.hpp>

namespace edgetrain::cpu {

Bf16Hardware bf16_hardware() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
      return Bf16Hardware::avx512;
    case dnnl::cpu_isa::avx512_core_amx:
      return Bf16Hardware::amx;
    default:
      return Bf16Hardware::none;
  }
}

}  // namespace edgetrain::cpu
