// Several ranks as threads of one process: a Communicator with the two collectives that the checkpoint needs.
#pragma once

#include <barrier>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/comm/call_check.h"
#include "core/comm/communicator.h"

namespace edgetrain::testing {

class ThreadWorld {
 public:
  explicit ThreadWorld(int size) : barrier_(size), in_(static_cast<std::size_t>(size)) {}

  class Rank final : public Communicator {
   public:
    Rank(ThreadWorld& world, int rank) : world_(world), rank_(rank) {}
    [[nodiscard]] int size() const override { return static_cast<int>(world_.in_.size()); }
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] std::string_view name() const override { return "threads"; }
    /// Wants as much again as the message, so that users must ask for it.
    [[nodiscard]] std::int64_t scratch_bytes(const CommCall& call) const override { return call.in.bytes(); }
    [[nodiscard]] std::int64_t sent_bytes(const CommCall&) const override { return 0; }
    [[nodiscard]] const CommBytes& sent() const override { return sent_; }
    Request start(const CommCall& call, const Stream&, std::span<std::byte> scratch) override {
      check_call(call, size(), rank_);
      ET_CHECK(static_cast<std::int64_t>(scratch.size()) >= scratch_bytes(call), "scratch");
      ET_CHECK(call.op == Collective::all_gather || call.op == Collective::broadcast, "not needed here");
      world_.exchange(rank_, call);
      return {};
    }

   private:
    ThreadWorld& world_;
    int rank_;
    CommBytes sent_;
  };

  /// Runs body(communicator) on every rank and waits for all; rethrows nothing: body must not throw.
  void run(const std::function<void(Communicator&)>& body) {
    std::vector<std::thread> threads;
    for (std::size_t rank = 0; rank < in_.size(); ++rank) {
      threads.emplace_back([&, rank] {
        Rank communicator(*this, static_cast<int>(rank));
        body(communicator);
      });
    }
    for (auto& thread : threads) thread.join();
  }

 private:
  void exchange(int rank, const CommCall& call) {
    in_[static_cast<std::size_t>(rank)] = call.in;
    barrier_.arrive_and_wait();
    if (call.op == Collective::broadcast) {
      if (rank != call.peer) copy(in_[static_cast<std::size_t>(call.peer)], call.out.data);
    } else {
      for (std::size_t i = 0; i < in_.size(); ++i) {
        if (static_cast<int>(i) != rank)
          copy(in_[i], call.out.data + static_cast<std::int64_t>(i) * call.in.bytes());
      }
    }
    barrier_.arrive_and_wait();
  }
  static void copy(Tensor from, std::byte* to) {
    std::memcpy(to, from.data, static_cast<std::size_t>(from.bytes()));
  }
  std::barrier<> barrier_;
  std::vector<Tensor> in_;
};

}  // namespace edgetrain::testing
