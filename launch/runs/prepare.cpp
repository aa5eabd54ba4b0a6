#include "launch/runs/prepare.h"

#include <algorithm>
#include <iterator>

#include "core/base/error.h"
#include "core/io/checkpoints.h"
#include "core/model/hf_config.h"
#include "core/model/peft_config.h"
#include "core/model/presets.h"
#include "core/ops/cpu/env.h"
#include "launch/job/check.h"
#include "launch/runs/adapter_choice.h"
#include "launch/runs/check_storage.h"
#include "launch/runs/checkpoint_room.h"
#include "launch/runs/fitting.h"
#include "launch/runs/freezing.h"
#include "launch/runs/model_choice.h"
#include "launch/runs/overhead.h"
#include "launch/runs/param_groups.h"
#include "launch/runs/plan_text.h"
#include "launch/runs/run_output.h"
#include "launch/runs/svd_weights.h"
#include "optim/make_rule.h"

namespace edgetrain {
namespace {

Facts facts_of(const Place& place) {
  Facts facts = probe_machine();
  facts.world_size = place.world;
  facts.ranks_on_node = facts.ranks_on_cores = place.ranks_on_node;
  facts.overhead_bytes = overhead_bytes(place, {});
  facts.multiplies_bf16 = cpu::hardware_multiplies_bf16();
  for (const auto& [name, config] : model_presets()) facts.presets.push_back(name);
  return facts;
}

void refuse(std::span<const Problem> problems) {
  if (!problems.empty()) throw JobError(format(problems));
}

void require_room_for_svd(const PreparedRun& run) {
  const auto& planned = run.plan->train();
  const auto svd = svd_bytes(planned.layout);
  const std::int64_t needed = planned.program.carried_bytes + svd.least;
  if (needed <= run.device_cap()) return;
  throw JobError(fmt::format(
      "model.adapter.init: svd takes at least {} ({} bytes) of memory before the first step: the model, the "
      "adapters' values, the largest weight and its vectors; memory.device allows {} ({} bytes)\n"
      "HINT: memory.device={} is enough in any case, or init: gaussian\n",
      human_bytes(needed), needed, human_bytes(run.device_cap()), run.device_cap(),
      planned.program.carried_bytes + svd.most));
}

}  // namespace

PreparedRun prepare_run(const std::string& job_path, const std::vector<Override>& overrides,
                        const Place& place) {
  const ParsedJob parsed = parse_job_file(job_path, overrides);
  refuse(parsed.problems);
  Facts facts = facts_of(place);
  auto problems = check(parsed, facts);
  std::ranges::move(check_inline_model(parsed), std::back_inserter(problems));
  refuse(problems);
  PreparedRun run;
  run.model = chosen_model(parsed.job.model, run.warnings);
  refuse(check_model_fits(parsed, run.model));
  if (const auto& adapter = parsed.job.model.adapter; adapter && !adapter->path.empty())
    facts.adapter_in_path = load_peft_config(adapter->path, run.warnings);
  refuse(check_adapter(parsed, run.model, facts.adapter_in_path));
  refuse(check_storage(parsed));
  run.model_json = to_config_json(run.model);
  run.place = place;
  facts.num_layers = run.model.num_hidden_layers;
  const auto plan = [&] {
    run.plan = std::make_unique<RankPlan>(spec_of(run.job(), run.model, place),
                                          make_rule(run.job().optimizer), host_comm_cost(place));
    run.overhead_bytes = facts.overhead_bytes =
        overhead_bytes(place, bookkeeping_of(*run.plan, run.job().logging));
  };
  run.resolved = resolve(parsed, facts);
  refuse(check_groups(parsed, run.model, adapter_of(run.job().model)));
  refuse(check_freeze(parsed, run.model, adapter_of(run.job().model)));
  refuse(check_frozen_dtype(parsed, run.model, adapter_of(run.job().model)));
  plan();
  if (!run.job().train.recompute) {
    facts.recompute = least_recomputation(run);
    run.resolved = resolve(parsed, facts);
    if (facts.recompute->layers > 0) plan();
  }
  // Once more, now that C and the largest unit are known: the values of `auto` that follow from them change
  // no plan.
  facts.largest_unit_bytes = run.plan->largest_unit_bytes();
  run.resolved = resolve(parsed, facts);
  facts.async_checkpoint = async_that_fits(run);
  run.resolved = resolve(parsed, facts);
  if (*run.job().checkpoint.async) run.copied_bytes = room_for_copies(run.job(), *run.plan);
  const auto defects = run.plan->verify();
  ET_CHECK(defects.empty(), "the plan of this job is wrong: rank {}, instruction {}: {}",
           defects.front().rank, defects.front().instr, defects.front().what);
  return run;
}

bool begins_anew(const Job& job) {
  const std::string resume = job.checkpoint.resume.value_or("auto");
  return resume == "never" || (resume == "auto" && list_checkpoints(job.checkpoint.dir.value()).empty());
}

void require_fit(const PreparedRun& run) {
  if (run.pool_bytes() <= run.device_cap()) {
    const auto& adapter = run.job().model.adapter;
    if (adapter && adapter->init == AdapterInit::svd && begins_anew(run.job())) require_room_for_svd(run);
    return;
  }
  std::string message = fmt::format(
      "the job needs {} ({} bytes) of device memory per rank, memory.device allows {} ({} bytes)\n{}",
      human_bytes(run.pool_bytes()), run.pool_bytes(), human_bytes(run.device_cap()), run.device_cap(),
      memory_table(run));
  message += hints_to_fit(run);
  throw JobError(message);
}

}  // namespace edgetrain
