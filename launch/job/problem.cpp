#include "launch/job/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace edgetrain {
namespace {

// Long lines (a job on one line, a fuzzed one) are shown around the caret only.
constexpr std::size_t kShownBytes = 160;

std::string where(const Location& at) {
  if (!at.source) return "job";
  if (!at.source->is_file || at.line == 0) return at.source->name;
  if (at.column == 0) return fmt::format("{}:{}", at.source->name, at.line);
  return fmt::format("{}:{}:{}", at.source->name, at.line, at.column);
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// A caret line has one column per character, and keeps tabs so that it lines up in any terminal.
std::string padding(std::string_view before) {
  std::string pad;
  for (const char byte : before) {
    if (!continues_character(byte)) pad += byte == '\t' ? '\t' : ' ';
  }
  return pad;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char byte) { return !continues_character(byte); }));
}

std::string excerpt(const Location& at) {
  if (!at.source || at.line == 0 || at.column == 0) return "";
  std::string_view line = at.source->line(at.line);
  if (line.empty()) return "";  // the end of the file
  std::size_t start = std::min(at.column - 1, line.size());
  if (line.size() > kShownBytes) {
    std::size_t begin = start > kShownBytes / 2 ? start - kShownBytes / 2 : 0;
    while (begin > 0 && continues_character(line[begin])) --begin;
    std::size_t end = std::min(line.size(), begin + kShownBytes);
    while (end < line.size() && continues_character(line[end])) ++end;
    line = line.substr(begin, end - begin);
    start -= begin;
  }
  const auto marked = line.substr(start, std::max<std::size_t>(at.length, 1));
  const std::string tail(std::max<std::size_t>(characters(marked), 1) - 1, '~');
  return fmt::format("  {}\n  {}^{}\n", line, padding(line.substr(0, start)), tail);
}

std::string chain(const Location& at) {
  std::string lines;
  for (const Source* source = at.source.get(); source != nullptr && source->extended_from.source;
       source = source->extended_from.source.get()) {
    lines += fmt::format("  extended from {}\n", where(source->extended_from));
  }
  return lines;
}

auto order(const Problem& problem) {
  const bool argument = problem.at.source && !problem.at.source->is_file;
  return std::tuple(argument,
                    problem.at.source ? std::string_view(problem.at.source->name) : std::string_view(),
                    problem.at.line, problem.at.column);
}

}  // namespace

std::string_view Source::line(std::size_t number) const {
  std::string_view rest = text;
  for (std::size_t i = 1; i < number; ++i) {
    const auto end = rest.find('\n');
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
  rest = rest.substr(0, rest.find('\n'));
  if (rest.ends_with('\r')) rest.remove_suffix(1);
  return rest;
}

std::string format(const Problem& problem) {
  std::string text = fmt::format("{}: error: {}\n{}{}", where(problem.at), problem.message,
                                 excerpt(problem.at), chain(problem.at));
  if (!problem.hint.empty()) text += fmt::format("  {}\n", problem.hint);
  return text;
}

std::string format(std::span<const Problem> problems) {
  std::vector<const Problem*> sorted;
  for (const auto& problem : problems) sorted.push_back(&problem);
  std::ranges::stable_sort(sorted, {}, [](const Problem* problem) { return order(*problem); });
  std::string text;
  for (const auto* problem : sorted) text += format(*problem);
  if (!problems.empty()) {
    text +=
        fmt::format("{} error{}; nothing was started.\n", problems.size(), problems.size() == 1 ? "" : "s");
  }
  return text;
}

}  // namespace edgetrain
