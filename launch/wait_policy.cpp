#include "launch/wait_policy.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace edgetrain {
namespace {

// Iterations of libgomp's spin loop, about 10 us: longer than the gap between two operators of a small model,
// shorter than anything that a scheduler does.
constexpr const char* kSpins = "5000";

}  // namespace

void settle_wait_policy(char** argv) {
  ::prctl(PR_SET_NAME, "edgetrain");  // an executed /proc/self/exe is called "exe" in ps, top and pkill
  for (const char* variable : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    if (std::getenv(variable) != nullptr) return;
  }
  ::setenv("GOMP_SPINCOUNT", kSpins, 1);
  ::execv("/proc/self/exe",
          argv);  // returns only on failure: then the default policy stays, slower and right
}

}  // namespace edgetrain
