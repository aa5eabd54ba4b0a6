// How threads of an OpenMP team wait for each other, decided before the first parallel region exists.
#pragma once

namespace edgetrain {

/// Threads that wait spin for a few microseconds, then sleep. libgomp reads its policy from the environment
/// when it is loaded, so the process sets the variable and executes itself once more; does nothing when the
/// user has set a policy. To be called first: it also gives the process its name. Why: by default a team
/// spins for milliseconds; on a machine that others use too, every barrier then costs a time slice (measured:
/// docs/performance.md, "Waiting").
void settle_wait_policy(char** argv);

}  // namespace edgetrain
