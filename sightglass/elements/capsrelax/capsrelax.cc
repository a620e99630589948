// capsrelax: hides from upstream that downstream would rather have one certain size, where it takes others
// too, so that a source that can give many sizes is not talked into giving that one. Frames pass untouched.
// What it does is a matter of GStreamer's caps alone (sightglass/gst/caps_relax.h); in a flow, where formats
// of the two sides are not mixed up, it does nothing.
#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

class CapsRelax final : public TransformInplace {
 public:
  struct Params {};
  Result<Verdict> process(Frame&) override { return Verdict::pass; }
};

const Registration registration({
    .name = "capsrelax",
    .title = "Size preference filter",
    .klass = "Generic",
    .doc = "Hides a fixed size that downstream prefers from upstream, if downstream takes other sizes too.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .reads_results = false,
    .params = ParamTable::of<CapsRelax::Params>({}),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<CapsRelax>();
    },
});

}  // namespace
}  // namespace sightglass
