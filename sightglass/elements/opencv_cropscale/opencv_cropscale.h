// Cuts the frame's crop rectangle out and resizes it to the size that was agreed. (The name is kept for
// compatibility; it needs no OpenCV.)
//
// in   picture of any format, with or without a crop rectangle
// out  picture of the same format and another size, without a crop rectangle; the matrix that leads back to
// the
//      full picture is multiplied into `affine`; regions move along
//
// With add-borders the aspect ratio is kept: the picture sits top-left, the rest has the colour pad-value
// (one number is a grey, three are red, green and blue). One stream, one thread. Tables are made anew when
// the crop changes its size; see resample.h for the cost.
#pragma once

#include <array>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/opencv_cropscale/resample.h"
#include "sightglass/elements/video_to_tensor/geometry.h"

namespace sightglass {

class OpencvCropscale final : public Transform {
 public:
  enum class Method { automatic, nearest, bilinear, bicubic, area, lanczos };

  struct Params {
    bool add_borders = false;
    Method method = Method::automatic;
    std::vector<double> pad_value{0};
    double roi_expand = 1;
  };

  explicit OpencvCropscale(const Params& params) : params_(params) {}

  Status start() override;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  Crop wanted(const Frame& frame) const;
  Status resize_plane(const Frame& frame, size_t plane, const Placement& placement);

  Params params_;
  VideoInfo input_, output_;
  std::array<std::array<uint8_t, 4>, 4> pad_{};  // bytes of a sample of each plane
  std::array<PlaneResampler, 4> resamplers_;     // one for each plane
  Frame result_;
};

}  // namespace sightglass
