// The parameters of meta_aggregate, which joins the results of branches to the frames that they were computed
// from, in either runtime.
#pragma once

#include "sightglass/core/param.h"

namespace sightglass {

struct AggregateParams {
  bool attach_tensor_data = true;
  bool write_roi_meta = false;
  int max_wait = -1;
  unsigned max_size_buffers = 2;
  int64_t max_size_time = 0;
};

const ParamTable& aggregate_params();

}  // namespace sightglass
