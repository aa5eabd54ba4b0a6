// A copy that goes past the caches.
//
// Why: results of large collectives are read long after they have left the cache; writing them the ordinary
// way first reads every line that is about to be overwritten (a third of the traffic) and evicts the staging
// slots.
#pragma once

#include <cstddef>

namespace edgetrain {

/// to[0, bytes) <- from[0, bytes); no overlap. Visible to this thread at once, to others after the next
/// release.
void stream_copy(std::byte* to, const std::byte* from, std::size_t bytes);

}  // namespace edgetrain
