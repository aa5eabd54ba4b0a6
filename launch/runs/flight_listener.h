// Tells the flight record what the driver does, so that a hang can be named by its instruction.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/program/driver.h"
#include "parallel/watchdog/flight_record.h"

namespace edgetrain {

class FlightListener final : public DriverListener {
 public:
  /// Borrows `flight`. `step` is read at every instruction: the number of the step that is under way.
  FlightListener(FlightRecord& flight, const std::int64_t& step, std::vector<std::string> units,
                 std::vector<std::string> buckets)
      : flight_(flight), step_(step), units_(std::move(units)), buckets_(std::move(buckets)) {}

  void issued(const Instr& instr, std::size_t) override { flight_.set_phase(step_, describe(instr, units_, buckets_)); }
  void completed(const Instr&, std::size_t) override {}
  void waiting(const Instr& instr, const Request& pending) override {
    flight_.set_phase(step_, "waits for " + pending.describe() + " before " + describe(instr, units_, buckets_));
  }

 private:
  FlightRecord& flight_;
  const std::int64_t& step_;
  std::vector<std::string> units_, buckets_;
};

}  // namespace edgetrain
