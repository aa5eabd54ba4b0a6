#include "parallel/watchdog/flight_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "parallel/watchdog/flight_file.h"

namespace edgetrain {
namespace {

class Mapping {  // read-only, of a whole file
 public:
  explicit Mapping(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat info {};
    if (::fstat(fd, &info) == 0 && info.st_size > 0) {
      void* base = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
      if (base != MAP_FAILED) {
        base_ = base;
        bytes_ = static_cast<std::size_t>(info.st_size);
      }
    }
    ::close(fd);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (base_ != nullptr) ::munmap(base_, bytes_);
  }
  // The file if it is a complete record, else null.
  [[nodiscard]] const FlightFile* flight() const {
    if (bytes_ < sizeof(FlightFile)) return nullptr;
    const auto* file = static_cast<const FlightFile*>(base_);
    if (std::memcmp(file->magic, kFlightMagic, sizeof(kFlightMagic)) != 0) return nullptr;
    if (file->version != kFlightVersion) return nullptr;
    return bytes_ >= sizeof(FlightFile) + file->pool_ints * sizeof(std::int32_t) ? file : nullptr;
  }

 private:
  void* base_ = nullptr;
  std::size_t bytes_ = 0;
};

template <std::size_t N>
std::string text_in(const char (&text)[N]) {
  return {text, ::strnlen(text, N)};
}

// A phase that is being written right now, for ever if the writer was stopped there, is read as it is after
// some tries: half of an old text is better than none.
void read_phase(const FlightPhase& phase, FlightLog& log) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    const std::uint64_t before = phase.version.load(std::memory_order_acquire);
    log.step = phase.step;
    log.phase_since_ns = phase.since_ns;
    log.phase = text_in(phase.text);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && phase.version.load(std::memory_order_relaxed) == before) return;
  }
}

void read_groups(const FlightFile& file, FlightLog& log) {
  const std::uint32_t count =
      std::min<std::uint32_t>(file.groups.load(std::memory_order_acquire), kFlightGroups);
  for (std::uint32_t i = 0; i < count; ++i) {
    const FlightGroup& group = file.group[i];
    if (std::uint64_t{group.first_member} + group.size > file.pool_ints) return;
    const std::int32_t* members = file.members() + group.first_member;
    log.groups.push_back(
        {text_in(group.name), {members, members + group.size}, group.collectives_started.load()});
  }
}

std::optional<FlightCall> read_call(const FlightSlot& slot, std::uint64_t number, std::size_t groups) {
  if (slot.number.load(std::memory_order_acquire) != number) return std::nullopt;
  FlightCall call{
      slot.group,         slot.sequence,   static_cast<Collective>(slot.op), slot.bytes, slot.peer,
      text_in(slot.site), slot.started_ns, slot.finished_ns.load() != 0};
  std::atomic_thread_fence(std::memory_order_acquire);
  if (slot.number.load(std::memory_order_relaxed) != number || call.group >= groups) return std::nullopt;
  return call;
}

void read_calls(const FlightFile& file, FlightLog& log) {
  const std::uint64_t last = file.last_stamp.load(std::memory_order_acquire);
  const std::uint64_t first = last > kFlightStamps ? last - kFlightStamps + 1 : 1;
  for (std::uint64_t number = first; number <= last; ++number) {
    auto call = read_call(file.ring[(number - 1) % kFlightStamps], number, log.groups.size());
    if (call) log.calls.push_back(std::move(*call));
  }
}

FlightOwner owner_in(const FlightFile& file) {
  return {file.rank, file.pid, file.process_start, text_in(file.host), file.closed.load() != 0};
}

}  // namespace

std::optional<FlightOwner> read_flight_owner(const std::filesystem::path& path) {
  const Mapping mapping(path);
  const FlightFile* file = mapping.flight();
  if (file == nullptr) return std::nullopt;
  return owner_in(*file);
}

std::optional<FlightLog> read_flight(const std::filesystem::path& path) {
  const Mapping mapping(path);
  const FlightFile* file = mapping.flight();
  if (file == nullptr) return std::nullopt;
  FlightLog log;
  log.owner = owner_in(*file);
  log.polled_ns = file->polled_ns.load();
  read_phase(file->phase, log);
  read_groups(*file, log);
  read_calls(*file, log);
  return log;
}

std::int64_t flight_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace edgetrain
