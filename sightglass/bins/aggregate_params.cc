#include "sightglass/bins/aggregate_params.h"

#include <climits>

namespace sightglass {

const ParamTable& aggregate_params() {
  using Params = AggregateParams;
  static const auto table = ParamTable::of<Params>({
      param("attach-tensor-data", &Params::attach_tensor_data, "keep the raw tensors with the results"),
      param("write-roi-meta", &Params::write_roi_meta,
            "write GstVideoRegionOfInterestMeta as well, for older elements"),
      param("max-wait", &Params::max_wait,
            "live only: send a frame on without results that are later than this; -1: wait as long as data "
            "is due")
          .range(-1, INT_MAX)
          .in("ms"),
      param("max-size-buffers", &Params::max_size_buffers,
            "frames that may wait for their results; as many a branch may be ahead of them; 0: any number"),
      param("max-size-time", &Params::max_size_time,
            "time between the first and the last frame that wait; 0: any")
          .range(0, double(INT64_MAX))
          .in("ns"),
  });
  return table;
}

}  // namespace sightglass
