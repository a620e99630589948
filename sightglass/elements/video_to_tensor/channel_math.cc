#include "sightglass/elements/video_to_tensor/channel_math.h"

#include <algorithm>

namespace sightglass::preprocess {

// Y, U, V or R, G, B, or one for gray.
std::vector<Component> components(PixelFormat format) {
  switch (format) {
    case PixelFormat::i420:
    case PixelFormat::y42b:
    case PixelFormat::y444:
    case PixelFormat::rgbp:
      return {{0, 0}, {1, 0}, {2, 0}};
    case PixelFormat::yv12:
      return {{0, 0}, {2, 0}, {1, 0}};
    case PixelFormat::nv12:
      return {{0, 0}, {1, 0}, {1, 1}};
    case PixelFormat::nv21:
      return {{0, 0}, {1, 1}, {1, 0}};
    case PixelFormat::rgb:
    case PixelFormat::rgbx:
    case PixelFormat::rgba:
      return {{0, 0}, {0, 1}, {0, 2}};
    case PixelFormat::bgr:
    case PixelFormat::bgrx:
    case PixelFormat::bgra:
      return {{0, 2}, {0, 1}, {0, 0}};
    case PixelFormat::bgrp:
      return {{2, 0}, {1, 0}, {0, 0}};
    case PixelFormat::gray8:
      return {{0, 0}};
    case PixelFormat::p010:
    case PixelFormat::gray16:
      break;  // not taken
  }
  return {};
}

YuvCoefficients yuv_coefficients(ColorMatrix matrix, bool full_range) {
  struct Weights {
    double red, blue;
  };
  const Weights w = matrix == ColorMatrix::bt709    ? Weights{0.2126, 0.0722}
                    : matrix == ColorMatrix::bt2020 ? Weights{0.2627, 0.0593}
                                                    : Weights{0.299, 0.114};
  const double green = 1 - w.red - w.blue;
  const double y = full_range ? 1 : 255.0 / 219, c = full_range ? 1 : 255.0 / 224;
  const double red_v = 2 * (1 - w.red) * c, blue_u = 2 * (1 - w.blue) * c;
  return {y, full_range ? 0.0 : 16.0, red_v, -blue_u * w.blue / green, -red_v * w.red / green, blue_u};
}

namespace {
double channel_value(const std::vector<double>& values, size_t channel, double otherwise) {
  return values.empty() ? otherwise : values[std::min(channel, values.size() - 1)];
}
}  // namespace

ChannelScales channel_scales(const PreprocessOptions& options) {
  const double low = options.range.empty() ? 0 : options.range[0];
  const double gain = options.range.empty() ? 1 : (options.range[1] - options.range[0]) / 255;
  ChannelScales scales;
  for (size_t c = 0; c < 3; ++c) {
    const double mean = channel_value(options.mean, c, 0), deviation = channel_value(options.std, c, 1);
    scales.mul[c] = gain / options.scale / deviation;
    scales.add[c] = (low / options.scale - mean) / deviation;
    scales.pad[c] = channel_value(options.pad_value, c, 0);
    scales.plain = scales.plain && scales.mul[c] == 1 && scales.add[c] == 0;
  }
  return scales;
}

Status check(const VideoInfo& video, const PreprocessOptions& options) {
  const int channels = channel_count(options.channels);
  if (video.width < 1 || video.height < 1)
    return fail(ErrorCode::not_negotiated, "a picture of {}x{} pixels", video.width, video.height);
  if (options.canvas.width < 1 || options.canvas.height < 1)
    return fail(ErrorCode::not_negotiated, "a tensor of {}x{} pixels", options.canvas.width,
                options.canvas.height);
  if (!options.range.empty() && options.range.size() != 2)
    return fail(ErrorCode::invalid_argument, "range has {} values; it takes two: lo, hi",
                options.range.size());
  auto per_channel = [&](const char* name, const std::vector<double>& values) -> Status {
    if (values.size() <= 1 || values.size() == size_t(channels)) return {};
    return fail(ErrorCode::invalid_argument, "{} has {} values; it takes one, or one for each of {} channels",
                name, values.size(), channels);
  };
  if (auto status = per_channel("mean", options.mean); !status) return status;
  if (auto status = per_channel("std", options.std); !status) return status;
  if (auto status = per_channel("pad-value", options.pad_value); !status) return status;
  for (double value : options.std)
    if (!(value != 0)) return fail(ErrorCode::invalid_argument, "std is 0; it is a divisor");
  if (!(options.scale > 0))
    return fail(ErrorCode::invalid_argument, "scale is {}; it is a divisor above 0", options.scale);
  switch (options.type) {
    case DataType::u8:
    case DataType::i8:
    case DataType::i32:
    case DataType::f16:
    case DataType::f32:
      return {};
    default:
      break;
  }
  return fail(ErrorCode::unsupported, "tensors of {}; usable: uint8, int8, int32, float16, float32",
              to_string(options.type));
}

}  // namespace sightglass::preprocess
