// Activations of the cpu backend, plain and gated (Ops::activation, Ops::swiglu), forward and backward.
//
// Elementwise: operands of any row stride, in place where Ops allows it, since an element is read before it
// is written. Arguments are those of Ops, already checked. No scratch.
#pragma once

#include "core/ops/cpu/env.h"
#include "core/ops/ops.h"

namespace edgetrain::cpu {

void swiglu(const CpuEnv& env, Tensor gate, Tensor up, Tensor y);
void swiglu_backward(const CpuEnv& env, Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup,
                     Tensor y);
void activation(const CpuEnv& env, Activation f, Tensor x, Tensor y);
void activation_backward(const CpuEnv& env, Activation f, Tensor x, Tensor dy, Tensor dx, Tensor y);

}  // namespace edgetrain::cpu
