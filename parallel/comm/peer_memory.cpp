#include "parallel/comm/peer_memory.h"

#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace edgetrain {

bool try_read_peer(PeerAddress from, std::span<std::byte> to, int& error) {
  while (!to.empty()) {  // the kernel may stop at a page border
    iovec local{to.data(), to.size()};
    iovec remote{reinterpret_cast<void*>(from.address), to.size()};
    const ssize_t count = ::process_vm_readv(from.pid, &local, 1, &remote, 1, 0);
    if (count <= 0) {
      error = count < 0 ? errno : EFAULT;
      return false;
    }
    to = to.subspan(static_cast<std::size_t>(count));
    from.address += static_cast<std::uint64_t>(count);
  }
  return true;
}

void read_peer(PeerAddress from, std::span<std::byte> to) {
  int error = 0;
  if (try_read_peer(from, to, error)) return;
  throw Error(ErrorClass::peer, fmt::format("cannot read {} bytes of process {} on this host: {}", to.size(),
                                            from.pid, std::strerror(error)));
}

}  // namespace edgetrain
