// A frame: a picture (planes) or plain tensors, with time, origin and results. The pixels are shared and
// immutable unless mapped for writing; the metadata belongs to this copy of the frame.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/core/region.h"
#include "sightglass/core/tensor.h"
#include "sightglass/core/video.h"

namespace sightglass {

// Nanoseconds.
using Time = int64_t;
inline constexpr Time no_time = -1;

struct Crop {
  int x = 0, y = 0, w = 0, h = 0;  // pixels, inside the picture
  bool operator==(const Crop&) const = default;
};

// Model input 0..1 → full frame 0..1: x' = m0·x + m1·y + m2, y' = m3·x + m4·y + m5. Every crop, letterbox and
// rotation multiplies the one matrix that it finds; it is applied once, where results join their frame.
struct Affine {
  double m[6] = {1, 0, 0, 0, 1, 0};
  bool identity() const { return *this == Affine{}; }
  bool operator==(const Affine&) const = default;
};
// `first` applied before `then`.
Affine concat(const Affine& first, const Affine& then);
// The bounding box of the four moved corners.
Box apply(const Affine& affine, const Box& box);

// Where a frame comes from, so that its results find their way back.
struct SourceId {
  uint64_t stream = 0;          // counted id of the stream; 0: the only one
  std::optional<uint32_t> roi;  // id of the region that this frame was cut to; none: the whole frame
  int64_t object = 0;           // track id of that region; 0: untracked
  bool last_roi = false;        // last region of its frame
  int batch_index = 0;          // place in its batch
  Time pts = no_time;           // of the full frame
  bool operator==(const SourceId&) const = default;
};

// One of the samples that lie behind each other along the first axis of a frame's tensors.
struct Sample {
  SourceId source;
  Affine affine;
  Time pts = no_time, duration = no_time;
  bool operator==(const Sample&) const = default;
};

struct Frame {
  std::optional<VideoInfo> video;  // set: `tensors` are the planes of this picture, each [height,
                                   // width·samples] of bytes with strides
  std::vector<Tensor> tensors;

  Time pts = no_time, duration = no_time;
  std::optional<Crop> crop;      // part of the picture that counts
  std::optional<Affine> affine;  // none: identity
  std::optional<SourceId> source;
  std::vector<Sample>
      batch;  // of a batch, in the order of its samples, in place of the three above; else empty

  std::vector<Region> regions;
  AttributesRef attributes;  // of the whole frame
  std::string json;          // the results as text, where an element has written them

  // Forgets everything but keeps capacity, for reuse without allocation.
  void clear();
};

// A place where a frame or a region was skipped, so that joins downstream never wait for it.
struct Gap {
  Time pts = no_time, duration = no_time;
  std::optional<SourceId> source;
};

}  // namespace sightglass
