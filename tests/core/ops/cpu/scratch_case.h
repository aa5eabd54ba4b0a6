// The test that every operator with scratch passes: on each instruction set, the same bits for any number of
// threads and for a second run, scratch exactly as the dry device says and not a byte beyond it, inputs
// untouched.
#pragma once

#include <vector>

#include "tests/core/ops/cpu/against_oracle.h"

namespace edgetrain::testing {

/// Runs the case on CpuOps with 1, 2 and 3 threads, twice each, on every target. Returns the operands
/// afterwards, one entry per target.
[[nodiscard]] std::vector<std::vector<Operand>> run_with_scratch(const Case& test, bool widen_bf16 = false);

/// The operands after the oracle has run the case.
[[nodiscard]] std::vector<Operand> run_on_oracle(const Case& test);

/// run_with_scratch(), and the results within test.tolerance of the oracle's; 16-bit ones get their rounding
/// on top.
void expect_agrees_with_scratch(const Case& test, bool widen_bf16 = false);

}  // namespace edgetrain::testing
