#include "core/ops/cpu/env.h"

#include <oneapi/dnnl/dnnl.hpp>

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace edgetrain::cpu {
namespace {

// Linux gives tile registers only to a process that asks (Documentation/x86/xstate.rst). oneDNN 2.6.3 asks
// too and names a narrower instruction set when it is refused; MatrixUnit does not rely on every oneDNN doing
// so.
bool kernel_grants_tiles() {
#if defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Bf16Hardware ask_hardware() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
      return Bf16Hardware::avx512;
    case dnnl::cpu_isa::avx512_core_amx:
      return kernel_grants_tiles() ? Bf16Hardware::amx : Bf16Hardware::avx512;
    default:
      return Bf16Hardware::none;
  }
}

}  // namespace

Bf16Hardware bf16_hardware() {
  static const Bf16Hardware answer = ask_hardware();
  return answer;
}

}  // namespace edgetrain::cpu
