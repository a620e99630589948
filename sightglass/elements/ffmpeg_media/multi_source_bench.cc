// Decoding through the source against the plain loop of libavcodec, the same file and as many threads.
// `frames` per second of both are to be compared; bench/run.py takes their ratio in turns.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "sightglass/core/registry.h"
#include "sightglass/elements/element_test_support.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"
#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

std::string video() {
  const char* const data = std::getenv("SIGHTGLASS_TEST_DATA");
  return data ? std::string(data) + "/media/people.mp4" : std::string();
}

void plain_libavcodec(benchmark::State& state) {
  const std::string file = video();
  if (!std::filesystem::exists(file)) return state.SkipWithError("SIGHTGLASS_TEST_DATA is not set");
  int64_t frames = 0;
  for (auto _ : state) {
    AVFormatContext* opened = nullptr;
    if (avformat_open_input(&opened, file.c_str(), nullptr, nullptr) < 0)
      return state.SkipWithError("no file");
    const AvInputPtr input(opened);
    avformat_find_stream_info(input.get(), nullptr);
    const AVCodec* codec = nullptr;
    const int stream = av_find_best_stream(input.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    const AvCodecPtr decoder(avcodec_alloc_context3(codec));
    avcodec_parameters_to_context(decoder.get(), input->streams[stream]->codecpar);
    decoder->thread_count = int(std::thread::hardware_concurrency());
    avcodec_open2(decoder.get(), codec, nullptr);
    const AvPacketPtr packet(av_packet_alloc());
    const AvFramePtr picture(av_frame_alloc());
    bool more = true;
    while (more) {
      more = av_read_frame(input.get(), packet.get()) >= 0;
      if (more && packet->stream_index == stream) avcodec_send_packet(decoder.get(), packet.get());
      if (!more) avcodec_send_packet(decoder.get(), nullptr);
      av_packet_unref(packet.get());
      while (avcodec_receive_frame(decoder.get(), picture.get()) == 0) ++frames;
    }
  }
  state.counters["frames"] = benchmark::Counter(double(frames), benchmark::Counter::kIsRate);
}
BENCHMARK(plain_libavcodec)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

void ffmpeg_multi_source(benchmark::State& state) {
  const std::string file = video();
  if (!std::filesystem::exists(file)) return state.SkipWithError("SIGHTGLASS_TEST_DATA is not set");
  if (auto loaded = load_module("ffmpeg-media"); !loaded) return state.SkipWithError(loaded.error().message);
  int64_t frames = 0;
  for (auto _ : state) {
    auto source = test::make<Source>("ffmpeg_multi_source", {{"inputs", "<" + file + ">"}});
    if (!source->start()) return state.SkipWithError("cannot start");
    test::Collected memory;
    Frame frame;
    while (source->read(frame, memory).value_or(false)) ++frames;
    source->stop();
  }
  state.counters["frames"] = benchmark::Counter(double(frames), benchmark::Counter::kIsRate);
}
BENCHMARK(ffmpeg_multi_source)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace sightglass
