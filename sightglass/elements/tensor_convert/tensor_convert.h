// Reads a picture as a tensor of bytes, or sound as a tensor of samples: the same memory, nothing is touched.
//
// in   RGB, BGR, RGBx, BGRx, RGBA, BGRA (HWC), RGBP, BGRP (CHW), GRAY8 (HW), any memory and pixel aspect
//      ratio; interleaved sound, which is a tensor [channels, samples] of int16 or float32 with a free axis
// out  one tensor in that memory, with and without a leading 1; rows with padding and interleaved channels as
//      strides. Of sound, the next element has to say how many samples it takes: a shorter buffer becomes a
//      gap, a longer one is an error
//
// Regions and attributes of the picture stay behind: they are not results of the tensor. Where a picture's
// rows or planes do not lie as agreed (other strides than the format has by default, planes apart), the bytes
// are copied; system memory only. One stream, one thread.
#pragma once

#include <vector>

#include "sightglass/core/element.h"

namespace sightglass {

class TensorConvert final : public Transform {
 public:
  struct Params {};
  // TensorsSpec::model of sound, by which the runtime tells it from tensors.
  static constexpr const char* sound = "audio/x-raw";

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  // The picture's planes as the agreed tensor; no memory when they do not lie like that.
  Tensor shared(const Frame& frame) const;
  Status copy(const Frame& frame, Output& output);
  Status configure_sound(const TensorInfo& sound, const TensorInfo& wanted);
  Status process_sound(const Frame& frame, Output& output);

  TensorInfo tensor_;  // as agreed, with strides
  bool planar_ = false, sound_ = false;
  Frame result_;
};

}  // namespace sightglass
