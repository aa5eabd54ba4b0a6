// A loop over independent pieces on all threads of the rank, for work outside the program: loading and
// initialising.
//
// Why OpenMP and not std::thread: its team is there already, so no thread and no stack is added to the rank.
// Unlike the operators' for_parts (core/ops/cpu/parallel.h), a body may throw: files are read here.
#pragma once

#include <cstdint>
#include <functional>

namespace edgetrain {

/// body(0), ..., body(n - 1), each once, in any order, on up to `threads` threads. When bodies throw, one of
/// their exceptions is thrown on the caller's thread after all have ended; pieces not begun by then are left
/// out.
void parallel_for(int threads, std::int64_t n, const std::function<void(std::int64_t)>& body);

}  // namespace edgetrain
