#include "core/program/verify.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/program/slots.h"

namespace edgetrain {
namespace {

std::string name(const Object& object) {
  return fmt::format("{} {} {}", name_of(object.kind), object.id, object.part);
}

void check_order(const Program& program, std::vector<Defect>& defects) {
  std::vector<bool> written(program.objects.size());
  for (std::size_t i = 0; i < program.instrs.size(); ++i) {
    for (const auto& use : program.instrs[i].uses) {
      const auto object = static_cast<std::size_t>(use.object);
      if (!use.write && !written[object] && !program.objects[object].carried) {
        defects.push_back({-1, static_cast<int>(i),
                           fmt::format("reads {} before anything wrote it", name(program.objects[object]))});
      }
    }
    for (const auto& use : program.instrs[i].uses) {
      if (use.write) written[static_cast<std::size_t>(use.object)] = true;
    }
  }
}

// Sweep over the instructions; the live objects stand in a map by address, so a newcomer only looks at its
// neighbours.
void check_slots(const Program& program, std::vector<Defect>& defects) {
  const auto life = lives(program);
  std::map<int, std::vector<int>> born, dead;
  for (int i = 0; i < static_cast<int>(program.objects.size()); ++i) {
    const auto& object = program.objects[static_cast<std::size_t>(i)];
    const auto& span = life[static_cast<std::size_t>(i)];
    if (object.bytes == 0 || (!span.used() && !object.carried)) continue;
    if (object.address < 0 || object.address + object.bytes > program.arena_bytes) {
      defects.push_back({-1, span.first, fmt::format("{} lies outside the arena", name(object))});
      continue;
    }
    born[object.carried ? -1 : span.first].push_back(i);
    if (!object.carried) dead[span.last].push_back(i);
  }
  std::map<std::int64_t, int> live;
  const auto enter = [&](int i, int instr) {
    const auto& object = program.objects[static_cast<std::size_t>(i)];
    auto after = live.lower_bound(object.address);
    const auto clash = [&](int other) {
      defects.push_back({-1, instr,
                         fmt::format("{} takes bytes of {}, which is still in use", name(object),
                                     name(program.objects[static_cast<std::size_t>(other)]))});
    };
    if (after != live.end() && after->first < object.address + object.bytes) clash(after->second);
    if (after != live.begin()) {
      const auto& before = program.objects[static_cast<std::size_t>(std::prev(after)->second)];
      if (before.address + before.bytes > object.address) clash(std::prev(after)->second);
    }
    live[object.address] = i;
  };
  for (const int i : born[-1]) enter(i, -1);
  for (int instr = 0; instr < static_cast<int>(program.instrs.size()); ++instr) {
    for (const int i : born[instr]) enter(i, instr);
    for (const int i : dead[instr]) live.erase(program.objects[static_cast<std::size_t>(i)].address);
  }
}

}  // namespace

std::vector<Defect> verify_memory(const Program& program) {
  std::vector<Defect> defects;
  check_order(program, defects);
  check_slots(program, defects);
  return defects;
}

std::vector<Defect> verify(const World& world) {
  std::vector<Defect> defects;
  const std::set<const Program*> distinct(world.programs.begin(), world.programs.end());
  for (const auto* program : distinct) {
    const auto found = verify_memory(*program);
    defects.insert(defects.end(), found.begin(), found.end());
  }
  const auto run = run_abstractly(world, 2);
  defects.insert(defects.end(), run.defects.begin(), run.defects.end());
  return defects;
}

}  // namespace edgetrain
