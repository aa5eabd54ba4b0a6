// From a list of ranks to a Communicator: one rank is free and needs no MPI, more share a host communicator.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "parallel/comm/host_communicator.h"

namespace edgetrain {

/// Collective over `ranks` (ranks of `world` in group order; the caller is one of them), blocking. Every rank
/// makes its groups in one agreed order, or creation hangs. `progress` and `flight` (may be null) outlive the
/// result.
[[nodiscard]] std::unique_ptr<Communicator> make_communicator(const MpiComm& world,
                                                              std::span<const int> ranks,
                                                              const std::string& name,
                                                              const HostCommOptions& options,
                                                              ProgressList& progress, FlightRecord* flight);

}  // namespace edgetrain
