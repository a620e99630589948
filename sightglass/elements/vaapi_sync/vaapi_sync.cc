#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"

namespace sightglass {
namespace {

struct Params {
  double timeout = 10;
};

const Registration registration({
    .name = "vaapi_sync",
    .title = "VA surface wait",
    .klass = "Filter/Effect/Video",
    .doc =
        "Waits until a VA surface has been written. Not part of this version: starting it fails with what is "
        "missing.",
    .kind = ElementKind::transform_inplace,
    .input = {{VideoSpec{}, MemoryKind::va}},
    .reads_results = false,
    .params = ParamTable::of<Params>({
        param("timeout", &Params::timeout, "longest wait; 0: no limit").range(0, 1e10).in("s"),
    }),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::unexpected(
          not_built_error("vaapi_sync", {Facility::va_display}, {"vapostproc and system memory"}));
    },
});

}  // namespace
}  // namespace sightglass
