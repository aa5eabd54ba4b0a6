// MPI as owned handles: the session (init to finalize), a duplicated communicator, and the check of every
// code.
//
// Why MPI_ERRORS_RETURN everywhere: under MPI's default handler the program aborts before a check can say
// which rank, host and call it was. Why duplicates: our messages and a library's must never match each other.
#pragma once

#include <mpi.h>

#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace edgetrain {

/// Throws Error(peer) naming call, rank, host and MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, std::string_view call, std::source_location where = std::source_location::current());

/// MPI_Init to MPI_Finalize. One per process, made by main; MPI is called by the thread that made it
/// (FUNNELED). Sets mpi_yield_when_idle before init (unless the user set it): with more ranks than cores a
/// spinning MPI starves the rank that it waits for.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  /// Finalizes; during unwinding aborts the job instead, since the peers would wait for this rank for ever.
  ~MpiSession();

  /// Collective: MPI_Finalize, checked. The destructor does nothing afterwards.
  void close();
  /// Ends all ranks of the job with this exit code.
  [[noreturn]] static void abort(int code);

 private:
  bool open_ = false;
};

/// Owns a communicator. Move-only.
class MpiComm {
 public:
  /// Collective over the world: a duplicate of MPI_COMM_WORLD. MPI must be initialised.
  [[nodiscard]] static MpiComm world();

  MpiComm() = default;
  MpiComm(MpiComm&& other) noexcept;
  MpiComm& operator=(MpiComm&& other) noexcept;
  MpiComm(const MpiComm&) = delete;
  MpiComm& operator=(const MpiComm&) = delete;
  ~MpiComm();

  /// Collective over this communicator.
  [[nodiscard]] MpiComm duplicate() const;
  /// Collective over `ranks` only (ranks of this communicator, each once; the caller is one of them). Index i
  /// of the result is ranks[i]. `tag` keeps apart groups that are created at the same time and share two
  /// ranks.
  [[nodiscard]] MpiComm group(std::span<const int> ranks, int tag) const;
  /// Collective: the ranks of this communicator that share memory with the caller, in order.
  [[nodiscard]] MpiComm on_this_node() const;

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] MPI_Comm handle() const { return handle_; }
  /// Index of each member in MPI_COMM_WORLD.
  [[nodiscard]] const std::vector<int>& world_ranks() const { return world_ranks_; }

 private:
  explicit MpiComm(MPI_Comm handle);  // takes it over
  void release() noexcept;
  MPI_Comm handle_ = MPI_COMM_NULL;
  int size_ = 0, rank_ = 0;
  std::vector<int> world_ranks_;
};

/// "Open MPI v4.1.4": what this binary runs on; callable before MPI_Init.
[[nodiscard]] std::string mpi_library_version();

/// The name of this host, as MPI and the flight record give it.
[[nodiscard]] std::string host_name();

}  // namespace edgetrain
