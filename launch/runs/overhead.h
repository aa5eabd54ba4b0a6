// What a rank takes outside all pools: C of the contract RssAnon + RssShmem <= pools + C.
//
// Why a figure and not a measurement at run time: memory.device: auto is resolved, and a job refused, before
// MPI and oneDNN have allocated anything. What it consists of was measured: docs/proofs.md, "Memory".
#pragma once

#include <cstdint>

#include "launch/runs/prepare.h"

namespace edgetrain {

/// Libraries, heap, MPI, generated code, threads, the buffers of measure_rates, and a reserve
/// (Facts::overhead_bytes), plus the shared windows of our communicators, in whole MiB.
[[nodiscard]] std::int64_t overhead_bytes(const Place& place);

}  // namespace edgetrain
