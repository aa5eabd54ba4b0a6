#include "parallel/comm/shared_window.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "core/base/error.h"
#include "parallel/comm/peer_memory.h"

namespace edgetrain {
namespace {

using Name = std::array<char, 64>;

class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

std::byte* map(int fd, std::int64_t bytes, int& error) {
  void* base = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base != MAP_FAILED) return static_cast<std::byte*>(base);
  error = errno;
  return nullptr;
}

// Index 0 makes the memory and reserves every page of it; a sparse file would fail at first touch instead.
std::byte* create(const Name& name, std::int64_t bytes, int& error) {
  const FileHandle file(::shm_open(name.data(), O_CREAT | O_EXCL | O_RDWR, 0600));
  if (file.fd() < 0) {
    error = errno;
    return nullptr;
  }
  error = ::posix_fallocate(file.fd(), 0, bytes);
  return error == 0 ? map(file.fd(), bytes, error) : nullptr;
}

std::byte* attach(const Name& name, std::int64_t bytes, int& error) {
  const FileHandle file(::shm_open(name.data(), O_RDWR, 0600));
  if (file.fd() < 0) {
    error = errno;
    return nullptr;
  }
  return map(file.fd(), bytes, error);
}

// A name that no other job or group on this node has: process, and a count within the process.
Name fresh_name() {
  static int count = 0;
  Name name{};
  fmt::format_to_n(name.data(), name.size() - 1, "/edgetrain-{}-{}", ::getpid(), count++);
  return name;
}

int worst_of(const MpiComm& comm, int error) {
  int worst = 0;
  check_mpi(MPI_Allreduce(&error, &worst, 1, MPI_INT, MPI_MAX, comm.handle()), "MPI_Allreduce");
  return worst;
}

std::byte* map_together(const MpiComm& comm, std::int64_t bytes) {
  Name name = comm.rank() == 0 ? fresh_name() : Name{};
  check_mpi(MPI_Bcast(name.data(), static_cast<int>(name.size()), MPI_CHAR, 0, comm.handle()), "MPI_Bcast");
  int error = 0;
  std::byte* base = comm.rank() == 0 ? create(name, bytes, error) : nullptr;
  int worst = worst_of(comm, error);
  if (worst == 0 && comm.rank() != 0) base = attach(name, bytes, error);
  if (worst == 0) worst = worst_of(comm, error);
  if (comm.rank() == 0)
    ::shm_unlink(name.data());  // lives on while mapped; a crash later leaves nothing behind
  if (worst == 0) return base;
  if (base != nullptr) ::munmap(base, static_cast<std::size_t>(bytes));
  throw Error(
      ErrorClass::resource,
      fmt::format(
          "{} of {}: no {} bytes of shared memory for a group of {} ranks: {}. Is /dev/shm too small, "
          "or not shared between these ranks?",
          host_name(), comm.world_ranks()[static_cast<std::size_t>(comm.rank())], bytes, comm.size(),
          std::strerror(worst)));
}

}  // namespace

SharedWindow::SharedWindow(const MpiComm& comm, int slots, std::int64_t slot_data)
    : layout_(comm.size(), slots, slot_data),
      size_(comm.size()),
      rank_(comm.rank()),
      slots_(static_cast<std::uint64_t>(slots)),
      slot_data_(slot_data),
      base_(map_together(comm, layout_.bytes())) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free,
                "a lock could not be shared between processes");
  for (auto& known : known_) known.assign(static_cast<std::size_t>(size_), 0);
  reads_peers_ = try_peers(comm);
}

// Everybody reads a word of everybody else; one refusal decides for all.
bool SharedWindow::try_peers(const MpiComm& comm) {
  constexpr std::uint64_t kWord = 0x6564676574726169U;
  const std::uint64_t word = kWord;
  const PeerAddress own{::getpid(), reinterpret_cast<std::uint64_t>(&word)};
  std::vector<PeerAddress> all(static_cast<std::size_t>(size_));
  check_mpi(MPI_Allgather(&own, sizeof(own), MPI_BYTE, all.data(), sizeof(own), MPI_BYTE, comm.handle()),
            "MPI_Allgather");
  int refused = 0;
  for (const PeerAddress& peer : all) {
    std::uint64_t read = 0;
    int error = 0;
    const bool ok = try_read_peer(peer, std::as_writable_bytes(std::span(&read, 1)), error);
    if (!ok || read != kWord) refused = 1;
  }
  return worst_of(comm, refused) == 0;
}

SharedWindow::~SharedWindow() { ::munmap(base_, static_cast<std::size_t>(layout_.bytes())); }

std::uint64_t SharedWindow::take_rounds(std::int64_t count) {
  const std::uint64_t first = next_round_;
  next_round_ += static_cast<std::uint64_t>(count);
  return first;
}

std::atomic<std::uint64_t>& SharedWindow::counter(int rank, Flag which) const {
  // Fresh shared memory is zero, which is the initial value of every counter.
  return *std::launder(reinterpret_cast<std::atomic<std::uint64_t>*>(base_ + layout_.flag(rank, which)));
}

bool SharedWindow::reached(int peer, Flag which, std::uint64_t round) {
  std::uint64_t& known = known_[static_cast<int>(which)][static_cast<std::size_t>(peer)];
  if (known > round) return true;
  known = counter(peer, which).load(std::memory_order_acquire);
  return known > round;
}

bool SharedWindow::all_reached(Flag which, std::uint64_t round) {
  for (int peer = 0; peer < size_; ++peer) {
    if (!reached(peer, which, round)) return false;
  }
  return true;
}

bool SharedWindow::writable(std::uint64_t round) {
  return round < slots_ || all_reached(Flag::drained, round - slots_);
}

void SharedWindow::publish(Flag which, std::uint64_t round) {
  counter(rank_, which).store(round + 1, std::memory_order_release);
}

std::byte* SharedWindow::slot(int rank, std::uint64_t round) const {
  return base_ + layout_.data(rank, slot_index(round));
}

CallSignature& SharedWindow::signature(int rank, std::uint64_t round) const {
  static_assert(sizeof(CallSignature) <= kSlotHeaderBytes);
  return *std::launder(reinterpret_cast<CallSignature*>(base_ + layout_.header(rank, slot_index(round))));
}

}  // namespace edgetrain
