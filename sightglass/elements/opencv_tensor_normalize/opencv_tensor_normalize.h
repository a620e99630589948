// Normalises bytes to floats: out = (v' - mean) / std, where v' is v, 0..255, or v brought to `range` first.
// (The name is kept for compatibility; it needs no OpenCV.)
//
// in   uint8 tensors, dense or with strides, channels first or last
// out  float32 tensors of the same shapes, dense
//
// Which axis the channels are follows from the layout, without one from the shape. Without parameters it only
// converts. One stream, one thread; a table look-up per value, no allocation once warm.
#pragma once

#include <array>
#include <vector>

#include "sightglass/core/element.h"

namespace sightglass {

class OpencvTensorNormalize final : public Transform {
 public:
  struct Params {
    std::vector<double> range;      // what 0 and 255 become
    std::vector<double> mean, std;  // one for all channels, or one for each
  };

  explicit OpencvTensorNormalize(const Params& params) : params_(params) {}

  Status start() override;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  using Table = std::array<float, 256>;

  Table table(size_t channel) const;

  Params params_;
  std::vector<Table> tables_;      // one, or one for each channel
  std::vector<int> channel_axes_;  // of each tensor; -1: one table serves all
  Frame result_;
};

}  // namespace sightglass
