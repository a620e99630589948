// The pass on an NVIDIA GPU: time per launch, and how much of the memory's bandwidth it uses; copy_on_device
// is what there is. A picture is read once and a tensor written once; what is read is counted in rows and
// columns that samples are taken from.
#include <benchmark/benchmark.h>

#include <vector>

#include "sightglass/elements/video_to_tensor/cuda_preprocess.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_block.h"
#include "sightglass/memory/cuda/cuda_context.h"
#include "sightglass/memory/cuda/cuda_stream.h"

namespace sightglass {
namespace {

struct Case {
  Size picture, canvas;
  Crop crop;  // the first one; the others are moved
  int slots;
  DataType type;
};

void preprocess_on_cuda(benchmark::State& state, const Case& wanted) {
  auto context = default_context(MemoryKind::cuda);
  if (!context) return state.SkipWithError(context.error().message);
  auto* const stream = static_cast<CUstream_st*>((*context)->handle("CUstream"));
  VideoInfo video;
  video.format = PixelFormat::nv12;
  video.width = wanted.picture.width, video.height = wanted.picture.height;
  const PreprocessOptions options{.canvas = wanted.canvas,
                                  .rule = {Resize::letterbox},
                                  .planar = true,
                                  .type = wanted.type,
                                  .range = {0, 1}};
  auto made = CudaPreprocessor::shared(*context, video, options);
  if (!made) return state.SkipWithError(made.error().message);

  // As a decoder's surfaces: one picture per slot for whole pictures, else one for all.
  const bool whole = wanted.crop.w == video.width;
  const size_t pitch = size_t(video.width + 255) / 256 * 256,
               picture_bytes = pitch * size_t(video.height) * 3 / 2;
  std::vector<MemoryRef> blocks;
  for (int i = 0; i < (whole ? wanted.slots : 1); ++i)
    blocks.push_back(*allocate_cuda(*context, picture_bytes));
  const int64_t pixels = int64_t(wanted.canvas.width) * wanted.canvas.height;
  const size_t slot_bytes = size_t(pixels) * 3 * size_of(wanted.type);
  const MemoryRef tensor = *allocate_cuda(*context, slot_bytes * size_t(wanted.slots));
  std::vector<CudaPreprocessor::Item> items(size_t(wanted.slots));
  for (size_t i = 0; i < items.size(); ++i) {
    const uint64_t luma = static_cast<CudaMemory&>(*blocks[whole ? i : 0]).address();
    items[i].planes = {luma, luma + pitch * size_t(video.height)};
    items[i].strides = {int(pitch), int(pitch)};
    items[i].crop = wanted.crop;
    if (!whole) items[i].crop.x += int(i) * 7, items[i].crop.y += int(i) * 3;
    items[i].slot = static_cast<CudaMemory&>(*tensor).address() + i * slot_bytes;
  }
  const Ref<CudaContext> device = *CudaContext::of(*context);
  constexpr int launches = 100;
  for (auto _ : state) {
    for (int i = 0; i < launches; ++i)
      if (auto status = (*made)->run(items, {wanted.canvas.width, 1, pixels}, stream); !status)
        return state.SkipWithError(status.error().message);
    (void)(*CudaFence::record(device, stream))->wait();
  }
  const double scale = std::min(1.0, double(wanted.canvas.width) / wanted.crop.w * 2);
  const double read = 1.5 * wanted.crop.w * wanted.crop.h * std::min(1.0, scale * scale);
  state.counters["us_per_launch"] =
      benchmark::Counter(double(state.iterations()) * launches * 1e-6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["GB_per_s"] = benchmark::Counter(
      double(state.iterations()) * launches * wanted.slots * (read + double(slot_bytes)) * 1e-9,
      benchmark::Counter::kIsRate);
}

// Bytes read and written by a copy within the device.
void copy_on_device(benchmark::State& state) {
  constexpr size_t bytes = size_t(1) << 30;
  constexpr int copies = 20;
  auto stream = CudaStream::make(nullptr);
  if (!stream) return state.SkipWithError(stream.error().message);
  const MemoryRef from = *allocate_cuda(nullptr, bytes), to = *allocate_cuda(nullptr, bytes);
  for (auto _ : state) {
    for (int i = 0; i < copies; ++i)
      (void)(*stream)->copy(static_cast<CudaMemory&>(*to).address(),
                            static_cast<CudaMemory&>(*from).address(), bytes);
    (void)(*stream)->finish();
  }
  state.counters["GB_per_s"] = benchmark::Counter(double(state.iterations()) * copies * 2e-9 * double(bytes),
                                                  benchmark::Counter::kIsRate);
}
BENCHMARK(copy_on_device)->UseRealTime();

BENCHMARK_CAPTURE(preprocess_on_cuda, one_1080p_to_640_f16,
                  {{1920, 1080}, {640, 640}, {0, 0, 1920, 1080}, 1, DataType::f16})
    ->UseRealTime();
BENCHMARK_CAPTURE(preprocess_on_cuda, eight_1080p_to_640_f16,
                  {{1920, 1080}, {640, 640}, {0, 0, 1920, 1080}, 8, DataType::f16})
    ->UseRealTime();
BENCHMARK_CAPTURE(preprocess_on_cuda, batch_24_1080p_to_640_f16,
                  {{1920, 1080}, {640, 640}, {0, 0, 1920, 1080}, 24, DataType::f16})
    ->UseRealTime();
BENCHMARK_CAPTURE(preprocess_on_cuda, batch_24_1080p_to_640_f32,
                  {{1920, 1080}, {640, 640}, {0, 0, 1920, 1080}, 24, DataType::f32})
    ->UseRealTime();
BENCHMARK_CAPTURE(preprocess_on_cuda, batch_24_1080p_to_1080p_f16,
                  {{1920, 1080}, {1920, 1080}, {0, 0, 1920, 1080}, 24, DataType::f16})
    ->UseRealTime();
BENCHMARK_CAPTURE(preprocess_on_cuda, regions_32_of_128_to_224_f16,
                  {{1920, 1080}, {224, 224}, {100, 100, 128, 128}, 32, DataType::f16})
    ->UseRealTime();

}  // namespace
}  // namespace sightglass
