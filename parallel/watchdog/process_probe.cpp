#include "parallel/watchdog/process_probe.h"

#include <fstream>
#include <sstream>
#include <string>

namespace edgetrain {
namespace {

struct ProcessStat {
  char state = 'X';
  std::uint64_t start = 0;
};

// "pid (name) state ppid ...": the name may hold spaces and brackets, so reading begins behind the last
// bracket.
ProcessStat read_stat(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return {};
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(line.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> stat.start;
  return stat;
}

}  // namespace

std::uint64_t process_start(int pid) { return read_stat(pid).start; }

ProcessState probe_process(int pid, std::uint64_t start) {
  const ProcessStat stat = read_stat(pid);
  if (stat.start == 0 || (start != 0 && stat.start != start)) return ProcessState::dead;
  if (stat.state == 'Z' || stat.state == 'X') return ProcessState::dead;
  return stat.state == 'T' || stat.state == 't' ? ProcessState::stopped : ProcessState::running;
}

}  // namespace edgetrain
