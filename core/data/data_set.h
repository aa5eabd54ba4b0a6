// A data set as a job names it: files, tokens, and the two parts of samples.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/data/corpus.h"
#include "core/data/samples.h"

namespace edgetrain {

struct DataSet {
  Corpus corpus;
  Splits splits;
};

/// The files of `paths` through the byte tokenizer, for a model with `vocab` ids. Reads no text yet.
/// Errors: JobError as in files.h, byte_tokenizer.h and samples.h.
[[nodiscard]] DataSet open_byte_data_set(std::span<const std::string> paths, std::int64_t vocab,
                                         std::int64_t seq_len, double val_fraction);

/// For `inspect` and the banner: files with sizes, tokens, samples of both parts, what is left over. Several
/// lines.
[[nodiscard]] std::string describe(const DataSet& data);

}  // namespace edgetrain
