// Formats that elements agree on before frames flow: sets of them (FormatSpec, as in a pad template) and
// fixed ones (Format).
#pragma once

#include <climits>
#include <string>
#include <variant>
#include <vector>

#include "sightglass/core/memory.h"
#include "sightglass/core/tensor.h"
#include "sightglass/core/video.h"

namespace sightglass {

struct IntRange {
  int min = 1, max = INT_MAX;
  static IntRange exactly(int n) { return {n, n}; }
  bool fixed() const { return min == max; }
  bool operator==(const IntRange&) const = default;
};

// A set of pictures. Frame rate, pixel aspect ratio and colorimetry are carried along by the runtime and
// never restrict.
struct VideoSpec {
  std::vector<PixelFormat> formats;  // empty: every format
  IntRange width, height;
};

// One tensor of a set; empty types, an empty shape or a -1 in it leave that open.
struct TensorSpec {
  std::vector<DataType> types;
  Shape shape;
  Layout layout = Layout::any;
  Shape strides;     // bytes; empty: dense
  std::string name;  // of the model's input or output; empty: none, and never a restriction
};

// A set of tensor frames; no tensors: any number of any kind.
struct TensorsSpec {
  std::vector<TensorSpec> tensors;
  std::string model;  // name of the model that makes them; empty: none, and never a restriction
};

// Anything at all, passed through untouched.
struct AnySpec {};

struct FormatSpec {
  std::variant<AnySpec, VideoSpec, TensorsSpec> media;
  MemoryKind memory = MemoryKind::system;
};

struct TensorsInfo {
  std::vector<TensorInfo> tensors;
  std::string model;  // name of the model that makes them; empty: no model
};

// A fixed format; monostate: something that the element does not look into (audio, encoded data…).
struct Format {
  std::variant<std::monostate, VideoInfo, TensorsInfo> media;
  MemoryKind memory = MemoryKind::system;

  const VideoInfo* video() const { return std::get_if<VideoInfo>(&media); }
  const TensorsInfo* tensors() const { return std::get_if<TensorsInfo>(&media); }
};

std::string to_string(const Format& format);  // for messages: "I420 768x576", "float32 1x3x416x416"

}  // namespace sightglass
