// An operation over messages that first makes sure that all members mean the same call
// (HostCommOptions::check_calls).
//
// Why an option: it costs a message to every member. Inside a node the same check is free and always on. Its
// messages are not counted as sent.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "parallel/comm/network_context.h"
#include "parallel/comm/operation.h"
#include "parallel/comm/signature.h"

namespace edgetrain {

class CheckedOperation final : public Operation {
 public:
  /// Borrows what `context` borrows, and `group`.
  CheckedOperation(const NetworkContext& context, std::string_view group, const CallSignature& own,
                   std::unique_ptr<Operation> inner);
  bool advance() override;

 private:
  void exchange();
  const MpiComm& comm_;
  std::string_view group_;
  CallSignature own_;
  std::vector<CallSignature> theirs_;
  Messages messages_;
  std::unique_ptr<Operation> inner_;
  enum class Stage { start, exchanging, agreed } stage_ = Stage::start;
};

}  // namespace edgetrain
