# The operators that take most of a step: matrix product, attention, loss. Included by ../CMakeLists.txt.
edgetrain_library(edgetrain_cpu_heavy
  SOURCES cpu/attention.cpp cpu/attention_backward.cpp cpu/attention_blocks.cpp cpu/cross_entropy.cpp cpu/env.cpp
          cpu/gemm.cpp cpu/gemm_pack.cpp cpu/gemm_plan.cpp cpu/matrix_unit.cpp
  DEPS edgetrain_base PRIVATE DNNL::dnnl OpenMP::OpenMP_CXX PkgConfig::hwy)
