#include "parallel/watchdog/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "parallel/watchdog/flight_reader.h"

namespace edgetrain {
namespace {

std::string own_host() {
  std::array<char, 64> name{};  // as long as the record's field
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

Watchdog::Watchdog(std::filesystem::path dir, int world_size, const WatchdogOptions& options, Callback on_verdict)
    : dir_(std::move(dir)),
      world_size_(world_size),
      options_(options),
      on_verdict_(std::move(on_verdict)),
      host_(own_host()),
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
  if (const std::uint64_t beats = beats_.load(std::memory_order_relaxed); std::exchange(seen_beats_, beats) != beats) {
    last_beat_ = now;
  }
  const std::chrono::milliseconds deadline{deadline_ms_.load(std::memory_order_relaxed)};
  const bool late = deadline.count() > 0 && now - last_beat_ > deadline;
  const bool peer_died = options_.watch_peers && !dead_ranks(dir_, world_size_, host_).empty();
  if (!late && !peer_died) return std::nullopt;
  Diagnosis diagnosis = diagnose(dir_, world_size_, flight_now(), host_);
  if (late) diagnosis.text = fmt::format("no progress for {} ms.\n{}", deadline.count(), diagnosis.text);
  return diagnosis;
}

}  // namespace edgetrain
