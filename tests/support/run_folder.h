// A folder with a tiny job in it, and what runs of that job leave there.
//
// Why one job and overrides: every test changes a few keys of the same job, so a line of a test shows all
// that is special about it. Why the real binary: these tests are about what a user sees.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "tests/support/process.h"

namespace edgetrain::testing {

/// A line of metrics.jsonl. What is null there is NaN here.
struct StepLine {
  std::int64_t step = 0, tokens = 0;
  double loss = 0.0, grad_norm = 0.0, lr = 0.0;
  bool skipped = false;
  std::optional<double> val_loss, loss_scale;
  std::int64_t peak_device_bytes = 0;
};
/// What must repeat to the bit: not the times, nor the loss scale, which may differ where it changes nothing.
[[nodiscard]] bool same_bits(const StepLine& a, const StepLine& b);

/// Content of every tensor of a checkpoint by "name/state".
using CheckpointBytes = std::map<std::string, std::vector<std::byte>>;

struct RunSpec {
  int ranks = 1;
  std::vector<std::string> overrides;          // section.key=value
  std::string name = "out";                    // of output_dir, in the folder
  std::vector<std::string> environment = {};   // KEY=value
  std::vector<std::string> verb = {};          // {"bench", "step"}; empty: run
  std::vector<std::string> of_last_rank = {};  // further overrides that it alone is given; ranks > 1
};

class RunFolder {
 public:
  /// Writes text.txt (seeded) and job.yaml: a Llama of 2 layers, hidden size 48, over bytes; 20 steps of 24
  /// samples of 32 tokens.
  RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  ~RunFolder();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path output(const std::string& name = "out") const { return path_ / name; }
  [[nodiscard]] std::filesystem::path checkpoint(std::int64_t step, const std::string& name = "out") const;

  /// The command line of a run: mpirun in front for more than one rank.
  [[nodiscard]] std::vector<std::string> command(const RunSpec& spec) const;
  [[nodiscard]] std::vector<std::string> environment(const RunSpec& spec) const;
  /// Starts the run and waits for its end.
  Ended run(const RunSpec& spec, std::chrono::seconds timeout = std::chrono::seconds(60)) const;
  /// A verb without MPI: {"plan", job(), ...}.
  Ended verb(const std::vector<std::string>& arguments) const;
  [[nodiscard]] std::string job() const { return (path_ / "job.yaml").string(); }

  /// Whole lines of metrics.jsonl so far; none when there is no such file.
  [[nodiscard]] std::vector<StepLine> metrics(const std::string& name = "out") const;
  [[nodiscard]] Json status(const std::string& name = "out") const;
  [[nodiscard]] std::string state(
      const std::string& name = "out") const;  // "state" of status.json; empty without one
  [[nodiscard]] CheckpointBytes tensors(std::int64_t step, const std::string& name = "out") const;

  /// Copies folders and files, e.g. a checkpoint from one run to another.
  void copy(const std::filesystem::path& from, const std::filesystem::path& to) const;

 private:
  std::filesystem::path path_;
};

/// The binary under test, the library of full_disk.cpp, and the root of the source tree.
[[nodiscard]] std::string edgetrain_binary();
[[nodiscard]] std::string full_disk_library();
[[nodiscard]] std::filesystem::path source_root();
[[nodiscard]] std::vector<double> losses(const std::vector<StepLine>& lines);

}  // namespace edgetrain::testing
