#include "core/comm/self_communicator.h"

#include <cstring>

#include "core/comm/call_check.h"

namespace edgetrain {

Request SelfCommunicator::start(const CommCall& call, const Stream&, std::span<std::byte>) {
  check_call(call, 1, 0);
  if (call.op != Collective::broadcast && call.in.data != call.out.data && call.in.bytes() > 0) {
    std::memmove(call.out.data, call.in.data, static_cast<std::size_t>(call.in.bytes()));
  }
  return {};
}

}  // namespace edgetrain
