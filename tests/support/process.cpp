#include "tests/support/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <system_error>
#include <thread>

namespace edgetrain::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The variables with which a process was started; empty for a zombie.
std::string environment_of(int pid) {
  return std::string(1, '\0') + read_all("/proc/" + std::to_string(pid) + "/environ");
}

std::optional<std::string> variable_of(const std::string& environment, const std::string& name) {
  const auto at = environment.find('\0' + name + "=");
  if (at == std::string::npos) return std::nullopt;
  const auto begin = at + name.size() + 2;
  return environment.substr(begin, environment.find('\0', begin) - begin);
}

std::vector<int> all_pids() {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; }))
      pids.push_back(std::stoi(name));
  }
  return pids;
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

constexpr const char* kMarkName = "EDGETRAIN_TEST_PROCESS";

std::string next_mark() {
  static int count = 0;
  return std::to_string(::getpid()) + "." + std::to_string(count++);
}

// /dev/null as stdin, the memory file as stdout and stderr.
class Redirection {
 public:
  explicit Redirection(int output) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);  // pgroup 0: one of its own
  }
  Redirection(const Redirection&) = delete;
  Redirection& operator=(const Redirection&) = delete;
  ~Redirection() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

int Ended::count(std::string_view text) const {
  int found = 0;
  for (auto at = output.find(text); at != std::string::npos; at = output.find(text, at + text.size()))
    ++found;
  return found;
}

Process::Process(const std::vector<std::string>& command, const std::vector<std::string>& environment)
    : mark_(next_mark()), begin_(Clock::now()) {
  // Orphans of a killed mpirun come to us, so that their end can be waited for.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  output_ = ::memfd_create("output", MFD_CLOEXEC);
  if (output_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  auto added = environment;
  added.push_back(std::string(kMarkName) + "=" + mark_);
  auto arguments = command;
  auto variables = environment_with(added);
  const Redirection redirection(output_);
  const int error =
      ::posix_spawnp(&pid_, command.front().c_str(), redirection.actions(), redirection.attributes(),
                     pointers(arguments).data(), pointers(variables).data());
  if (error != 0) {
    ::close(output_);
    throw std::system_error(error, std::generic_category(), command.front());
  }
}

Process::~Process() {
  kill_family();
  ::close(output_);
}

Ended Process::wait(std::chrono::milliseconds timeout) {
  const bool ended = eventually(timeout, [this] { return !running(); });
  if (!ended) kill_family();
  const std::chrono::duration<double> taken = Clock::now() - begin_;
  return {ended ? exit_code(*status_) : -1, taken.count(), output()};
}

bool Process::running() {
  reap(false);
  return !status_;
}

void Process::reap(bool block) {
  if (status_) return;
  int status = 0;
  if (::waitpid(pid_, &status, block ? 0 : WNOHANG) == pid_) status_ = status;
}

std::string Process::output() const {
  std::string text(static_cast<std::size_t>(::lseek(output_, 0, SEEK_CUR)),
                   '\0');  // shared with the writers: the end
  const auto got = ::pread(output_, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

void Process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

std::vector<int> Process::family() const {
  std::vector<int> found;
  for (const int pid : all_pids()) {
    if (variable_of(environment_of(pid), kMarkName) == mark_) found.push_back(pid);
  }
  return found;
}

std::vector<int> Process::rank_pids() const {
  std::map<int, int> by_rank;
  for (const int pid : family()) {
    const auto rank = variable_of(environment_of(pid), "OMPI_COMM_WORLD_RANK");
    if (rank) by_rank[std::stoi(*rank)] = pid;
  }
  std::vector<int> pids;
  for (const auto& [rank, pid] : by_rank) pids.push_back(pid);
  return pids;
}

// Again and again, since what is being killed may still be starting others.
void Process::kill_family() {
  for (auto pids = family(); !pids.empty(); pids = family()) {
    for (const int pid : pids) ::kill(pid, SIGKILL);
    nap();
    for (const int pid : pids) {
      if (pid != pid_) ::waitpid(pid, nullptr, WNOHANG);
    }
  }
  reap(true);
}

std::int64_t resident_bytes(int pid) {
  std::istringstream lines(read_all("/proc/" + std::to_string(pid) + "/status"));
  std::int64_t kib = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
      kib += std::stoll(line.substr(line.find(':') + 1));
  }
  return kib * 1024;
}

void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(4)); }

}  // namespace edgetrain::testing
