// Own collectives against MPI's, side by side in one run: mpirun -np N bench_collectives [all_reduce|...]
// [network]
//   [from=KiB] [section=KiB] [fetch=KiB] [slots=n] [direct=KiB] [stream=KiB] [segment=KiB] [depth=n]
//
// Why alternating (A B A B ...): a machine that others use drifts by more than the difference to be shown;
// ratios of neighbours drift together. Figures are medians over the rounds; a round's time is that of the
// slowest rank.
//
// The bound for all_reduce inside a node. A rank moves, per message of M bytes, N ranks, reads plus writes:
//   copy in (N-1)/N M twice; sum: reads M, writes M/N to the window and M/N to `out`; copy out (N-1)/N M
//   twice: 4(N-1)/N M + M + 2M/N = (5 - 2/N) M. A copy of b bytes per second and rank (all ranks at once,
//   measured here) moves 2b, so the rate M / time is at most 2b / (5 - 2/N).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/comm/host_communicator.h"

namespace edgetrain {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kDeadline{60'000};

struct Buffers {
  std::vector<float> in, out;
  std::vector<std::byte> scratch;
};

double seconds_of(const MpiComm& world, int repeats, const std::function<void()>& body) {
  check_mpi(MPI_Barrier(world.handle()), "MPI_Barrier");
  const auto begin = Clock::now();
  for (int i = 0; i < repeats; ++i) body();
  double mine = std::chrono::duration<double>(Clock::now() - begin).count() / repeats;
  double slowest = 0.0;
  check_mpi(MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, world.handle()), "MPI_Allreduce");
  return slowest;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

CommCall call_of(Collective op, Buffers& buffers, std::int64_t elements, int size) {
  const std::int64_t part = elements / size;
  CommCall call;
  call.op = op;
  call.in = vector_of(buffers.in.data(), op == Collective::all_gather ? part : elements, Dtype::f32);
  call.out = vector_of(buffers.out.data(), op == Collective::reduce_scatter ? part : elements, Dtype::f32);
  call.site = "bench";
  return call;
}

void run_mpi(Collective op, Buffers& buffers, std::int64_t elements, const MpiComm& world) {
  const int all = static_cast<int>(elements);
  const int part = all / world.size();
  float *in = buffers.in.data(), *out = buffers.out.data();
  if (op == Collective::all_reduce) {
    check_mpi(MPI_Allreduce(in, out, all, MPI_FLOAT, MPI_SUM, world.handle()), "MPI_Allreduce");
  } else if (op == Collective::reduce_scatter) {
    check_mpi(MPI_Reduce_scatter_block(in, out, part, MPI_FLOAT, MPI_SUM, world.handle()),
              "MPI_Reduce_scatter_block");
  } else {
    check_mpi(MPI_Allgather(in, part, MPI_FLOAT, out, part, MPI_FLOAT, world.handle()), "MPI_Allgather");
  }
}

struct Result {
  double own_seconds, mpi_seconds, ratio;
};

Result measure(Collective op, Buffers& buffers, std::int64_t elements, const MpiComm& world,
               HostCommunicator& comm) {
  const CommCall call = call_of(op, buffers, elements, world.size());
  const HostStream stream;
  const auto own = [&] { comm.start(call, stream, buffers.scratch).wait_host(kDeadline); };
  const auto mpi = [&] { run_mpi(op, buffers, elements, world); };
  const auto repeats = static_cast<int>(std::clamp<std::int64_t>((4 << 20) / (elements * 4), 1, 400));
  constexpr int kRounds = 7;
  seconds_of(world, 1, own);
  seconds_of(world, 1, mpi);
  std::vector<double> own_times, mpi_times, ratios;
  for (int round = 0; round < kRounds; ++round) {
    own_times.push_back(seconds_of(world, repeats, own));
    mpi_times.push_back(seconds_of(world, repeats, mpi));
    ratios.push_back(mpi_times.back() / own_times.back());
  }
  return {median(own_times), median(mpi_times), median(ratios)};
}

double copy_bytes_per_second(Buffers& buffers, const MpiComm& world) {
  const std::size_t bytes = buffers.in.size() * sizeof(float);
  std::vector<double> times;
  for (int round = 0; round < 5; ++round) {
    times.push_back(seconds_of(world, 1, [&] { std::memcpy(buffers.out.data(), buffers.in.data(), bytes); }));
  }
  return static_cast<double>(bytes) / median(times);
}

void bench(std::string_view only, std::int64_t smallest, const HostCommOptions& options) {
  const MpiComm world = MpiComm::world();
  ProgressList progress;
  HostCommunicator comm(world.duplicate(), "bench", options, progress, nullptr);
  constexpr std::int64_t kLargest = 64 << 20;
  Buffers buffers{std::vector<float>(kLargest / 4, 1.0F), std::vector<float>(kLargest / 4), {}};
  const bool talks = world.rank() == 0;
  const double copy_rate = copy_bytes_per_second(buffers, world);
  const double bound = 2 * copy_rate / (5.0 - 2.0 / world.size());
  if (talks) {
    fmt::print(
        "{} ranks, {} path, window {} KiB; all ranks copying at once: {:.2f} GB/s each\n"
        "bound of all_reduce: 2 * {:.2f} / (5 - 2/{}) = {:.2f} GB/s\n",
        world.size(), comm.group().shared ? "shared" : "network", comm.shared_bytes() >> 10, copy_rate / 1e9,
        copy_rate / 1e9, world.size(), bound / 1e9);
  }
  for (const Collective op : {Collective::all_reduce, Collective::reduce_scatter, Collective::all_gather}) {
    if (!only.empty() && only != name_of(op)) continue;
    for (std::int64_t bytes = smallest; bytes <= kLargest; bytes *= 4) {
      const std::int64_t elements = bytes / 4 / world.size() * world.size();
      buffers.scratch.resize(
          static_cast<std::size_t>(comm.scratch_bytes(call_of(op, buffers, elements, world.size()))));
      const Result r = measure(op, buffers, elements, world, comm);
      const double rate = static_cast<double>(bytes) / r.own_seconds;
      if (!talks) continue;
      fmt::print(
          "{:14} {:9} B: own {:10.1f} us {:6.2f} GB/s  MPI {:10.1f} us {:6.2f} GB/s  ratio {:5.2f}{}\n",
          name_of(op), bytes, r.own_seconds * 1e6, rate / 1e9, r.mpi_seconds * 1e6,
          static_cast<double>(bytes) / r.mpi_seconds / 1e9, r.ratio,
          op == Collective::all_reduce && bytes == kLargest
              ? fmt::format("  {:.2f} of the bound", rate / bound)
              : "");
    }
  }
}

}  // namespace
}  // namespace edgetrain

namespace {

// "key=value": one of the options in KiB (slots: a count), "network", or the name of a collective.
bool set_option(edgetrain::HostCommOptions& options, std::string_view argument) {
  const auto equals = argument.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = argument.substr(0, equals);
  const std::int64_t value = std::stoll(std::string(argument.substr(equals + 1)));
  if (key == "slots") options.slots = static_cast<int>(value);
  if (key == "section") options.section_bytes = value << 10;
  if (key == "fetch") options.fetch_bytes = value << 10;
  if (key == "direct") options.shared_direct_bytes = value << 10;
  if (key == "stream") options.stream_bytes = value << 10;
  if (key == "segment") options.segment_bytes = value << 10;
  if (key == "depth") options.depth = static_cast<int>(value);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  edgetrain::MpiSession session(argc, argv);
  edgetrain::HostCommOptions options;
  std::string_view only;
  std::int64_t smallest = 1 << 10;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "network") {
      options.path = edgetrain::CommPath::network;
    } else if (argument.starts_with("from=")) {
      smallest = std::stoll(std::string(argument.substr(5))) << 10;
    } else if (!set_option(options, argument)) {
      only = argument;
    }
  }
  edgetrain::bench(only, smallest, options);
  session.close();
  return 0;
}
