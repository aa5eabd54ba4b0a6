#include "launch/runs/run_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/io/file.h"
#include "core/io/verdict.h"
#include "launch/cli/launcher.h"
#include "launch/job/write.h"
#include "launch/runs/bench_step.h"
#include "launch/runs/first_weights.h"
#include "launch/runs/gemm_rate.h"
#include "launch/runs/liveness.h"
#include "launch/runs/plan_text.h"
#include "launch/runs/prepare.h"
#include "launch/runs/stop_signal.h"
#include "launch/runs/train_run.h"
#include "launch/runs/weights.h"
#include "parallel/comm/linked_communicator.h"
#include "parallel/comm/make_communicator.h"
#include "parallel/comm/mpi.h"
#include "parallel/watchdog/diagnosis.h"
#include "parallel/watchdog/flight_reader.h"

namespace edgetrain {
namespace {

Place place_of_launcher() {
  const Launcher launcher = this_launcher();
  Place place;
  place.rank = static_cast<int>(launcher.rank.value_or(0));
  place.world = static_cast<int>(launcher.world_size.value_or(1));
  place.ranks_on_node = static_cast<int>(launcher.ranks_on_node.value_or(place.world));
  return place;
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

std::vector<int> all_ranks(int count) {
  std::vector<int> ranks;
  for (int rank = 0; rank < count; ++rank) ranks.push_back(rank);
  return ranks;
}

// Everything between MPI_Init and the run. Members are torn down in reverse order.
class Bringup {
 public:
  Bringup(const PreparedRun& prepared, const std::filesystem::path& folder, const Place& place)
      : world_(MpiComm::world()) {
    ET_CHECK(world_.size() == place.world && world_.rank() == place.rank,
             "the launcher says rank {} of {}, MPI says rank {} of {}", place.rank, place.world,
             world_.rank(), world_.size());
    flight_.emplace(folder / "flight", world_.rank(), world_.size());
    if (const auto& link = prepared.job().parallel.link) link_.emplace(*link);
    everyone_ = group(all_ranks(world_.size()), "world");
    const auto& plan = *prepared.plan;
    const auto& replication = plan.replication();
    shards_ = group(shard_group(plan.mesh(), world_.rank(), replication.shards.count),
                    std::string(group_name(kShardGroup, replication)));
    copies_ = group(copy_group(plan.mesh(), world_.rank(), replication.shards.count),
                    std::string(group_name(kCopyGroup, replication)));
  }

  [[nodiscard]] EngineGroups groups() { return {*shards_, *copies_, *everyone_}; }
  [[nodiscard]] Communicator& world() { return *everyone_; }
  [[nodiscard]] FlightRecord& flight() { return *flight_; }

 private:
  [[nodiscard]] std::unique_ptr<Communicator> group(const RankList& ranks, const std::string& name) {
    auto comm = make_communicator(world_, ranks, name, HostCommOptions{}, progress_, &*flight_);
    return link_ ? behind_link(std::move(comm), *link_) : std::move(comm);
  }

  MpiComm world_;
  std::optional<FlightRecord> flight_;
  ProgressList progress_;
  std::optional<ModelledLink> link_;  // one for all groups of this rank
  std::unique_ptr<Communicator> everyone_, shards_, copies_;
};

// When a rank ends the job, others soon see its end and that of those whom mpirun kills: consequences.
// Whoever makes this file is the first, and tells the cause.
std::filesystem::path verdict_path(const std::filesystem::path& folder) {
  return folder / "flight" / "verdict";
}

bool first_to_end(const std::filesystem::path& folder) {
  const int file = ::open(verdict_path(folder).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file >= 0) ::close(file);
  return file >= 0 || errno != EEXIST;
}

void prepare_folder(const PreparedRun& prepared, const std::filesystem::path& folder, bool leader) {
  make_folders(folder / "flight");
  if (leader) std::filesystem::remove(verdict_path(folder));
  if (leader) write_file_atomically(folder / "resolved.yaml", write_resolved_yaml(prepared.resolved));
}

void bench(PreparedRun& prepared, Bringup& bringup) {
  const std::string text = bench_step(prepared, bringup.groups());
  if (bringup.world().rank() == 0) print(text);
}

// The watchdog's verdict ends the job from its own thread: the driver hangs, or a peer is gone and mpirun is
// about to kill us. _Exit, not MPI_Abort, which may need the hung driver; mpirun ends the others when a rank
// leaves like this. The record is closed last: until then peers need it for their own verdict. A file system
// that hangs may be the very reason, and must not hold the end up: then the alarm ends the process.
Liveness::Verdict end_on_verdict(const std::filesystem::path& folder, FlightRecord& flight) {
  return [folder, &flight](const Diagnosis& diagnosis, std::int64_t step) {
    constexpr unsigned kSecondsToTell = 8;
    ::alarm(kSecondsToTell);
    const int rank = flight.rank();
    if (!first_to_end(folder)) {
      flight.close();
      ::sleep(2);  // what the first one says must get through before mpirun hears of our end
      std::_Exit(static_cast<int>(ExitCode::failed));
    }
    std::fprintf(stderr, "rank %d on %s: %s\n", rank, host_name().c_str(), diagnosis.text.c_str());
    std::fflush(stderr);
    const int culprit = diagnosis.culprits.empty() ? -1 : diagnosis.culprits.front();
    try {
      write_status(folder, {"failed", step, std::string(name_of(ErrorClass::hang)), diagnosis.text, culprit});
    } catch (const std::exception& error) {
      std::fprintf(stderr, "rank %d: status.json could not be written: %s\n", rank, error.what());
    }
    flight.close();
    std::_Exit(static_cast<int>(ExitCode::failed));
  };
}

RunEnd train(PreparedRun& prepared, Bringup& bringup, const std::filesystem::path& folder,
             std::int64_t& step) {
  const bool leader = bringup.world().rank() == 0;
  if (leader) print(plan_text(prepared));
  Pool pool(Tier::device, prepared.device_cap());
  const Rates rates = measure_rates(prepared.plan->spec().dtype, prepared.plan->spec().threads);
  const auto& layout = prepared.plan->train().layout;
  Liveness liveness(bringup.flight(), prepared.job().parallel, layout.unit_names(), layout.bucket_names(),
                    end_on_verdict(folder, bringup.flight()));
  TrainRun run({prepared.job(), *prepared.plan, pool, bringup.groups(), folder, prepared.model_json,
                rates.flops_per_s, prepared.copied_bytes, liveness});
  try {
    const RunEnd end = run.run();
    if (leader) write_status(folder, {end == RunEnd::done ? "done" : "stopped", run.step(), {}, {}, -1});
    return end;
  } catch (...) {
    step = run.step();
    throw;
  }
}

// What is wrong with the files of data or with names and shapes of weights is known before MPI starts.
void check_inputs(const PreparedRun& prepared) {
  const Job& job = prepared.job();
  TrainingData(job.data, prepared.model.vocab_size, 0);
  (void)weights_as_written(origin_of(job), prepared.plan->train().layout, prepared.model.family);
}

// Will the run load weights from files? (If no checkpoint verifies after all, TrainRun looks at them.)
bool starts_from_weights(const Job& job) { return begins_anew(job) && !describe(origin_of(job)).empty(); }

// Reads every value of the weights.
void check_weights(const PreparedRun& prepared) {
  if (!starts_from_weights(prepared.job())) return;
  const WeightsOrigin origin = origin_of(prepared.job());
  const auto& layout = prepared.plan->train().layout;
  require_finite(weights_as_written(origin, layout, prepared.model.family), layout, describe(origin),
                 prepared.plan->spec().threads);
}

// Collective. Rank 0 checks the weights for all: as many readers as ranks would wait for one disk. Returns
// its verdict, as verdict.h has it. After MPI_Init, so that all ranks end alike whatever the launcher.
std::string agreed_verdict_on_weights(const PreparedRun& prepared) {
  const MpiComm world = MpiComm::world();
  std::string verdict = good_verdict("");
  try {
    if (world.rank() == 0) check_weights(prepared);
  } catch (const std::exception& error) {
    verdict = bad_verdict(error);
  }
  auto size = static_cast<int>(verdict.size());
  check_mpi(MPI_Bcast(&size, 1, MPI_INT, 0, world.handle()), "MPI_Bcast");
  verdict.resize(static_cast<std::size_t>(size));
  check_mpi(MPI_Bcast(verdict.data(), size, MPI_CHAR, 0, world.handle()), "MPI_Bcast");
  return verdict;
}

// Nothing has been written yet: weights that are wrong end the run as a wrong job does.
void require_sound_weights(const PreparedRun& prepared, MpiSession& session) {
  if (describe(origin_of(prepared.job())).empty()) return;
  const std::string verdict = agreed_verdict_on_weights(prepared);
  if (verdict != good_verdict("")) session.close();
  (void)text_or_throw(verdict);
}

// A dying process loses its memory, which its peers notice, a little before its state says that it is dead.
constexpr int kDeathLooks = 10;
constexpr useconds_t kDeathLookMicroseconds = 30'000;

// How the job failed. A rank whose peer has died notices it as an error of its own; the flight records know
// who it was.
RunStatus failure_of(const std::exception& error, const std::filesystem::path& folder, const Place& place,
                     std::int64_t step) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  const auto error_class = ours == nullptr ? ErrorClass::internal : ours->error_class();
  RunStatus status{"failed", step, std::string(name_of(error_class)), error.what(), place.rank};
  if (error_class != ErrorClass::peer) return status;
  const auto flight = folder / "flight";
  const auto look = [&] { return dead_among(flight, ranks_on(flight, place.world, flight_host())); };
  auto dead = look();
  for (int tries = 0; dead.empty() && tries < kDeathLooks; ++tries) {
    ::usleep(kDeathLookMicroseconds);
    dead = look();
  }
  if (dead.empty()) return status;
  status.rank = dead.front();
  status.reason += "\n" + diagnose(flight, place.world, flight_now(), flight_host()).text;
  return status;
}

// An error on one rank ends the job: its peers would wait for it for ever. An error that all ranks share is
// told by rank 0: the others leave it a moment.
[[noreturn]] void abort_run(const std::exception& error, const std::filesystem::path& folder,
                            const Place& place, std::int64_t step) {
  const RunStatus status = failure_of(error, folder, place, step);
  if (place.rank != 0 && status.rank == place.rank) ::usleep(700'000);
  std::fprintf(stderr, "rank %d on %s: error: %s\n", place.rank, host_name().c_str(), status.reason.c_str());
  std::fflush(stderr);
  try {
    if (first_to_end(folder)) write_status(folder, status);
  } catch (const std::exception& second) {
    std::fprintf(stderr, "rank %d: status.json could not be written: %s\n", place.rank, second.what());
  }
  MpiSession::abort(static_cast<int>(ExitCode::failed));
}

// --ranks for nodes like this one: as many ranks each as it has cores, unless told otherwise.
Place planned_place(const CommandLine& command) {
  if (!command.ranks) return place_of_launcher();
  const std::int64_t per_node = command.ranks_per_node.value_or(probe_machine().cores);
  return {0, static_cast<int>(*command.ranks), static_cast<int>(std::min(*command.ranks, per_node))};
}

}  // namespace

ExitCode bench_job(const CommandLine& command, int& argc, char**& argv) {
  if (command.bench != "step") throw JobError(fmt::format("bench knows 'step', not '{}'", command.bench));
  const Place place = place_of_launcher();
  PreparedRun prepared = prepare_run(command.target, command.overrides, place);
  require_fit(prepared);
  const std::filesystem::path folder = prepared.job().output_dir.value();
  MpiSession session(argc, argv);
  try {
    make_folders(folder / "flight");
    Bringup bringup(prepared, folder, place);
    bench(prepared, bringup);
  } catch (const std::exception& error) {
    abort_run(error, folder, place, 0);
  }
  session.close();
  return ExitCode::done;
}

ExitCode run_job(const CommandLine& command, int& argc, char**& argv) {
  const Place place = place_of_launcher();
  PreparedRun prepared = prepare_run(command.target, command.overrides, place);
  require_fit(prepared);
  check_inputs(prepared);
  const std::filesystem::path folder = prepared.job().output_dir.value();
  install_stop_signals();
  MpiSession session(argc, argv);
  require_sound_weights(prepared, session);
  RunEnd end{};
  std::int64_t step = 0;
  try {
    prepare_folder(prepared, folder, place.rank == 0);
    Bringup bringup(prepared, folder, place);
    end = train(prepared, bringup, folder, step);
  } catch (const std::exception& error) {
    abort_run(error, folder, place, step);
  }
  session.close();
  return end == RunEnd::done ? ExitCode::done : ExitCode::preempted;
}

void plan_job(const CommandLine& command) {
  const Place place = planned_place(command);
  const PreparedRun prepared = prepare_run(command.target, command.overrides, place);
  print(plan_text(prepared));
  if (place.ranks_on_node < place.world) {
    print(fmt::format("nodes     like this one, {} rank{} each (--ranks-per-node)\n", place.ranks_on_node,
                      place.ranks_on_node == 1 ? "" : "s"));
  }
  const auto& spec = prepared.plan->spec();
  print(
      simulation_text(*prepared.plan, measure_rates(spec.dtype, spec.threads), prepared.job().parallel.link));
  require_fit(prepared);
}

void check_job(const CommandLine& command) {
  const PreparedRun prepared = prepare_run(command.target, command.overrides, place_of_launcher());
  require_fit(prepared);
  check_inputs(prepared);
  check_weights(prepared);
  for (const auto& warning : prepared.warnings) print("warning   " + warning + "\n");
  print(command.target + ": the job is right\n");
}

}  // namespace edgetrain
