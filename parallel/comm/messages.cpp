#include "parallel/comm/messages.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "core/base/error.h"

namespace edgetrain {

Messages::~Messages() {
  int finalized = 0;
  if (requests_.empty() || MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0) return;
  std::fprintf(stderr, "edgetrain: %zu messages of a failed operation are given up\n", requests_.size());
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    if (pending_[i].receives) MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
}

void Messages::send(std::span<const std::byte> data, int peer, int tag, std::int64_t id) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(data.data(), static_cast<int>(data.size()), MPI_BYTE, peer, tag, comm_, &request),
            "MPI_Isend");
  requests_.push_back(request);
  pending_.push_back({id, data.size(), peer, false});
  if (sent_ != nullptr) *sent_ += static_cast<std::int64_t>(data.size());
}

void Messages::receive(std::span<std::byte> data, int peer, int tag, std::int64_t id) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(data.data(), static_cast<int>(data.size()), MPI_BYTE, peer, tag, comm_, &request),
            "MPI_Irecv");
  requests_.push_back(request);
  pending_.push_back({id, data.size(), peer, true});
}

void Messages::check_length(const Pending& message, const MPI_Status& status) const {
  int bytes = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  if (static_cast<std::size_t>(bytes) == message.expected_bytes) [[likely]]
    return;
  throw Error(ErrorClass::peer,
              fmt::format("a message of {} bytes came from group member {}, where {} were expected: "
                          "the two ranks disagree about this call",
                          bytes, message.peer, message.expected_bytes));
}

void Messages::forget(std::size_t index) {
  requests_[index] = requests_.back();
  pending_[index] = pending_.back();
  requests_.pop_back();
  pending_.pop_back();
}

std::span<const std::int64_t> Messages::poll() {
  ids_.clear();
  if (requests_.empty()) return ids_;
  completed_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count,
                                completed_.data(), statuses_.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < count; ++i)
      check_mpi(statuses_[static_cast<std::size_t>(i)].MPI_ERROR, "MPI_Testsome");
  }
  check_mpi(code, "MPI_Testsome");
  if (count <= 0) return ids_;
  *moves_ += static_cast<std::uint64_t>(count);
  for (int i = 0; i < count; ++i) {
    const Pending& message = pending_[static_cast<std::size_t>(completed_[static_cast<std::size_t>(i)])];
    if (message.receives) check_length(message, statuses_[static_cast<std::size_t>(i)]);
    ids_.push_back(message.id);
  }
  // From the last index down, so that the swap in forget() never moves a message that is still to be
  // forgotten.
  std::sort(completed_.begin(), completed_.begin() + count, std::greater<>());
  for (int i = 0; i < count; ++i) forget(static_cast<std::size_t>(completed_[static_cast<std::size_t>(i)]));
  return ids_;
}

}  // namespace edgetrain
