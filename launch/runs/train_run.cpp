#include "launch/runs/train_run.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/io/text_exchange.h"
#include "core/model/model.h"
#include "launch/runs/first_weights.h"
#include "launch/runs/nonfinite.h"
#include "launch/runs/same_data.h"
#include "launch/runs/stop_signal.h"
#include "launch/runs/text_writer.h"
#include "optim/clip.h"

namespace edgetrain {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

ScheduleParams schedule_of(const Job& job) {
  ScheduleParams params;
  params.decay = job.lr_scheduler.name;
  params.lr = job.optimizer.lr;
  params.min_lr = job.lr_scheduler.min_lr;
  params.warmup_steps = job.lr_scheduler.warmup_steps;
  params.total_steps = job.train.steps;
  params.decay_steps = job.lr_scheduler.decay_steps.value_or(0);
  return params;
}

LossScale loss_scale_of(const Job& job) {
  const double scale = job.train.loss_scale.value();
  return scale == 0.0 ? LossScale::dynamic({job.train.initial_loss_scale, job.train.loss_scale_window})
                      : LossScale::constant(scale);
}

RunCheckpoints::Identity identity_of(const Job& job, const std::string& model_json,
                                     const DataFingerprint& data, const RankPlan& plan) {
  RunCheckpoints::Identity identity;
  identity.seed = static_cast<std::uint64_t>(job.seed);
  identity.optimizer = name_of(job.optimizer.name);
  identity.model_json = model_json;
  identity.data = data;
  identity.seq_len = job.data.seq_len;
  identity.order = name_of(job.data.order);
  identity.val_fraction = job.data.val_fraction;
  identity.adapter = plan.model().options.adapter;
  const auto& layout = plan.train().layout;
  if (!std::ranges::all_of(layout.buckets(), [&](const Bucket& bucket) { return is_saved(plan, bucket); })) {
    const WeightsOrigin origin = origin_of(job);
    identity.base = {
        origin.path.empty() ? "" : std::filesystem::absolute(origin.path).lexically_normal().string(),
        mark_of(base_weights(origin, layout), layout)};
  }
  return identity;
}

// Of the work of a step in which no layer rests. Not counted, as in the F of MFU: what is computed again.
double fraction_of_work(const RankPlan& plan) {
  if (!plan.unfrozen()) return 1.0;
  const std::int64_t now = plan.train().totals.flops - plan.train().rebuild_flops;
  return static_cast<double>(now) / static_cast<double>(plan.unfrozen()->flops);
}

BytesTable table_of(const PeakUse& peak, const Pool& pool) {
  std::map<std::string, std::int64_t> row;
  for (std::size_t c = 0; c < kCategories; ++c) {
    if (peak.at_peak[c] > 0) row[std::string(name_of(static_cast<Category>(c)))] = peak.at_peak[c];
  }
  if (const auto copies = pool.by_category()[static_cast<std::size_t>(Category::checkpoint)]; copies > 0)
    row[std::string(name_of(Category::checkpoint))] = copies;
  row["total"] = pool.peak();
  return {{std::string(name_of(pool.tier())), row}};
}

void add_traffic(BytesTable& out, const Communicator& comm) {
  for (int op = 0; op < 7; ++op) {
    if (comm.sent().by_op[op] > 0) {
      out[std::string(comm.name())][std::string(name_of(static_cast<Collective>(op)))] =
          comm.sent().by_op[op];
    }
  }
}

}  // namespace

TrainRun::TrainRun(Setup setup)
    : setup_(std::move(setup)),
      job_(setup_.job),
      data_(job_.data, setup_.plan.spec().config.vocab_size, static_cast<std::uint64_t>(job_.seed)),
      engine_(setup_.plan, setup_.pool, setup_.groups,
              {[this](int micro_batch, const TokenBuffers& buffers) {
                 if (validating_) {
                   data_.fill_validation(*validating_, setup_.plan.spec().samples_per_call, buffers);
                 } else {
                   data_.fill_training(positions(micro_batch), buffers);
                 }
               },
               [this] { return decide(); }, [this](int, Tensor losses) { validation_.add_losses(losses); }},
              false),
      copies_(setup_.pool.reserve(Category::checkpoint, setup_.copied_bytes, "the copies of a checkpoint")),
      schedule_(schedule_of(job_)),
      loss_scale_(loss_scale_of(job_)),
      trace_(setup_.plan.train().layout.unit_names(), setup_.plan.train().layout.bucket_names()) {
  engine_.listen(trace_);
  engine_.listen(setup_.liveness);
  engine_.on_progress([this] { setup_.liveness.beat(); });
}

RunEnd TrainRun::run() {
  start();
  while (goes_on()) {
    const auto begin = Clock::now();
    one_step();
    after_step(seconds_since(begin));
  }
  engine_.settle();
  if (checkpoints_->pending()) finish_save();
  if (last_saved_ != position_.step) save();
  if (stop_agreed_ && position_.step < job_.train.steps) return RunEnd::stopped;
  write_text();
  return RunEnd::done;
}

void TrainRun::start() {
  setup_.liveness.begin_phase("reading the data");
  const DataFingerprint fingerprint = data_.fingerprint();
  setup_.liveness.begin_phase("comparing the data of all ranks");
  require_same_data(fingerprint, setup_.groups.world);
  checkpoints_.emplace(job_.checkpoint.dir.value(), static_cast<int>(job_.checkpoint.keep_latest),
                       identity_of(job_, setup_.model_json, fingerprint, setup_.plan), setup_.plan,
                       engine_.arena(), std::span(copies_.data(), static_cast<std::size_t>(copies_.bytes())),
                       setup_.groups.world);
  agree_on_async();
  setup_.liveness.begin_phase("loading weights");
  resume_or_initialise();
  begin_freezing();
  if (leader()) {
    metrics_.emplace(setup_.output_dir / "metrics.jsonl", position_.step);
    if (job_.logging.tensorboard) board_.emplace(setup_.output_dir / "tensorboard");
    write_status(setup_.output_dir, {"running", position_.step, {}, {}, -1});
  }
}

// Every rank decides `auto` from the memory that it sees, and they must all begin and complete the same
// saves.
void TrainRun::agree_on_async() {
  std::vector<std::byte> staging(64 << 10);
  TextExchange exchange(setup_.groups.world, "checkpoint.async", staging, std::chrono::minutes(5));
  const auto all = exchange.gather(*job_.checkpoint.async ? "true" : "false");
  const auto without = std::find(all.begin(), all.end(), "false");
  const bool everywhere = exchange.broadcast(without == all.end() ? "true" : "false") == "true";
  saves_async_ = everywhere;
  if (*job_.checkpoint.async && !everywhere)
    say(fmt::format("checkpoint.async: false after all: rank {} has no room for the copies",
                    without - all.begin()));
}

void TrainRun::resume_or_initialise() {
  const std::string resume = job_.checkpoint.resume.value_or("auto");
  std::optional<std::filesystem::path> from;
  bool starts_over = false;  // although there are checkpoints
  if (resume == "auto") {
    auto found = checkpoints_->find();
    for (const auto& skipped : found.skipped) say("checkpoint skipped: " + skipped);
    from = found.path;
    starts_over = !from && !found.skipped.empty();
  } else if (resume != "never") {
    from = resume;
  }
  const bool in_blocks = setup_.plan.spec().frozen_in != WeightBlocks::none;
  const auto fill = [&](const TileSource& source, const std::function<bool(const Bucket&)>& chosen) {
    const auto& planned = setup_.plan.train();
    fill_weights(planned.layout, planned.program, engine_.arena(), setup_.plan.replication(), source,
                 setup_.plan.spec().threads, chosen);
  };
  if (from) {
    const RankPlan& plan = setup_.plan;
    if (in_blocks || !plan.model().options.adapter.empty()) {
      fill(base_weights(origin_of(job_), plan.train().layout),
           [&plan](const Bucket& bucket) { return !is_saved(plan, bucket); });
    }
    if (in_blocks) agree_on_blocks();
    const std::string given = checkpoints_->blocks_hash();
    position_ = checkpoints_->load(*from);
    if (in_blocks) agree_on_blocks();
    if (checkpoints_->blocks_hash() != given) {
      throw Error(
          ErrorClass::data,
          fmt::format("{}: the checkpoint has other values for the weights that model.frozen_dtype holds "
                      "in blocks than the run was given, and later checkpoints would not have them\n"
                      "HINT: `edgetrain export {} --to FOLDER`, then model.path=FOLDER "
                      "model.init=pretrained in a new output_dir",
                      from->string(), from->string()));
    }
    if (loss_scale_.is_dynamic() && position_.loss_scale) loss_scale_.restore(*position_.loss_scale);
    last_saved_ = position_.step;
    say(fmt::format("resumed from {} (step {})", from->string(), position_.step));
    return;
  }
  fill(start_weights(starts_over), nullptr);
  ::malloc_trim(0);  // the steps do not need what the start took
  if (in_blocks) agree_on_blocks();
}

// Tells the checkpoints what the weights in blocks are, which they do not hold.
void TrainRun::agree_on_blocks() {
  const auto& planned = setup_.plan.train();
  std::vector<std::byte> staging(64 << 10);
  TextExchange exchange(setup_.groups.world, "frozen weights", staging, std::chrono::minutes(5));
  const auto parts = exchange.gather(
      hex_of(digest_of_blocks(planned.layout, planned.program, engine_.arena(), setup_.plan.replication())));
  Hash128 sum;
  for (const auto& text : parts) {
    Hash128 part;
    ET_CHECK(hash_from_hex(text, part), "a rank sent '{}' for a hash", text);
    sum = plus(sum, part);
  }
  checkpoints_->set_blocks_hash(exchange.broadcast(hex_of(sum)));
}

// Layers may begin to rest at any checkpoint. But once they have, each has its own count of updates.
void TrainRun::begin_freezing() {
  if (!job_.train.freeze) {
    if (!position_.freeze) return;
    throw Error(
        ErrorClass::data,
        "the checkpoint was made with train.freeze, under which every layer counts its own updates; the "
        "job has no train.freeze\nHINT: train.freeze.rate=0 goes on with all layers awake");
  }
  freezing_.emplace(*job_.train.freeze, setup_.plan.train().layout, position_.optimizer_step);
  if (position_.freeze) freezing_->restore(*position_.freeze);
  engine_.rest(freezing_->resting());
}

TileSource TrainRun::start_weights(bool starts_over) const {
  const auto& layout = setup_.plan.train().layout;
  const auto& model = setup_.plan.model();
  const WeightsOrigin origin = origin_of(job_);
  const int threads = setup_.plan.spec().threads;
  // Before the start it looked as if a checkpoint would serve.
  if (starts_over)
    require_finite(weights_as_written(origin, layout, model.config.family), layout, describe(origin),
                   threads);
  const StartRoom room{threads, job_.memory.device->count - setup_.plan.train().program.carried_bytes};
  return first_weights(origin, layout, model.config.family, model.options.adapter, room,
                       [this] { setup_.liveness.beat(); });
}

void TrainRun::one_step() {
  nonfinite_ = false;
  setup_.liveness.begin_step(position_.step + 1);
  trace_step(true);
  const bool measures = freezing_ && freezing_->measures(position_.optimizer_step);
  engine_.train_step(loss_factor(), {stop_signal_received(), checkpoints_->written()}, measures);
  trace_step(false);
  worked_ = fraction_of_work(setup_.plan);
  if (nonfinite_ && job_.train.on_nonfinite == OnNonfinite::stop) report_nonfinite();
  ++position_.step;
  position_.next_sample += global_batch();
  if (!freezing_ || !current_.skipped.empty()) return;
  freezing_->count_update();
  if (measures) end_span();
}

// All ranks have the same figures, so they choose alike.
void TrainRun::end_span() {
  const auto before = freezing_->resting();
  freezing_->choose(engine_.relative_moves());
  if (freezing_->resting() != before) engine_.rest(freezing_->resting());
}

// Runs in the middle of the step, when all ranks have agreed on loss and norm: same input, same decision
// everywhere. A loss that is not finite is a fault of the forward pass, which no loss scale touches. A norm
// that is not, beside a loss that is, is what a dynamic loss scale is there for, until it can go no lower.
StepDecision TrainRun::decide() {
  const auto& agreed = engine_.agreement();
  const std::int64_t step = position_.step + 1;
  current_ = {};
  current_.step = step;
  if (freezing_) current_.resting = freezing_->resting_names();
  current_.loss = agreed.loss_sum() / static_cast<double>(global_batch() * data_.seq_len());
  const double scale = loss_scale_.value();
  if (scale != 1.0 || loss_scale_.is_dynamic()) current_.loss_scale = scale;
  current_.grad_norm = std::sqrt(agreed.square_sum()) / scale;
  current_.lr = learning_rate(schedule_, step);
  stop_agreed_ = agreed.stop_requested();
  all_written_ = agreed.written() == setup_.groups.world.size();
  const auto clip = clip_coefficient(current_.grad_norm, job_.optimizer.max_grad_norm);
  const bool finite_loss = std::isfinite(current_.loss);
  if (finite_loss && !clip && loss_scale_.back_off()) {
    return skip(fmt::format("gradients overflow at loss scale {}, now {}", scale, loss_scale_.value()));
  }
  nonfinite_ = !finite_loss || !clip;
  if (nonfinite_) return skip("loss or gradient norm is not finite");
  loss_scale_.finite_step();
  ++position_.optimizer_step;
  const auto& rule = setup_.plan.rule();
  StepDecision decision{rule.update_scalars(position_.optimizer_step, current_.lr, *clip / scale), false};
  decision.rounding = {static_cast<std::uint64_t>(job_.seed), position_.optimizer_step};
  if (freezing_) {
    decision.of_bucket = freezing_->scalars(setup_.plan.train().layout, rule, current_.lr, *clip / scale);
  }
  return decision;
}

StepDecision TrainRun::skip(std::string reason) {
  current_.skipped = std::move(reason);
  return {{}, true};
}

void TrainRun::after_step(double seconds) {
  // A running mean: the time left should not jump with every step.
  seconds_per_step_ = seconds_per_step_ == 0.0 ? seconds : 0.9 * seconds_per_step_ + 0.1 * seconds;
  const double tokens_per_step = static_cast<double>(global_batch() * data_.seq_len());
  current_.tokens = position_.next_sample * data_.seq_len();
  current_.step_ms = 1e3 * seconds;
  current_.tokens_per_s = tokens_per_step / seconds;
  if (setup_.gemm_flops_per_s > 0.0) {
    const double flops = train_flops_per_token(setup_.plan.model(), data_.seq_len()) * tokens_per_step;
    current_.mfu = flops * worked_ / seconds / (setup_.gemm_flops_per_s * setup_.plan.mesh().size());
  }
  const bool last = position_.step == job_.train.steps;
  if (setup_.plan.validate() != nullptr && (due(job_.train.eval_interval) || last))
    current_.val_loss = validate();
  if (leader()) record();
  if (due(job_.logging.interval) || last || current_.val_loss || !current_.skipped.empty()) {
    const double left = seconds_per_step_ * static_cast<double>(job_.train.steps - position_.step);
    say(progress_line(current_, job_.train.steps, setup_.pool.peak(), setup_.pool.cap(), left));
  }
  // Last: a kill between line and checkpoint costs a step, the other way round it would leave a step without
  // its line.
  if (checkpoints_->pending() && all_written_) finish_save();
  if (due(job_.checkpoint.interval)) save();
}

void TrainRun::record() {
  current_.peak_bytes = table_of(setup_.plan.train().peak, setup_.pool);
  for (const auto* group : {&setup_.groups.shards, &setup_.groups.copies, &setup_.groups.world}) {
    add_traffic(current_.comm_bytes, *group);
  }
  metrics_->append(current_);
  if (!board_) return;
  std::vector<TensorBoardFile::Scalar> scalars = {{"loss", current_.loss},
                                                  {"lr", current_.lr},
                                                  {"grad_norm", current_.grad_norm},
                                                  {"tokens_per_s", current_.tokens_per_s},
                                                  {"mfu", current_.mfu}};
  if (current_.loss_scale) scalars.emplace_back("loss_scale", *current_.loss_scale);
  if (current_.val_loss) scalars.emplace_back("val_loss", *current_.val_loss);
  board_->append(current_.step, scalars);
}

void TrainRun::report_nonfinite() {
  setup_.liveness.begin_phase("looking for the value that is not finite");
  const auto sample_of = [this](int micro_batch, std::int64_t slot) {
    return data_.training_sample(positions(micro_batch).begin + slot);
  };
  const std::string mine = find_nonfinite(engine_, loss_factor(), sample_of);
  std::vector<std::byte> staging(64 << 10);
  TextExchange exchange(setup_.groups.world, "values that are not finite", staging, std::chrono::minutes(5));
  const auto all = exchange.gather(mine);
  std::string verdict;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (!all[rank].empty()) verdict += fmt::format("\n  rank {}: {}", rank, all[rank]);
  }
  if (verdict.empty())
    verdict = "\n  every value of every rank is finite; their sum over ranks or its square is not";
  verdict = exchange.broadcast(verdict);
  const std::string scale = !loss_scale_.is_dynamic()      ? ""
                            : std::isfinite(current_.loss) ? " although the loss scale is at its least, 1"
                                                           : ", which no loss scale can mend";
  throw Error(ErrorClass::numeric,
              fmt::format("step {}: loss {} with gradient norm {}{}; no weight was changed:{}\nHINT: lower "
                          "optimizer.lr, lengthen "
                          "lr_scheduler.warmup_steps, look at the sample, or set train.on_nonfinite: skip",
                          current_.step, current_.loss, current_.grad_norm, scale, verdict));
}

double TrainRun::validate() {
  setup_.liveness.begin_phase("validation");
  const auto& spec = setup_.plan.spec();
  const auto& replication = setup_.plan.replication();
  const std::int64_t available = data_.splits().validation.count();
  const std::int64_t wanted = job_.train.eval_batches * global_batch();
  const std::int64_t end = wanted > 0 ? std::min(available, wanted) : available;
  validation_.clear();
  // As many micro-batches on every rank, since their forward may fetch weights from one another: the last of
  // some ranks are all padding.
  const std::int64_t stride = spec.samples_per_call * replication.count();
  for (std::int64_t round = 0; round < end; round += stride) {
    const std::int64_t first = round + spec.samples_per_call * replication.index();
    validating_ = first < end ? PositionRange{first, std::min(first + spec.samples_per_call, end)}
                              : PositionRange{end - 1, end - 1};
    engine_.validate_micro_batch();
  }
  validating_.reset();
  AgreeHandler agree(validation_, setup_.groups.world);
  auto request = agree.issue({}, 0);
  request.wait_host(std::chrono::seconds(static_cast<std::int64_t>(job_.parallel.init_deadline_s)));
  agree.take_result();
  return validation_.loss_sum() / static_cast<double>(end * data_.seq_len());
}

// In the background where the job has memory for it and there are steps to overlap.
void TrainRun::save() {
  if (checkpoints_->pending()) finish_save();
  setup_.liveness.begin_phase("saving a checkpoint");
  engine_.settle();
  if (loss_scale_.is_dynamic()) position_.loss_scale = loss_scale_.state();
  if (freezing_) position_.freeze = freezing_->state();
  last_saved_ = position_.step;
  if (saves_async_ && goes_on()) return checkpoints_->begin(position_);
  const auto path = checkpoints_->save(position_);
  say("saved " + path.string());
}

// Waits for the disks of all ranks unless they have told that they are done.
void TrainRun::finish_save() {
  setup_.liveness.begin_phase("completing a checkpoint");
  engine_.settle();
  const auto path = checkpoints_->finish();
  all_written_ = false;
  say("saved " + path.string());
}

void TrainRun::trace_step(bool begin) {
  const auto& wanted = job_.logging.trace_steps;
  const std::int64_t step = position_.step + 1;
  if (std::find(wanted.begin(), wanted.end(), step) == wanted.end()) return;
  if (begin) {
    trace_.open();
    return;
  }
  engine_.settle();
  trace_.close();
  trace_.write(setup_.output_dir / fmt::format("trace-rank{}.json", setup_.groups.world.rank()),
               setup_.groups.world.rank());
}

void TrainRun::write_text() {
  if (setup_.plan.generate() == nullptr) return;
  setup_.liveness.begin_phase("writing text");
  const std::string text = edgetrain::write_text(job_, engine_);
  say("the model writes:\n" + text);
}

void TrainRun::say(const std::string& line) const {
  if (!leader()) return;
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

PositionRange TrainRun::positions(int micro_batch) const {
  const auto& spec = setup_.plan.spec();
  const auto& replication = setup_.plan.replication();
  const auto own =
      rank_positions(position_.next_sample, global_batch(), replication.count(), replication.index());
  const std::int64_t begin = own.begin + micro_batch * spec.samples_per_call;
  return {begin, begin + spec.samples_per_call};
}

std::int64_t TrainRun::global_batch() const { return job_.train.global_batch_size.value(); }

float TrainRun::loss_factor() const {
  return static_cast<float>(loss_scale_.value() / static_cast<double>(global_batch() * data_.seq_len()));
}

}  // namespace edgetrain
