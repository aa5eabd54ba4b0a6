// Keys of config.json that no family here implements: which must hold their neutral value, and which do not
// matter.
#pragma once

#include "core/model/hf_fields.h"

namespace edgetrain {

/// Looks at every key that `fields` was not asked for: a problem if it changes the forward pass and is not
/// neutral, a warning if it is unknown, nothing if it is known to be harmless.
void check_other_keys(HfFields& fields);

}  // namespace edgetrain
