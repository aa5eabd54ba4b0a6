// One check for every return code of the CUDA libraries.
//
// Why a function with overloads and no macro: the calls read as calls, and the compiler rejects a code that
// nobody knows how to name. Failures are Error(resource) with the library's own words and the place of the
// call.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <source_location>
#include <string_view>

namespace edgetrain::cuda {

/// Throws unless the call succeeded. what: the call, e.g. "cudaMalloc of 1024 bytes".
void check(cudaError_t code, std::string_view what,
           std::source_location where = std::source_location::current());
void check(cublasStatus_t code, std::string_view what,
           std::source_location where = std::source_location::current());

/// For destructors, which cannot throw: prints what would have been thrown.
void check_noexcept(cudaError_t code, std::string_view what) noexcept;

}  // namespace edgetrain::cuda
