// Which data this is, in one line: so that two ranks, or two runs, can tell whether they read the same.
//
// Why: a text that was edited between two runs, or a node that sees another version of it, breaks no read and
// no shape; the run goes on and is no longer the run that it says it is. Paths are left out on purpose: the
// same text in another folder is the same data, and its order shows in the order of sizes and contents.
#pragma once

#include <cstdint>
#include <string>

#include "core/data/corpus.h"
#include "core/io/hash.h"

namespace edgetrain {

/// How much of a data set is read for its fingerprint: all of it up to this size, samples of it beyond.
inline constexpr std::int64_t kFingerprintBytes = std::int64_t{256} << 20;

struct DataFingerprint {
  std::int64_t tokens = 0;
  Hash128 hash;
  friend bool operator==(const DataFingerprint&, const DataFingerprint&) = default;
};

/// Covers the tokenizer (end-of-document id), the size of every file in stream order, and content: every byte
/// while the files hold at most `read_bytes` together; else the first and the last 64 KiB of every file and,
/// between them, one block of 64 KiB in n, n the smallest that keeps these within `read_bytes`. Reads in
/// blocks, so it takes 64 KiB of memory. Errors: Error(data) naming a file that cannot be read or has become
/// shorter.
[[nodiscard]] DataFingerprint fingerprint_of(const Corpus& corpus,
                                             std::int64_t read_bytes = kFingerprintBytes);

/// "60000 tokens, xxh3_128 0123...".
[[nodiscard]] std::string describe(const DataFingerprint& fingerprint);

}  // namespace edgetrain
