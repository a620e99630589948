// An element of another project, in a shared object of its own.
#include "sightglass/core/registry.h"

namespace {

using namespace sightglass;

class CountRegions final : public TransformInplace {
 public:
  struct Params {};
  Result<Verdict> process(Frame& frame) override {
    Attribute count{.name = Label("regions"), .kind = AttributeKind::number};
    count.number = double(frame.regions.size());
    frame.attributes = with(frame.attributes, std::move(count));
    return Verdict::pass;
  }
};

const Registration registration({
    .name = "count_regions",
    .title = "Region counter",
    .klass = "Filter/Metadata",
    .doc = "Writes the number of regions as an attribute of the frame.",
    .kind = ElementKind::transform_inplace,
    .input = {{VideoSpec{}}},
    .output = {{VideoSpec{}}},
    .params = ParamTable::of<CountRegions::Params>({}),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<CountRegions>();
    },
});

}  // namespace
