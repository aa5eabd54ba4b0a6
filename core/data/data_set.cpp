#include "core/data/data_set.h"

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"

namespace edgetrain {
namespace {

std::string describe_part(std::string_view name, const Samples& part) {
  const std::int64_t used = part.count() == 0 ? 0 : part.count() * part.seq_len + 1;
  return fmt::format("{:<12}{:>14} tokens {:>12} samples of {} ({} tokens left over)\n", name, part.tokens,
                     part.count(), part.seq_len, part.tokens - used);
}

}  // namespace

DataSet open_byte_data_set(std::span<const std::string> paths, std::int64_t vocab, std::int64_t seq_len,
                           double val_fraction) {
  const auto end_of_document = byte_end_of_document(vocab);
  Corpus corpus(expand_data_paths(paths), end_of_document);
  const Splits splits = split_samples(corpus.num_tokens(), seq_len, val_fraction);
  return {std::move(corpus), splits};
}

std::string describe(const DataSet& data) {
  std::string text;
  for (const auto& file : data.corpus.files())
    text += fmt::format("{:>14} bytes  {}\n", file.bytes, file.path);
  const auto end = data.corpus.end_of_document();
  text += fmt::format("{} files, {} tokens, {}\n", data.corpus.files().size(), data.corpus.num_tokens(),
                      end ? fmt::format("end of document {}", *end) : "no end-of-document id");
  text += describe_part("train", data.splits.train);
  text += data.splits.validation.tokens > 0 ? describe_part("validation", data.splits.validation)
                                            : "no validation part\n";
  return text;
}

}  // namespace edgetrain
