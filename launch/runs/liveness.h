// Signs of life of a rank: what it does goes into the flight record, that it moves goes to the watchdog.
//
// A step has the short deadline of the job (parallel.deadline_s); start-up, checkpoints and other phases
// between steps the long one (parallel.init_deadline_s), since disks and file systems may be slow without
// anything being wrong.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/program/driver.h"
#include "launch/job/job.h"
#include "parallel/watchdog/flight_record.h"
#include "parallel/watchdog/watchdog.h"

namespace edgetrain {

class Liveness final : public DriverListener {
 public:
  /// Called on the watchdog's thread; `step`: the one that is under way.
  using Verdict = std::function<void(const Diagnosis&, std::int64_t step)>;
  /// Collective before it: every rank has made its flight record. `on_verdict` ends the job; a job of one
  /// rank waits for nobody and has no watchdog. Names are for the phases of instructions.
  Liveness(FlightRecord& flight, const ParallelConfig& config, std::vector<std::string> units,
           std::vector<std::string> buckets, Verdict on_verdict)
      : flight_(flight),
        step_deadline_(milliseconds(config.deadline_s)),
        phase_deadline_(milliseconds(config.init_deadline_s)),
        units_(std::move(units)),
        buckets_(std::move(buckets)) {
    if (flight.world_size() == 1) return;
    WatchdogOptions options;
    options.deadline = phase_deadline_;
    // mpirun gives survivors about a second after a rank has died: the verdict must be written by then.
    options.look_interval = std::chrono::milliseconds(200);
    watchdog_ = std::make_unique<Watchdog>(
        flight.dir(), flight.world_size(), options,
        [this, tell = std::move(on_verdict)](const Diagnosis& d) { tell(d, step_); });
  }

  [[nodiscard]] std::int64_t step() const { return step_; }
  void begin_step(std::int64_t step) {
    step_ = step;
    if (watchdog_) watchdog_->set_deadline(step_deadline_);
  }
  void begin_phase(std::string_view phase) {
    flight_.set_phase(step_, phase);
    if (watchdog_) watchdog_->set_deadline(phase_deadline_);
  }
  /// Something was done. Called at the end of every operator.
  void beat() {
    if (watchdog_) watchdog_->beat();
  }

  void issued(const Instr& instr, std::size_t) override {
    flight_.set_phase(step_, describe(instr, units_, buckets_));
    beat();
  }
  void completed(const Instr&, std::size_t) override {}
  void waiting(const Instr& instr, const Request& pending) override {
    flight_.set_phase(step_,
                      "waits for " + pending.describe() + " before " + describe(instr, units_, buckets_));
  }

 private:
  static std::chrono::milliseconds milliseconds(double seconds) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * seconds));
  }
  FlightRecord& flight_;
  std::chrono::milliseconds step_deadline_, phase_deadline_;
  std::vector<std::string> units_, buckets_;
  std::atomic<std::int64_t> step_ = 0;
  std::unique_ptr<Watchdog> watchdog_;
};

}  // namespace edgetrain
