// AVFrames and system memory in each other's place, and conversions by swscale.
#include <benchmark/benchmark.h>

extern "C" {
#include <libavutil/frame.h>
}

#include "sightglass/memory/ffmpeg/ffmpeg_frame.h"
#include "sightglass/memory/ffmpeg/swscale.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

AVFrame* new_av_frame() {
  AVFrame* const av = av_frame_alloc();
  av->format = AV_PIX_FMT_YUV420P;
  av->width = 1920;
  av->height = 1080;
  av_frame_get_buffer(av, 0);
  return av;
}

void take_av_frame(benchmark::State& state) {
  AVFrame* av = new_av_frame();
  for (auto _ : state) benchmark::DoNotOptimize(from_ffmpeg(*av));
  av_frame_free(&av);
}
BENCHMARK(take_av_frame);

void av_frame_to_system(benchmark::State& state) {
  AVFrame* av = new_av_frame();
  const Frame frame = *from_ffmpeg(*av);
  for (auto _ : state)
    benchmark::DoNotOptimize(map_to(frame, {.form = {MemoryKind::system, PixelFormat::i420}}));
  av_frame_free(&av);
}
BENCHMARK(av_frame_to_system);

void system_to_av_frame(benchmark::State& state) {
  const Frame frame = *allocate_frame({.format = PixelFormat::i420, .width = 1920, .height = 1080});
  for (auto _ : state)
    benchmark::DoNotOptimize(map_to(frame, {.form = {MemoryKind::ffmpeg, PixelFormat::i420}}));
}
BENCHMARK(system_to_av_frame);

void convert(benchmark::State& state, PixelFormat from, PixelFormat to) {
  const Frame frame = *allocate_frame({.format = from, .width = 1920, .height = 1080});
  for (auto _ : state)
    benchmark::DoNotOptimize(convert_picture(frame, {.format = to, .width = 1920, .height = 1080}));
}
BENCHMARK_CAPTURE(convert, I420_to_BGR, PixelFormat::i420, PixelFormat::bgr)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(convert, BGR_to_I420, PixelFormat::bgr, PixelFormat::i420)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(convert, NV12_to_I420, PixelFormat::nv12, PixelFormat::i420)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass
