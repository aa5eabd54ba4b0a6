// The one thread beside the driver: it sleeps, and speaks up when the driver has not moved for too long.
//
// Why a thread: a driver that hangs cannot look at its own clock. Why per rank and not only on one: whichever
// rank passes its deadline first can read all records and name the culprit, also when rank 0 is the one that
// hangs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "parallel/watchdog/diagnosis.h"

namespace edgetrain {

struct WatchdogOptions {
  std::chrono::milliseconds deadline{60'000};      // without a beat
  std::chrono::milliseconds look_interval{1'000};  // how often it wakes; peers' processes are probed then
  bool watch_peers = true;  // a peer process of this host that has died is reported at once
};

class Watchdog {
 public:
  /// Called once, on the watchdog's thread, which ends afterwards; must not destroy the watchdog.
  using Callback = std::function<void(const Diagnosis&)>;

  /// All ranks must have made their FlightRecord before any starts a watchdog (a barrier between), or it
  /// would read the records of an earlier run in the same folder.
  Watchdog(std::filesystem::path dir, int world_size, const WatchdogOptions& options, Callback on_verdict);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// The driver moves. An atomic increment; any thread.
  void beat() { beats_.fetch_add(1, std::memory_order_relaxed); }
  /// From now on; counts as a beat. Start-up and steps have separate deadlines; zero: none (idle).
  void set_deadline(std::chrono::milliseconds deadline);

 private:
  void watch();
  /// Empty while all is well.
  [[nodiscard]] std::optional<Diagnosis> look();

  std::filesystem::path dir_;
  int world_size_;
  WatchdogOptions options_;
  Callback on_verdict_;
  std::string host_;
  std::vector<int> neighbours_;  // ranks of this host, if they are watched
  std::atomic<std::uint64_t> beats_{0};
  std::atomic<std::int64_t> deadline_ms_;
  std::uint64_t seen_beats_ = 0;
  std::chrono::steady_clock::time_point last_beat_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace edgetrain
