// What this version can run of all that a job can say. Lifting a limit is removing or widening one line of
// the table in support.cpp; keys keep their names, types and ranges from the first day, so old jobs stay
// valid.
#pragma once

#include <vector>

#include "launch/job/parse.h"

namespace edgetrain {

/// One problem per key that asks for something that is not built yet.
[[nodiscard]] std::vector<Problem> check_support(const ParsedJob& parsed);

}  // namespace edgetrain
