#include "launch/runs/stop_signal.h"

#include <csignal>

namespace edgetrain {
namespace {

volatile std::sig_atomic_t received = 0;

void note_signal(int) { received = 1; }

}  // namespace

void install_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_signal_received() { return received != 0; }

}  // namespace edgetrain
