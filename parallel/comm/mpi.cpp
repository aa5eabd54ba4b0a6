#include "parallel/comm/mpi.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <utility>

#include "core/base/error.h"

namespace edgetrain {
namespace {

int world_rank() {
  int rank = -1;
  int initialized = 0;
  if (MPI_Initialized(&initialized) == MPI_SUCCESS && initialized != 0) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

std::string text_of(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) return fmt::format("code {}", code);
  return {text.data(), static_cast<std::size_t>(length)};
}

class MpiGroup {  // MPI_Group with a release
 public:
  MpiGroup() = default;
  MpiGroup(const MpiGroup&) = delete;
  MpiGroup& operator=(const MpiGroup&) = delete;
  ~MpiGroup() {
    if (handle != MPI_GROUP_NULL) MPI_Group_free(&handle);
  }
  MPI_Group handle = MPI_GROUP_NULL;
};

std::vector<int> ranks_in_world(MPI_Comm comm, int size) {
  MpiGroup members, world;
  check_mpi(MPI_Comm_group(comm, &members.handle), "MPI_Comm_group");
  check_mpi(MPI_Comm_group(MPI_COMM_WORLD, &world.handle), "MPI_Comm_group");
  std::vector<int> own(static_cast<std::size_t>(size));
  std::vector<int> result(own.size());
  std::iota(own.begin(), own.end(), 0);
  check_mpi(MPI_Group_translate_ranks(members.handle, size, own.data(), world.handle, result.data()),
            "MPI_Group_translate_ranks");
  return result;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown host";
  return name.data();
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check_mpi(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  const std::string all(text.data(), static_cast<std::size_t>(length));
  return all.substr(0, all.find(','));
}

void check_mpi(int code, std::string_view call, std::source_location where) {
  if (code == MPI_SUCCESS) [[likely]]
    return;
  throw Error(ErrorClass::peer,
              fmt::format("{} failed on rank {} ({}): {}", call, world_rank(), host_name(), text_of(code)),
              where);
}

MpiSession::MpiSession(int& argc, char**& argv) {
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  open_ = true;
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_FUNNELED) {
    throw Error(ErrorClass::resource,
                "this MPI does not allow threads beside its caller (MPI_THREAD_FUNNELED)");
  }
}

MpiSession::~MpiSession() {
  if (!open_) return;
  if (std::uncaught_exceptions() > 0) abort(1);
  if (MPI_Finalize() != MPI_SUCCESS) std::fprintf(stderr, "MPI_Finalize failed\n");
}

void MpiSession::close() {
  if (std::exchange(open_, false)) check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void MpiSession::abort(int code) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

MpiComm::MpiComm(MPI_Comm handle) : handle_(handle) {
  check_mpi(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_size(handle_, &size_), "MPI_Comm_size");
  check_mpi(MPI_Comm_rank(handle_, &rank_), "MPI_Comm_rank");
  world_ranks_ = ranks_in_world(handle_, size_);
}

MpiComm::MpiComm(MpiComm&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
      size_(std::exchange(other.size_, 0)),
      rank_(std::exchange(other.rank_, 0)),
      world_ranks_(std::exchange(other.world_ranks_, {})) {}

MpiComm& MpiComm::operator=(MpiComm&& other) noexcept {
  if (this == &other) return *this;
  release();
  handle_ = std::exchange(other.handle_, MPI_COMM_NULL);
  size_ = std::exchange(other.size_, 0);
  rank_ = std::exchange(other.rank_, 0);
  world_ranks_ = std::exchange(other.world_ranks_, {});
  return *this;
}

MpiComm::~MpiComm() { release(); }

void MpiComm::release() noexcept {
  if (handle_ == MPI_COMM_NULL) return;
  int finalized = 0;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0) return;
  if (MPI_Comm_free(&handle_) != MPI_SUCCESS)
    std::fprintf(stderr, "MPI_Comm_free failed on rank %d\n", rank_);
  handle_ = MPI_COMM_NULL;
}

MpiComm MpiComm::world() {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  return MpiComm(copy);
}

MpiComm MpiComm::duplicate() const {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(handle_, &copy), "MPI_Comm_dup");
  return MpiComm(copy);
}

MpiComm MpiComm::group(std::span<const int> ranks, int tag) const {
  MpiGroup all, some;
  check_mpi(MPI_Comm_group(handle_, &all.handle), "MPI_Comm_group");
  check_mpi(MPI_Group_incl(all.handle, static_cast<int>(ranks.size()), ranks.data(), &some.handle),
            "MPI_Group_incl");
  MPI_Comm result = MPI_COMM_NULL;
  check_mpi(MPI_Comm_create_group(handle_, some.handle, tag, &result), "MPI_Comm_create_group");
  ET_CHECK(result != MPI_COMM_NULL, "rank {} is not in the group that it creates", rank_);
  return MpiComm(result);
}

MpiComm MpiComm::on_this_node() const {
  MPI_Comm result = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(handle_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &result),
            "MPI_Comm_split_type");
  return MpiComm(result);
}

}  // namespace edgetrain
