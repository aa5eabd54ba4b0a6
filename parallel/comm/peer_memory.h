// Reading another process's memory directly (Linux: process_vm_readv).
//
// Why: what only moves (all_gather, broadcast) then costs one copy instead of two. Whether it is allowed
// depends on the system (ptrace scope, containers), so a window finds out when it is made; nothing but speed
// depends on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace edgetrain {

/// Where a vector lies in another process.
struct PeerAddress {
  int pid = 0;
  std::uint64_t address = 0;
};

/// True if all of `to` was read. `error` is errno otherwise.
[[nodiscard]] bool try_read_peer(PeerAddress from, std::span<std::byte> to, int& error);
/// Errors: Error(peer) naming the process.
void read_peer(PeerAddress from, std::span<std::byte> to);

}  // namespace edgetrain
