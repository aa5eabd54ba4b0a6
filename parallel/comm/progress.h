// All communicators of one rank, so that waiting for one moves the others too.
//
// Why: rank A waits in group X while B, a member of X and Y, waits in Y, which needs A. If A moved only X,
// both would wait for ever, although each started everything in a legal order.
#pragma once

#include <vector>

namespace edgetrain {

class Progressable {
 public:
  /// Does what can be done without blocking. noexcept: failures are kept for the request that they belong to.
  virtual void progress() noexcept = 0;

 protected:
  ~Progressable() = default;
};

/// Owned by the runtime; outlives the communicators that register. Driver thread only.
class ProgressList {
 public:
  void add(Progressable& member) { members_.push_back(&member); }
  void remove(Progressable& member) { std::erase(members_, &member); }
  void progress_others(const Progressable& but) noexcept {
    for (Progressable* member : members_) {
      if (member != &but) member->progress();
    }
  }

 private:
  std::vector<Progressable*> members_;
};

}  // namespace edgetrain
