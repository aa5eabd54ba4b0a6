// How a wait gives the core away: poll hot for about as long as a small collective takes, then yield, then
// sleep. With more ranks than cores the peer that we wait for needs the core that we would burn.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace edgetrain {

class Backoff {
 public:
  /// `moves`: a count that grows while what is waited for makes progress; then the wait is hot again. Without
  /// it a long transfer would end up napping between any two of its pieces.
  void pause(std::uint64_t moves = 0) {
    if (moves != moves_) polls_ = 0;
    moves_ = moves;
    ++polls_;
    if (polls_ > kYieldPolls) {
      std::this_thread::sleep_for(kNap);
    } else if (polls_ > kHotPolls) {
      std::this_thread::yield();
    }
  }
  /// True once the wait is no longer hot: only then is looking at a clock worth its cost.
  [[nodiscard]] bool cold() const { return polls_ > kHotPolls; }

 private:
  static constexpr int kHotPolls = 64;
  static constexpr int kYieldPolls = 2048;
  static constexpr std::chrono::microseconds kNap{50};
  int polls_ = 0;
  std::uint64_t moves_ = 0;
};

}  // namespace edgetrain
