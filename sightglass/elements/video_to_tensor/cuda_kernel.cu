// From pictures in device memory to slots of a model's input, one launch for all of them. The definition of
// each value is that of the CPU's pass (kernel.h): sample positions, clamping to the rectangle, conversion of
// interpolated samples without rounding, border. Two neighbouring values per thread; a block covers 64×8.
#include "sightglass/elements/video_to_tensor/cuda_kernel.h"

using namespace sightglass::cuda;

namespace {

struct Pixel {
  float c[3];
};

// Not cuda_fp16.h, which is not there where NVRTC compiles this.
struct Half {
  unsigned short bits;
};

// Which two samples of an axis, and how much of the second.
struct Tap {
  int low, high;
  float weight;
};

__device__ Tap tap_at(float position, int last, int nearest) {
  const float clamped = fminf(fmaxf(position, 0.f), float(last));
  const int low = nearest ? int(clamped) : int(floorf(clamped));
  return {low, nearest ? low : min(low + 1, last), nearest ? 0.f : clamped - float(low)};
}

// `position` in the picture; nearest takes the pixel that it lies in.
__device__ float place(const Axis& axis, int k, int nearest) {
  const float position = fminf(fmaxf(axis.offset + float(k) * axis.step, axis.first), axis.last);
  return nearest ? floorf(position + 0.5f) : position;
}

// A plane whose samples lie in the middle of the pixels that they stand for.
__device__ float in_plane(float position, int shift, int nearest) {
  const int count = 1 << shift;
  if (nearest) return floorf(position / float(count));
  return (position + 0.5f) / float(count) - 0.5f;
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
__device__ float sample(const Component& part, Tap x, Tap y) {
  const unsigned char* upper = part.data + (long long)(y.low) * part.stride;
  const unsigned char* lower = part.data + (long long)(y.high) * part.stride;
  return mix(mix(read<Sample>(upper, x.low, part.step), read<Sample>(upper, x.high, part.step), x.weight),
             mix(read<Sample>(lower, x.low, part.step), read<Sample>(lower, x.high, part.step), x.weight),
             y.weight);
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
__device__ float2 sample_pair(const Component& part, Tap x, Tap y) {
  const unsigned char* upper = part.data + (long long)(y.low) * part.stride;
  const unsigned char* lower = part.data + (long long)(y.high) * part.stride;
  const float2 a = read_pair<Sample>(upper, x.low), b = read_pair<Sample>(upper, x.high);
  const float2 c = read_pair<Sample>(lower, x.low), d = read_pair<Sample>(lower, x.high);
  return make_float2(mix(mix(a.x, b.x, x.weight), mix(c.x, d.x, x.weight), y.weight),
                     mix(mix(a.y, b.y, x.weight), mix(c.y, d.y, x.weight), y.weight));
}

__device__ float in_range(float value) { return fminf(fmaxf(value, 0.f), 255.f); }

template <class Sample, bool interleaved>
__device__ Pixel convert(const Batch& batch, const Task& task, int kx, int ky) {
  const float px = place(task.x, kx, batch.nearest), py = place(task.y, ky, batch.nearest);
  const Tap x = tap_at(px, batch.picture_width - 1, batch.nearest);
  const Tap y = tap_at(py, batch.picture_height - 1, batch.nearest);
  Pixel pixel;
  if (interleaved || batch.is_yuv) {
    const float luma = batch.y_gain * (sample<Sample>(task.parts[0], x, y) - batch.y_black);
    const Tap cx = tap_at(in_plane(px, batch.shift_x, batch.nearest), batch.chroma_width - 1, batch.nearest);
    const Tap cy = tap_at(in_plane(py, batch.shift_y, batch.nearest), batch.chroma_height - 1, batch.nearest);
    float2 chroma;
    if (interleaved)
      chroma = sample_pair<Sample>(task.parts[1], cx, cy);
    else
      chroma = make_float2(sample<Sample>(task.parts[1], cx, cy), sample<Sample>(task.parts[2], cx, cy));
    const float u = chroma.x - 128.f, v = chroma.y - 128.f;
    pixel.c[0] = in_range(luma + batch.red_v * v);
    pixel.c[1] = in_range(luma + batch.green_u * u + batch.green_v * v);
    pixel.c[2] = in_range(luma + batch.blue_u * u);
  } else {
    pixel.c[0] = sample<Sample>(task.parts[0], x, y);
    pixel.c[1] = batch.parts == 3 ? sample<Sample>(task.parts[1], x, y) : pixel.c[0];
    pixel.c[2] = batch.parts == 3 ? sample<Sample>(task.parts[2], x, y) : pixel.c[0];
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
  Half half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(value));
  return half;
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

template <class Value>
struct alignas(2 * sizeof(Value)) Two {
  Value first, second;
};

template <class Sample, bool interleaved, class Value>
__device__ void run(const Batch& batch) {
  const Task& task = batch.task[blockIdx.z];
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x) * 2,
            y = int(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= batch.width || y >= batch.height) return;
  const bool has_second = x + 1 < batch.width;
  const int ky = y - task.y.at;
  const bool in_rows = ky >= 0 && ky < task.y.count;
  Pixel pixels[2];
  for (int i = 0; i < 2; ++i) {
    const int kx = x + i - task.x.at;
    if (in_rows && kx >= 0 && kx < task.x.count) {
      pixels[i] = convert<Sample, interleaved>(batch, task, kx, ky);
      for (int c = 0; c < 3; ++c) pixels[i].c[c] = pixels[i].c[c] * batch.mul[c] + batch.add[c];
    } else {
      for (int c = 0; c < 3; ++c) pixels[i].c[c] = batch.pad[c];
    }
  }
  Value* const out = static_cast<Value*>(task.out) + y * batch.row_stride + x * batch.pixel_stride;
  const int channels = batch.gray ? 1 : 3;
  for (int c = 0; c < channels; ++c) {
    Value* const here = out + c * batch.value_stride;
    const Two<Value> both{as<Value>(pixels[0].c[c]), as<Value>(pixels[1].c[c])};
    if (batch.pixel_stride == 1 && has_second &&
        (reinterpret_cast<unsigned long long>(here) & (sizeof both - 1)) == 0) {
      *reinterpret_cast<Two<Value>*>(here) = both;
    } else {
      here[0] = both.first;
      if (has_second) here[batch.pixel_stride] = both.second;
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
