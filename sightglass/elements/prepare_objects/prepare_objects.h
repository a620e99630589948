// Makes the picture of an object that a model is to see: a face turned upright, a plate unwarped, a crop
// fitted into a canvas. Stands between roi_split and video_to_tensor.
//
//   … ! roi_split ! prepare_objects functions='["align_face_5pt"]' ! video_to_tensor ! …
//
// in   pictures in system memory of any 8-bit format, cut to a region (or not) by roi_split
// out  pictures of the same format in the size of the function, whose affine leads back to the full frame;
//      no regions, no attributes. Where the object lacks what the function needs (its landmarks), a gap.
//
// `functions` is one function of the hook prepare (functions/function.h); letterbox needs its `size` here.
// Behind it, or in its place, may stand functions of the user's own, which change the picture that it has
// made, or the crop in the size that the first of them names.
// Each plane is sampled once, bilinear, straight from the full picture. Of a perspective the affine is the
// nearest one, so that boxes found in an unwarped plate lie a little beside their place. One stream, one
// thread.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/functions/function.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

class PrepareObjects final : public Transform {
 public:
  struct Params {
    std::string functions;
  };

  static Result<std::unique_ptr<PrepareObjects>> create(const Params& params);

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  explicit PrepareObjects(std::vector<NamedFunction> functions) : functions_(std::move(functions)) {}
  // That which makes the picture.
  const PrepareFunction& function() const {
    return static_cast<const PrepareFunction&>(*functions_.front().function);
  }
  Status warp_plane(const Frame& frame, size_t plane, const Projection& projection, const Crop& crop);

  std::vector<NamedFunction> functions_;
  VideoInfo input_, output_;
  Frame made_;
  Region no_region_;
};

}  // namespace sightglass
