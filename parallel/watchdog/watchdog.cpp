#include "parallel/watchdog/watchdog.h"

#include <fmt/format.h>

#include <utility>

#include "parallel/watchdog/flight_reader.h"
#include "parallel/watchdog/flight_record.h"

namespace edgetrain {
Watchdog::Watchdog(std::filesystem::path dir, int world_size, const WatchdogOptions& options,
                   Callback on_verdict)
    : dir_(std::move(dir)),
      world_size_(world_size),
      options_(options),
      on_verdict_(std::move(on_verdict)),
      host_(flight_host()),
      neighbours_(options.watch_peers ? ranks_on(dir_, world_size, host_) : std::vector<int>{}),
      deadline_ms_(options.deadline.count()),
      last_beat_(std::chrono::steady_clock::now()),
      thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Watchdog::set_deadline(std::chrono::milliseconds deadline) {
  beat();
  deadline_ms_.store(deadline.count(), std::memory_order_relaxed);
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, options_.look_interval, [this] { return stopping_; })) {
    const std::optional<Diagnosis> verdict = look();
    if (!verdict) continue;
    lock.unlock();
    on_verdict_(*verdict);
    return;
  }
}

std::optional<Diagnosis> Watchdog::look() {
  const auto now = std::chrono::steady_clock::now();
  if (const std::uint64_t beats = beats_.load(std::memory_order_relaxed);
      std::exchange(seen_beats_, beats) != beats) {
    last_beat_ = now;
  }
  const std::chrono::milliseconds deadline{deadline_ms_.load(std::memory_order_relaxed)};
  const bool late = deadline.count() > 0 && now - last_beat_ > deadline;
  const bool peer_died = !dead_among(dir_, neighbours_).empty();
  if (!late && !peer_died) return std::nullopt;
  Diagnosis diagnosis = diagnose(dir_, world_size_, flight_now(), host_);
  if (late) diagnosis.text = fmt::format("no progress for {} ms.\n{}", deadline.count(), diagnosis.text);
  return diagnosis;
}

}  // namespace edgetrain
