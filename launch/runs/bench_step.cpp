#include "launch/runs/bench_step.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/io/json.h"
#include "core/ops/cpu/cpu_scratch.h"
#include "core/ops/cpu/gemm_roof.h"
#include "launch/runs/rank_engine.h"
#include "launch/runs/run_output.h"
#include "launch/runs/weights.h"

namespace edgetrain {
namespace {

constexpr int kWarmUpSteps = 2;
constexpr int kSteps = 5;
constexpr int kRoofRounds = 5;

// A dry device that notes which products it is asked for.
class ProductRecorder final : public DryOps {
 public:
  using DryOps::DryOps;
  void gemm(Tensor a, bool trans_a, Tensor b, bool trans_b, Tensor c, float beta, Tensor bias) override {
    const std::int64_t k = trans_a ? a.rows : a.cols;
    shapes_[{c.rows, c.cols, k, trans_a, trans_b, a.dtype, c.dtype, beta != 0.0F}] += 1;
    DryOps::gemm(a, trans_a, b, trans_b, c, beta, bias);
  }
  [[nodiscard]] const std::map<cpu::GemmShape, int>& shapes() const { return shapes_; }

 private:
  std::map<cpu::GemmShape, int> shapes_;
};

std::map<cpu::GemmShape, int> products_of_step(RankPlan& plan) {
  Workspace workspace;
  CpuScratch scratch({plan.spec().threads});
  ProductRecorder ops(workspace, scratch);
  auto& train = plan.train();
  UnitHandler handler(train.layout, train.program, nullptr, ops, workspace, train.shape);
  for (const auto& instr : train.program.instrs) {
    if (instr.verb == Verb::forward || instr.verb == Verb::backward) (void)handler.rehearse(instr);
  }
  return ops.shapes();
}

double roof_seconds(const std::map<cpu::GemmShape, int>& products, int threads) {
  double sum = 0.0;
  for (const auto& [shape, count] : products)
    sum += count * cpu::onednn_alone_seconds(shape, threads, kRoofRounds);
  return sum;
}

void random_tokens(const TokenBuffers& buffers, std::int64_t vocab, std::int64_t seq_len) {
  auto ids = buffers.ids.flat<std::int32_t>();
  auto targets = buffers.targets.flat<std::int32_t>();
  auto position = buffers.position.flat<std::int32_t>();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto words = philox({static_cast<std::uint32_t>(i), 0, 0, 0}, {7, 0});
    ids[i] = static_cast<std::int32_t>(words[0] % static_cast<std::uint64_t>(vocab));
    targets[i] = static_cast<std::int32_t>(words[1] % static_cast<std::uint64_t>(vocab));
    position[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % seq_len);
  }
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

std::string table(const OpTimes& times, double step_seconds, double roof, double product_gflop) {
  std::vector<std::pair<std::int64_t, int>> order;
  std::int64_t known = 0;
  for (int kind = 0; kind < static_cast<int>(kOpKinds); ++kind) {
    const auto& time = times[static_cast<std::size_t>(kind)];
    known += time.nanoseconds;
    if (time.calls > 0) order.emplace_back(-time.nanoseconds, kind);
  }
  std::sort(order.begin(), order.end());
  std::string text = fmt::format("{:<22} {:>7} {:>10} {:>7}\n", "operator", "calls", "ms/step", "share");
  for (const auto& [negative, kind] : order) {
    const double ms = -1e-6 * static_cast<double>(negative) / kSteps;
    text += fmt::format("{:<22} {:>7} {:>10.2f} {:>6.1f}%\n", name_of(static_cast<OpKind>(kind)),
                        times[static_cast<std::size_t>(kind)].calls / kSteps, ms, 0.1 * ms / step_seconds);
  }
  const double ops = 1e-9 * static_cast<double>(known) / kSteps;
  const double gemm =
      1e-9 * static_cast<double>(times[static_cast<std::size_t>(OpKind::gemm)].nanoseconds) / kSteps;
  text += fmt::format("{:<22} {:>7} {:>10.2f} {:>6.1f}%\n", "waits, driver, rest", "",
                      1e3 * (step_seconds - ops), 100.0 * (step_seconds - ops) / step_seconds);
  text += fmt::format(
      "step {:.1f} ms; products {:.1f} ms ({:.1f} GFLOP, {:.1f} GFLOP/s), with oneDNN alone {:.1f} ms: "
      "{:.1f}% of its "
      "rate; everything else {:.1f}% of the step\n",
      1e3 * step_seconds, 1e3 * gemm, product_gflop, product_gflop / gemm, 1e3 * roof, 100.0 * roof / gemm,
      100.0 * (step_seconds - gemm) / step_seconds);
  return text;
}

}  // namespace

std::string bench_step(PreparedRun& prepared, Communicator& replicas, Communicator& world) {
  RankPlan& plan = *prepared.plan;
  const auto& spec = plan.spec();
  Pool pool(Tier::device, prepared.device_cap());
  RankEngine engine(
      plan, pool, replicas, world,
      {[&](int, const TokenBuffers& b) { random_tokens(b, spec.config.vocab_size, spec.seq_len); },
       [&] {
         return StepDecision{plan.rule().update_scalars(1, 1e-6, 1.0), false};
       },
       {}},
      true);
  fill_weights(plan.train().layout, plan.train().program, engine.arena(), plan.replication(),
               random_weights(1), spec.threads);
  const auto tokens = static_cast<double>(*prepared.job().train.global_batch_size * spec.seq_len);
  const auto scale = static_cast<float>(1.0 / tokens);
  std::vector<double> seconds;
  for (int step = 0; step < kWarmUpSteps + kSteps; ++step) {
    if (step == kWarmUpSteps) engine.ops().reset_times();
    const auto begin = std::chrono::steady_clock::now();
    engine.train_step(scale);
    engine.settle();
    if (step >= kWarmUpSteps) {
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  }
  // Shares need the mean, which the operators' sums are of; the headline is the median.
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / kSteps;
  const auto products = products_of_step(plan);
  double gflop = 0.0;
  for (const auto& [shape, count] : products) {
    gflop += 2e-9 * static_cast<double>(count) * static_cast<double>(shape.m * shape.n) *
             static_cast<double>(shape.k);
  }
  const double roof = roof_seconds(products, spec.threads);
  Json json{Json::Object{}};
  json.set("tokens_per_s", tokens / median(seconds));
  json.set("step_ms", 1e3 * median(seconds));
  json.set("products_alone_ms", 1e3 * roof);
  json.set("peak_bytes", pool.peak());
  return table(engine.ops().times(), mean, roof, gflop) + json.text() + "\n";
}

}  // namespace edgetrain
