// From pictures in device memory to slots of a model's input, one launch for all of them. The definition of
// each value is that of the CPU's pass (kernel.h): sample positions, clamping to the rectangle, conversion of
// interpolated samples without rounding, border. Four neighbouring values per thread; a block covers 128×8.
#include "sightglass/elements/video_to_tensor/cuda_kernel.h"
#include "sightglass/memory/cuda/cuda_half.h"

using namespace sightglass::cuda;

namespace {

struct Pixel {
  float c[3];
};

// Which two samples of an axis, and how much of the second.
struct Tap {
  int low, high;
  float weight;
};

// `position` lies between the first and the last sample.
__device__ Tap tap_at(float position, int last, int nearest) {
  const int low = __float2int_rd(position);
  return {low, nearest ? low : min(low + 1, last), nearest ? 0.f : position - float(low)};
}

// `position` in the picture; nearest takes the pixel that it lies in.
__device__ float place(const Axis& axis, int k, int nearest) {
  const float position = fminf(fmaxf(axis.offset + float(k) * axis.step, axis.first), axis.last);
  return nearest ? floorf(position + 0.5f) : position;
}

// A plane whose samples lie in the middle of the 2^shift pixels that they stand for.
__device__ Tap tap_in_plane(float position, int shift, int last, int nearest) {
  const float scale = __int_as_float((127 - shift) << 23);
  const float there = nearest ? position * scale : (position + 0.5f) * scale - 0.5f;
  return tap_at(fminf(fmaxf(there, 0.f), float(last)), last, nearest);
}

// The two rows of a plane that a row of the tensor is made from: the same for all values of a thread.
struct Rows {
  const unsigned char *upper, *lower;
  float weight;
};
__device__ Rows rows_at(const Component& part, Tap y) {
  return {part.data + (long long)(y.low) * part.stride, part.data + (long long)(y.high) * part.stride,
          y.weight};
}

__device__ float mix(float a, float b, float weight) { return a + (b - a) * weight; }

template <class Sample>
__device__ float read(const unsigned char* row, int x, int step);
template <>
__device__ float read<unsigned char>(const unsigned char* row, int x, int step) {
  return float(__ldg(row + x * step));
}
// Ten bits in the upper part of sixteen, as the value of eight that comes nearest without rounding.
template <>
__device__ float read<unsigned short>(const unsigned char* row, int x, int step) {
  return float(__ldg(reinterpret_cast<const unsigned short*>(row + x * step))) * (1.f / 256.f);
}

template <class Sample>
__device__ float sample(const Rows& rows, int step, Tap x) {
  return mix(mix(read<Sample>(rows.upper, x.low, step), read<Sample>(rows.upper, x.high, step), x.weight),
             mix(read<Sample>(rows.lower, x.low, step), read<Sample>(rows.lower, x.high, step), x.weight),
             rows.weight);
}

// Both halves of an interleaved chroma sample at once.
template <class Sample>
__device__ float2 read_pair(const unsigned char* row, int x);
template <>
__device__ float2 read_pair<unsigned char>(const unsigned char* row, int x) {
  const uchar2 pair = __ldg(reinterpret_cast<const uchar2*>(row) + x);
  return make_float2(float(pair.x), float(pair.y));
}
template <>
__device__ float2 read_pair<unsigned short>(const unsigned char* row, int x) {
  const ushort2 pair = __ldg(reinterpret_cast<const ushort2*>(row) + x);
  return make_float2(float(pair.x) * (1.f / 256.f), float(pair.y) * (1.f / 256.f));
}

template <class Sample>
__device__ float2 sample_pair(const Rows& rows, Tap x) {
  const float2 a = read_pair<Sample>(rows.upper, x.low), b = read_pair<Sample>(rows.upper, x.high);
  const float2 c = read_pair<Sample>(rows.lower, x.low), d = read_pair<Sample>(rows.lower, x.high);
  return make_float2(mix(mix(a.x, b.x, x.weight), mix(c.x, d.x, x.weight), rows.weight),
                     mix(mix(a.y, b.y, x.weight), mix(c.y, d.y, x.weight), rows.weight));
}

__device__ float in_range(float value) { return fminf(fmaxf(value, 0.f), 255.f); }

// The rows that the values of one thread are made from.
template <bool interleaved>
__device__ void find_rows(const Batch& batch, const Task& task, int ky, Rows (&rows)[3]) {
  const float py = place(task.y, ky, batch.nearest);
  const Tap y = tap_at(py, batch.picture_height - 1, batch.nearest);
  rows[0] = rows_at(task.parts[0], y);
  const Tap other = interleaved || batch.is_yuv ? tap_in_plane(py, interleaved ? 1 : batch.shift_y,
                                                               batch.chroma_height - 1, batch.nearest)
                                                : y;
  if (interleaved || batch.parts == 3) rows[1] = rows_at(task.parts[1], other);
  if (!interleaved && batch.parts == 3) rows[2] = rows_at(task.parts[2], other);
}

template <class Sample, bool interleaved>
__device__ Pixel convert(const Batch& batch, const Task& task, const Rows (&rows)[3], int kx) {
  const float px = place(task.x, kx, batch.nearest);
  const Tap x = tap_at(px, batch.picture_width - 1, batch.nearest);
  Pixel pixel;
  if (interleaved || batch.is_yuv) {
    const float luma =
        batch.y_gain *
        (sample<Sample>(rows[0], interleaved ? int(sizeof(Sample)) : task.parts[0].step, x) - batch.y_black);
    const Tap cx = tap_in_plane(px, interleaved ? 1 : batch.shift_x, batch.chroma_width - 1, batch.nearest);
    float2 chroma;
    if (interleaved)
      chroma = sample_pair<Sample>(rows[1], cx);
    else
      chroma = make_float2(sample<Sample>(rows[1], task.parts[1].step, cx),
                           sample<Sample>(rows[2], task.parts[2].step, cx));
    const float u = chroma.x - 128.f, v = chroma.y - 128.f;
    pixel.c[0] = in_range(luma + batch.red_v * v);
    pixel.c[1] = in_range(luma + batch.green_u * u + batch.green_v * v);
    pixel.c[2] = in_range(luma + batch.blue_u * u);
  } else {
    pixel.c[0] = sample<Sample>(rows[0], task.parts[0].step, x);
    pixel.c[1] = batch.parts == 3 ? sample<Sample>(rows[1], task.parts[1].step, x) : pixel.c[0];
    pixel.c[2] = batch.parts == 3 ? sample<Sample>(rows[2], task.parts[2].step, x) : pixel.c[0];
  }
  if (batch.gray) {
    if (batch.parts == 3) pixel.c[0] = .2989f * pixel.c[0] + .587f * pixel.c[1] + .114f * pixel.c[2];
  } else if (batch.blue_first) {
    const float red = pixel.c[0];
    pixel.c[0] = pixel.c[2];
    pixel.c[2] = red;
  }
  return pixel;
}

template <class Value>
__device__ Value as(float value);
template <>
__device__ float as<float>(float value) {
  return value;
}
template <>
__device__ Half as<Half>(float value) {
  return to_half(value);
}
template <>
__device__ unsigned char as<unsigned char>(float value) {
  return (unsigned char)(fminf(fmaxf(rintf(value), 0.f), 255.f));
}
template <>
__device__ signed char as<signed char>(float value) {
  return (signed char)(fminf(fmaxf(rintf(value), -128.f), 127.f));
}
template <>
__device__ int as<int>(float value) {
  return __float2int_rn(value);
}

constexpr int values_per_thread = 4;

template <class Value>
struct alignas(values_per_thread * sizeof(Value)) Together {
  Value value[values_per_thread];
};

template <class Sample, bool interleaved, class Value>
__device__ void run(const Batch& batch) {
  const Task& task = batch.task[blockIdx.z];
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x) * values_per_thread,
            y = int(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= batch.width || y >= batch.height) return;
  const int ky = y - task.y.at;
  const bool in_rows = ky >= 0 && ky < task.y.count;
  Rows rows[3] = {};
  if (in_rows) find_rows<interleaved>(batch, task, ky, rows);
  Pixel pixels[values_per_thread];
#pragma unroll
  for (int i = 0; i < values_per_thread; ++i) {
    const int kx = x + i - task.x.at;
    if (in_rows && kx >= 0 && kx < task.x.count) {
      pixels[i] = convert<Sample, interleaved>(batch, task, rows, kx);
      for (int c = 0; c < 3; ++c) pixels[i].c[c] = pixels[i].c[c] * batch.mul[c] + batch.add[c];
    } else {
      for (int c = 0; c < 3; ++c) pixels[i].c[c] = batch.pad[c];
    }
  }
  Value* const out = static_cast<Value*>(task.out) + y * batch.row_stride + x * batch.pixel_stride;
  const int there = min(values_per_thread, batch.width - x);
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    if (c > 0 && batch.gray) break;
    Value* const here = out + c * batch.value_stride;
    Together<Value> all;
#pragma unroll
    for (int i = 0; i < values_per_thread; ++i) all.value[i] = as<Value>(pixels[i].c[c]);
    if (batch.pixel_stride == 1 && there == values_per_thread &&
        (reinterpret_cast<unsigned long long>(here) & (sizeof all - 1)) == 0) {
      *reinterpret_cast<Together<Value>*>(here) = all;
    } else {
#pragma unroll
      for (int i = 0; i < values_per_thread; ++i)
        if (i < there) here[i * batch.pixel_stride] = all.value[i];
    }
  }
}

}  // namespace

#define KERNEL(kind, type, Sample, interleaved, Value)                                         \
  extern "C" __global__ void preprocess_##kind##_##type(const __grid_constant__ Batch batch) { \
    run<Sample, interleaved, Value>(batch);                                                    \
  }
#define KERNELS(type, Value)                      \
  KERNEL(nv12, type, unsigned char, true, Value)  \
  KERNEL(p010, type, unsigned short, true, Value) \
  KERNEL(any, type, unsigned char, false, Value)
KERNELS(u8, unsigned char)
KERNELS(i8, signed char)
KERNELS(i32, int)
KERNELS(f16, Half)
KERNELS(f32, float)
