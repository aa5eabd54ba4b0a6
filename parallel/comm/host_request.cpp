#include "parallel/comm/host_request.h"

#include "core/base/error.h"
#include "core/comm/call_check.h"
#include "parallel/comm/host_communicator.h"

namespace edgetrain {

bool HostRequest::test() {
  if (!done_ && !failure_) owner_->progress_for(*this);
  if (failure_) std::rethrow_exception(failure_);
  return done_;
}

std::uint64_t HostRequest::moves() const { return over() ? 0 : owner_->moves(); }

bool HostRequest::advance() noexcept {
  try {
    if (operation_ && !operation_->advance()) return false;
    done_ = true;
    operation_.reset();
  } catch (...) {
    fail(std::current_exception());
  }
  return true;
}

void HostRequest::fail(const std::exception_ptr& failure) noexcept {
  failure_ = failure;
  operation_.reset();
}

std::string HostRequest::describe() const {
  const bool has_peer = call_.peer >= 0;
  const std::string what = fmt::format("{} #{}{}, {} bytes, at '{}'", name_of(call_.op), sequence_,
                                       has_peer ? fmt::format(" (member {})", call_.peer) : "",
                                       payload_of(call_).bytes(), call_.site);
  if (done_ || failure_) return what;  // the owner may be gone
  return fmt::format("{}, in '{}' as {} of {}", what, owner_->name(), owner_->rank(), owner_->size());
}

}  // namespace edgetrain
