#include "parallel/watchdog/flight_record.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>

#include "core/base/error.h"
#include "parallel/watchdog/flight_file.h"
#include "parallel/watchdog/process_probe.h"

namespace edgetrain {
namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

template <std::size_t N>
void set_text(char (&to)[N], std::string_view from) {
  const std::size_t length = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

void* make_file(const std::filesystem::path& path, std::int64_t bytes) {
  const auto fail = [&](int error) {
    throw Error(ErrorClass::resource,
                fmt::format("cannot make the flight record {}: {}", path.string(), std::strerror(error)));
  };
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail(errno);
  const int error = ::posix_fallocate(fd, 0, bytes);  // a full disk is an error now, not a SIGBUS at a stamp
  void* base =
      error == 0 ? ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                 : MAP_FAILED;
  const int map_error = errno;
  ::close(fd);
  if (base == MAP_FAILED) fail(error != 0 ? error : map_error);
  return base;
}

}  // namespace

std::filesystem::path flight_path(const std::filesystem::path& dir, int rank) {
  return dir / fmt::format("flight-{}.bin", rank);
}

std::string flight_host() {
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) != 0) return "unknown host";
  return std::string(name).substr(0, sizeof(FlightFile::host) - 1);
}

FlightRecord::FlightRecord(const std::filesystem::path& dir, int rank, int world_size)
    : dir_(dir),
      rank_(rank),
      world_size_(world_size),
      bytes_(static_cast<std::int64_t>(sizeof(FlightFile) +
                                       flight_pool_ints(world_size) * sizeof(std::int32_t))) {
  std::filesystem::create_directories(dir);
  file_ = std::launder(static_cast<FlightFile*>(make_file(flight_path(dir, rank), bytes_)));
  file_->version = kFlightVersion;
  file_->rank = rank;
  file_->world_size = world_size;
  file_->pid = ::getpid();
  file_->process_start = process_start(file_->pid);
  set_text(file_->host, flight_host());
  file_->pool_ints = flight_pool_ints(world_size);
  file_->polled_ns = clock_ns(CLOCK_REALTIME);
  set_phase(0, "starting");
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(file_->magic, kFlightMagic, sizeof(kFlightMagic));  // last: before it the file is not read
}

FlightRecord::~FlightRecord() {
  close();
  // A failure leaves what a reader on this host sees, which is all that can be had.
  (void)::msync(file_, static_cast<std::size_t>(bytes_), MS_SYNC);
  ::munmap(file_, static_cast<std::size_t>(bytes_));
}

void FlightRecord::close() {
  file_->closed.store(1, std::memory_order_release);
  // Not MS_SYNC: the watchdog comes here on its way out, perhaps because this very file system hangs. Readers
  // on this host see the mark at once; the others when the kernel has written the page back.
  (void)::msync(file_, static_cast<std::size_t>(bytes_), MS_ASYNC);
}

std::uint32_t FlightRecord::add_group(std::string_view name, std::span<const int> ranks) {
  const std::uint32_t index = file_->groups;
  std::uint32_t first = 0;
  if (index > 0) first = file_->group[index - 1].first_member + file_->group[index - 1].size;
  if (index == kFlightGroups || first + ranks.size() > file_->pool_ints) {
    throw Error(ErrorClass::resource,
                fmt::format("no room in the flight record for group '{}' of {} ranks: {} groups "
                            "with {} members are there",
                            name, ranks.size(), index, first));
  }
  FlightGroup& group = file_->group[index];
  set_text(group.name, name);
  group.size = static_cast<std::uint32_t>(ranks.size());
  group.first_member = first;
  std::copy(ranks.begin(), ranks.end(), file_->members() + first);
  file_->groups.store(index + 1, std::memory_order_release);
  return index;
}

std::uint64_t FlightRecord::start(const FlightStamp& stamp) {
  const std::uint64_t number = file_->last_stamp.load(std::memory_order_relaxed) + 1;
  FlightSlot& slot = file_->ring[(number - 1) % kFlightStamps];
  slot.number.store(0, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_release);
  slot.sequence = stamp.sequence;
  slot.started_ns = clock_ns(CLOCK_REALTIME);
  slot.finished_ns.store(0, std::memory_order_relaxed);
  slot.bytes = stamp.bytes;
  slot.group = stamp.group;
  slot.peer = stamp.peer;
  slot.step = file_->phase.step;
  slot.op = static_cast<std::uint8_t>(stamp.op);
  set_text(slot.site, stamp.site);
  slot.number.store(number, std::memory_order_release);
  if (stamp.op != Collective::send && stamp.op != Collective::recv) {
    file_->group[stamp.group].collectives_started.store(stamp.sequence + 1, std::memory_order_release);
  }
  file_->last_stamp.store(number, std::memory_order_release);
  return number;
}

void FlightRecord::finish(std::uint64_t token) {
  FlightSlot& slot = file_->ring[(token - 1) % kFlightStamps];
  if (slot.number.load(std::memory_order_relaxed) != token) return;  // 256 calls ago: overwritten
  slot.finished_ns.store(clock_ns(CLOCK_REALTIME_COARSE), std::memory_order_release);
}

void FlightRecord::set_phase(std::int64_t step, std::string_view text) {
  FlightPhase& phase = file_->phase;
  const std::uint64_t version = phase.version.load(std::memory_order_relaxed);
  phase.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  phase.step = step;
  phase.since_ns = clock_ns(CLOCK_REALTIME_COARSE);
  set_text(phase.text, text);
  phase.version.store(version + 2, std::memory_order_release);
}

void FlightRecord::polled() {
  file_->polled_ns.store(clock_ns(CLOCK_REALTIME_COARSE), std::memory_order_relaxed);
}

}  // namespace edgetrain
