#include "core/program/hazards.h"

#include <algorithm>

#include "core/program/slots.h"

namespace edgetrain {
namespace {

bool overlap(const Object& a, const Object& b) {
  return a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}

// Objects that an instruction off the compute lane uses: only these can still be busy when the driver has
// moved on.
std::vector<int> asynchronous_objects(const Program& program) {
  std::vector<bool> seen(program.objects.size());
  std::vector<int> out;
  for (const auto& instr : program.instrs) {
    if (instr.lane == Lane::compute) continue;
    for (const auto& use : instr.uses) {
      const auto object = static_cast<std::size_t>(use.object);
      if (seen[object] || program.objects[object].carried) continue;
      seen[object] = true;
      out.push_back(use.object);
    }
  }
  return out;
}

}  // namespace

Hazards::Hazards(const Program& program) : program_(program), takes_over_(program.instrs.size()) {
  const auto busy = asynchronous_objects(program);
  const auto life = lives(program);
  for (std::size_t i = 0; i < program.objects.size(); ++i) {
    const auto& object = program.objects[i];
    if (object.carried || object.bytes == 0 || object.address < 0 || !life[i].used()) continue;
    auto& list = takes_over_[static_cast<std::size_t>(life[i].first)];
    for (const int other : busy) {
      if (other != static_cast<int>(i) && overlap(object, program.objects[static_cast<std::size_t>(other)])) {
        list.push_back(other);
      }
    }
  }
}

bool Hazards::conflict(int earlier, int later) const {
  const auto& takes = takes_over_[static_cast<std::size_t>(later)];
  for (const auto& theirs : program_.instrs[static_cast<std::size_t>(earlier)].uses) {
    if (std::find(takes.begin(), takes.end(), theirs.object) != takes.end()) return true;
    for (const auto& ours : program_.instrs[static_cast<std::size_t>(later)].uses) {
      if (ours.object == theirs.object && (ours.write || theirs.write)) return true;
    }
  }
  return false;
}

}  // namespace edgetrain
