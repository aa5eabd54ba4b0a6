#include "parallel/comm/signature.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/comm/call_check.h"

namespace edgetrain {
namespace {

std::string describe(const CallSignature& call) {
  return fmt::format("{} #{} of {} bytes {} at '{}'", name_of(call.op), call.sequence, call.bytes,
                     name_of(call.dtype), call.site);
}

}  // namespace

CallSignature signature_of(const CommCall& call, std::uint64_t sequence) {
  CallSignature result;
  result.sequence = sequence;
  result.bytes = call.op == Collective::all_to_all ? 0 : payload_of(call).bytes();
  result.op = call.op;
  result.dtype = call.in.dtype;
  result.reduce_op = call.reduce_op;
  result.root = call.op == Collective::broadcast ? call.peer : -1;
  const std::size_t length = std::min(call.site.size(), sizeof(result.site) - 1);
  std::copy_n(call.site.begin(), length, result.site);
  return result;
}

void check_same_call(const CallSignature& own, int own_rank, const CallSignature& theirs, int their_rank,
                     std::string_view group) {
  const bool same = own.sequence == theirs.sequence && own.bytes == theirs.bytes && own.op == theirs.op &&
                    own.dtype == theirs.dtype && own.reduce_op == theirs.reduce_op && own.root == theirs.root;
  if (same) [[likely]]
    return;
  throw Error(ErrorClass::peer,
              fmt::format("ranks disagree about a collective of '{}': rank {} is in {}, rank {} is in {}",
                          group, own_rank, describe(own), their_rank, describe(theirs)));
}

}  // namespace edgetrain
