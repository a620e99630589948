// Reads a picture as a tensor of bytes: the same memory, no pixel is touched.
//
// in   RGB, BGR, RGBx, BGRx, RGBA, BGRA (HWC), RGBP, BGRP (CHW), GRAY8 (HW), any memory and pixel aspect
// ratio out  one uint8 tensor in that memory, with and without a leading 1; rows with padding as strides
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

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  // The picture's planes as the agreed tensor; no memory when they do not lie like that.
  Tensor shared(const Frame& frame) const;
  Status copy(const Frame& frame, Output& output);

  TensorInfo tensor_;  // as agreed, with strides
  bool planar_ = false;
  Frame result_;
};

}  // namespace sightglass
