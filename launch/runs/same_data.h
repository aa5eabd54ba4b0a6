// Do all ranks read the same data? Asked once, before the first step.
//
// Why: data.path may lead to a local disk, and one node with an older copy of the text would train on it
// without any sign: shapes fit, losses fall.
#pragma once

#include "core/comm/communicator.h"
#include "core/data/fingerprint.h"

namespace edgetrain {

/// Collective over `world`. Errors: Error(data) on every rank, naming the first rank that differs from rank
/// 0, its host and both fingerprints.
void require_same_data(const DataFingerprint& mine, Communicator& world);

}  // namespace edgetrain
