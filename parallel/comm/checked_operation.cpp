#include "parallel/comm/checked_operation.h"

#include <utility>

namespace edgetrain {

CheckedOperation::CheckedOperation(const NetworkContext& context, std::string_view group,
                                   const CallSignature& own, std::unique_ptr<Operation> inner)
    : comm_(context.comm),
      group_(group),
      own_(own),
      theirs_(static_cast<std::size_t>(context.comm.size())),
      messages_(context.comm.handle(), nullptr, context.moves),
      inner_(std::move(inner)) {}

void CheckedOperation::exchange() {
  const std::span<CallSignature> theirs(theirs_);
  for (int peer = 0; peer < comm_.size(); ++peer) {
    if (peer == comm_.rank()) continue;
    messages_.receive(std::as_writable_bytes(theirs.subspan(static_cast<std::size_t>(peer), 1)), peer,
                      kSignatureTag, peer);
    messages_.send(std::as_bytes(std::span(&own_, 1)), peer, kSignatureTag, -1);
  }
  stage_ = Stage::exchanging;
}

bool CheckedOperation::advance() {
  if (stage_ == Stage::start) exchange();
  while (stage_ == Stage::exchanging) {
    for (const std::int64_t id : messages_.poll()) {
      if (id < 0) continue;
      const auto peer = static_cast<std::size_t>(id);
      check_same_call(own_, comm_.world_ranks()[static_cast<std::size_t>(comm_.rank())], theirs_[peer],
                      comm_.world_ranks()[peer], group_);
    }
    if (!messages_.idle()) return false;
    stage_ = Stage::agreed;
  }
  return inner_->advance();
}

}  // namespace edgetrain
