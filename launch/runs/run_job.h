// The verbs that need a job: run, bench, plan, check.
#pragma once

#include "launch/cli/command_line.h"

namespace edgetrain {

/// Starts MPI, runs the job's task and returns how it ended. Errors: JobError or Error(data) before anything
/// was written, without MPI or with MPI finalized (the caller prints it on rank 0). What fails later ends the
/// job here.
[[nodiscard]] ExitCode run_job(const CommandLine& command, int& argc, char**& argv);
/// `bench step job.yaml`: where the time of a step goes; see bench_step.h.
[[nodiscard]] ExitCode bench_job(const CommandLine& command, int& argc, char**& argv);
/// Prints the plan of the job for `--ranks` ranks; no MPI.
void plan_job(const CommandLine& command);
/// Prints that the job is right, or throws.
void check_job(const CommandLine& command);

}  // namespace edgetrain
