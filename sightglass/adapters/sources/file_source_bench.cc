// A file as fast as possible, against nothing but reading its packets. A message costs 0.3 to 0.4 us whatever
// it carries: 5 % of the rate with packets of 40 KB (8 Mbit/s at 25/s), more with smaller ones.
//
//   SIGHTGLASS_BENCH_VIDEO=street.mp4 bench/file_source
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"

namespace sightglass::adapters {
namespace {

std::string video() {
  const char* named = std::getenv("SIGHTGLASS_BENCH_VIDEO");
  const char* folder = std::getenv("SIGHTGLASS_TEST_DATA");
  return named ? named : std::string(folder ? folder : ".") + "/media/Retail02_short.mp4";
}

constexpr int rounds = 20;

// FFmpeg alone, as a program would do it that keeps each packet until it is done with it.
void packets_of_ffmpeg(benchmark::State& state) {
  int64_t frames = 0;
  for (auto _ : state) {
    for (int round = 0; round < rounds; ++round) {
      AVFormatContext* made = nullptr;
      if (avformat_open_input(&made, video().c_str(), nullptr, nullptr) < 0)
        return state.SkipWithError("no video");
      const AvInputPtr input(made);
      avformat_find_stream_info(made, nullptr);
      const int stream = av_find_best_stream(made, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
      for (;;) {
        const AvPacketPtr packet(av_packet_alloc());
        if (av_read_frame(made, packet.get()) < 0) break;
        frames += packet->stream_index == stream;
      }
    }
  }
  state.SetItemsProcessed(frames);
}

// And brought into the form that decoders of other programs take.
void access_units(benchmark::State& state) {
  int64_t frames = 0;
  for (auto _ : state) {
    for (int round = 0; round < rounds; ++round) {
      auto units = AccessUnits::open(video());
      if (!units) return state.SkipWithError(units.error().message);
      while (auto unit = (*units)->next()) {
        if (!*unit) break;
        ++frames;
      }
    }
  }
  state.SetItemsProcessed(frames);
}

void file_source(benchmark::State& state) {
  struct Counted final : Deliver {
    bool deliver(stream::Delivery delivery) override {
      frames += delivery.message->frame.has_value();
      return true;
    }
    std::unique_ptr<Deliver> another() override { return nullptr; }
    int64_t frames = 0;
  } out;
  const SourceDesc& desc = *find_source("video_file");
  for (auto _ : state) {
    for (int round = 0; round < rounds; ++round) {
      ParamSet params(desc.params);
      (void)params.set_text("location", video());
      auto source = desc.create(params, {.name = "bench"});
      if (!source || !(*source)->start()) return state.SkipWithError("no video");
      (void)(*source)->run(out, {});
    }
  }
  state.SetItemsProcessed(out.frames);
}

BENCHMARK(packets_of_ffmpeg)->Unit(benchmark::kMillisecond);
BENCHMARK(access_units)->Unit(benchmark::kMillisecond);
BENCHMARK(file_source)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass::adapters
