#include "launch/job/facts.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace edgetrain {
namespace {

std::int64_t cores_in_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return 1;
  return std::max(1, CPU_COUNT(&mask));
}

std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    std::int64_t kibibytes = 0;
    if (words >> name >> kibibytes && name == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

// A limit file holds a number or, for no limit, "max" (cgroup 2) or a huge number (cgroup 1).
std::optional<std::int64_t> limit_in(const std::string& path) {
  std::ifstream file(path);
  std::int64_t bytes = 0;
  constexpr std::int64_t kNoLimit = 1LL << 60U;
  if (file >> bytes && bytes > 0 && bytes < kNoLimit) return bytes;
  return std::nullopt;
}

// The tightest limit on the way from this process's cgroup to the root; inside a container the root is what
// counts.
std::optional<std::int64_t> cgroup_limit() {
  std::vector<std::string> candidates = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const bool is_v2 = line.starts_with("0::");
    if (!is_v2 && line.find(":memory:") == std::string::npos) continue;
    std::string path = line.substr(line.rfind(':') + 1);
    while (path.size() > 1) {
      candidates.push_back(is_v2 ? "/sys/fs/cgroup" + path + "/memory.max"
                                 : "/sys/fs/cgroup/memory" + path + "/memory.limit_in_bytes");
      path.resize(path.rfind('/'));
    }
  }
  std::optional<std::int64_t> tightest;
  for (const auto& candidate : candidates) {
    const auto limit = limit_in(candidate);
    if (limit && (!tightest || *limit < *tightest)) tightest = limit;
  }
  return tightest;
}

}  // namespace

Facts probe_machine() {
  Facts facts;
  facts.cores = cores_in_mask();
  facts.available_memory = available_memory();
  facts.memory_limit = cgroup_limit();
  return facts;
}

}  // namespace edgetrain
