// What the host hands to the CUDA kernels of this folder: plain numbers, since nvcc, NVRTC and the C++23
// compiler all read it. One launch fills up to `most_tasks` slots of a tensor, each from a rectangle of a
// picture in device memory.
#pragma once

// Of the names of kernels, preprocess_KIND_TYPE:
//   KIND  nv12, p010 (luma and interleaved chroma of half the size), any
//   TYPE  u8, i8, i32, f16, f32
namespace sightglass::cuda {

// Y, U, V or R, G, B or gray of one picture, 8 bits each (p010: 16): sample (x, y) lies at data + y·stride +
// x·step.
struct Component {
  const unsigned char* data;
  int stride, step;
};

// The source position of output k is clamp(offset + k·step, first, last), in pixels of the picture, centres
// at whole numbers: AxisMap of geometry.h, multiplied out. Outputs `at` up to `at` + `count` are made from
// the picture, the others are border.
struct Axis {
  float offset, step, first, last;
  int at, count;
};

struct Task {
  Component parts[3];
  Axis x, y;
  void* out;  // of the first value of the slot
};

constexpr int most_tasks = 32;

struct Batch {
  int width, height;                                 // of the canvas
  long long row_stride, pixel_stride, value_stride;  // of the tensor, in values: y, x, channel
  int picture_width, picture_height;                 // of luma, samples
  int chroma_width, chroma_height, shift_x, shift_y;
  int nearest, gray, blue_first;  // 0 or 1
  int is_yuv, parts;              // parts: 1 (gray) or 3
  // R'G'B' of Y'CbCr, 0..255: luma = y_gain·(y - y_black); u and v less 128.
  float y_gain, y_black, red_v, green_u, green_v, blue_u;
  // Per channel in the order of the tensor: value·mul + add; pad is final.
  float mul[3], add[3], pad[3];
  int tasks;
  Task task[most_tasks];
};
// Since CUDA 12.1, on GPUs since Volta; 4 KiB before.
static_assert(sizeof(Batch) <= 32764, "more than a launch takes");

}  // namespace sightglass::cuda
