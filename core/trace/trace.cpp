#include "core/trace/trace.h"

#include <utility>

#include "core/base/error.h"
#include "core/io/file.h"

namespace edgetrain {
namespace {

constexpr double kNever = -1.0;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

}  // namespace

Trace::Trace(std::vector<std::string> units, std::vector<std::string> buckets)
    : units_(std::move(units)), buckets_(std::move(buckets)) {}

void Trace::issued(const Instr&, std::size_t index) {
  if (!open_) return;
  if (began_.size() <= index) began_.resize(index + 1, kNever);
  began_[index] = now_us();
}

// What was issued while the trace was closed has no beginning here; what was issued before it closed is still
// noted.
void Trace::completed(const Instr& instr, std::size_t index) {
  if (index >= began_.size()) return;
  const double began = std::exchange(began_[index], kNever);
  if (began == kNever || events_.size() >= kMaxEvents) return;
  events_.push_back({describe(instr, units_, buckets_), instr.lane, began, now_us() - began});
}

void Trace::waiting(const Instr& instr, const Request& pending) {
  if (!open_ || events_.size() >= kMaxEvents) return;
  events_.push_back({"wait for " + pending.describe() + " before " + describe(instr, units_, buckets_),
                     Lane::compute, now_us(), 0.0});
}

double Trace::now_us() const {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - origin_).count();
}

void Trace::write(const std::filesystem::path& path, int rank) const {
  write_file_atomically(path, to_chrome_json(events_, rank));
}

std::string to_chrome_json(const std::vector<TraceEvent>& events, int rank) {
  std::string out = "{\"traceEvents\":[\n";
  out += fmt::format(R"({{"name":"process_name","ph":"M","pid":{0},"args":{{"name":"rank {0}"}}}})", rank);
  for (int lane = 0; lane < kLanes; ++lane) {
    out += fmt::format(
        ",\n"
        R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}})",
        rank, lane, name_of(static_cast<Lane>(lane)));
  }
  for (const auto& event : events) {
    out += fmt::format(
        ",\n"
        R"({{"name":"{}","ph":"X","ts":{:.3f},"dur":{:.3f},"pid":{},"tid":{}}})",
        escaped(event.name), event.begin_us, event.duration_us, rank, static_cast<int>(event.lane));
  }
  return out + "\n]}\n";
}

}  // namespace edgetrain
