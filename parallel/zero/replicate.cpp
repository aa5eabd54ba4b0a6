#include "parallel/zero/replicate.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/program/arena_view.h"

namespace edgetrain {
namespace {

// For every trainable bucket: the instruction after which its gradient on this rank is complete.
std::map<int, std::size_t> last_gradient_writes(const Program& program, const ModelLayout& layout) {
  std::map<int, std::size_t> last;
  for (std::size_t i = 0; i < program.instrs.size(); ++i) {
    const auto& instr = program.instrs[i];
    if (instr.verb == Verb::fold) {
      last[instr.target] = i;
    } else if (instr.verb == Verb::backward) {
      for (const int bucket : layout.buckets_of_unit()[static_cast<std::size_t>(instr.target)]) {
        if (layout.bucket(bucket).trainable) last[bucket] = i;
      }
    }
  }
  return last;
}

Instr exchange(Verb verb, int bucket, const CommCall& call, const Communicator& replicas) {
  Instr instr;
  instr.verb = verb;
  instr.lane = Lane::comm;
  instr.target = bucket;
  instr.unless_skipped = verb == Verb::gather;
  const std::int64_t message = std::max(call.in.bytes(), call.out.bytes());
  instr.comm = {{call.op, kReplicaGroup, message, replicas.sent_bytes(call), -1}};
  return instr;
}

Tensor part_of(const Tensor& whole, const Range& range) { return whole.col_range(range.begin, range.size()); }

}  // namespace

CommCall reduce_call(const Bucket& bucket, const Replication& replication, std::byte* grad) {
  CommCall call;
  call.in = vector_of(grad, bucket.elements, Dtype::f32);
  call.op = replication.sharded() ? Collective::reduce_scatter : Collective::all_reduce;
  call.out = replication.sharded() ? part_of(call.in, replication.owned(bucket)) : call.in;
  call.site = bucket.name;
  return call;
}

CommCall gather_call(const Bucket& bucket, const Replication& replication, std::byte* param) {
  CommCall call;
  call.op = Collective::all_gather;
  call.out = vector_of(param, bucket.elements, bucket.dtype);
  call.in = part_of(call.out, replication.owned(bucket));
  call.site = bucket.name;
  return call;
}

void add_replication(Program& program, const ModelLayout& layout, const Replication& replication,
                     const Communicator& replicas) {
  if (replication.count == 1) return;
  std::map<std::size_t, std::vector<int>> complete_after;
  for (const auto& [bucket, index] : last_gradient_writes(program, layout))
    complete_after[index].push_back(bucket);
  std::vector<Instr> instrs;
  for (std::size_t i = 0; i < program.instrs.size(); ++i) {
    const Instr instr = program.instrs[i];
    instrs.push_back(instr);
    if (const auto found = complete_after.find(i); found != complete_after.end()) {
      for (const int bucket : found->second) {
        instrs.push_back(exchange(Verb::reduce, bucket,
                                  reduce_call(layout.bucket(bucket), replication, nullptr), replicas));
      }
    }
    if (instr.verb == Verb::update && replication.sharded()) {
      const auto& bucket = layout.bucket(instr.target);
      instrs.push_back(
          exchange(Verb::gather, instr.target, gather_call(bucket, replication, nullptr), replicas));
    }
  }
  program.instrs = std::move(instrs);
}

ReplicaHandler::ReplicaHandler(const ModelLayout& layout, const Program& program, std::byte* arena,
                               const Replication& replication, Communicator& replicas)
    : layout_(layout),
      program_(program),
      arena_(arena),
      replication_(replication),
      replicas_(replicas),
      objects_(program) {}

Request ReplicaHandler::issue(const Instr& instr, std::size_t) {
  const auto& bucket = layout_.bucket(instr.target);
  const bool reduce = instr.verb == Verb::reduce;
  const int object = objects_.find(reduce ? Kind::grad : Kind::param, instr.target, 0);
  std::byte* base = address_of(program_, object, arena_);
  const CommCall call =
      reduce ? reduce_call(bucket, replication_, base) : gather_call(bucket, replication_, base);
  return replicas_.start(call, stream_, scratch(instr));
}

std::span<std::byte> ReplicaHandler::scratch(const Instr& instr) const {
  const int object = scratch_of(program_, instr, Kind::exchange);
  if (object < 0) return {};
  return {address_of(program_, object, arena_),
          static_cast<std::size_t>(program_.objects[static_cast<std::size_t>(object)].bytes)};
}

}  // namespace edgetrain
