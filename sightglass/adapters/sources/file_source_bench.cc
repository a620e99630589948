// A file as fast as possible, against nothing but reading its packets.
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

// The file is opened once, which takes as long as thousands of packets and is the same for all, and then read
// so often.
constexpr int rounds = 100;

// FFmpeg alone: each packet of the video is read into an object of its own, and freed with its buffer before
// the next one is read. Other streams of the file are left out, as the source does it.
void read_packets(benchmark::State& state, int flags) {
  AVFormatContext* made = nullptr;
  if (avformat_open_input(&made, video().c_str(), nullptr, nullptr) < 0)
    return state.SkipWithError("no video");
  const AvInputPtr input(made);
  made->flags |= flags;
  avformat_find_stream_info(made, nullptr);
  const int stream = av_find_best_stream(made, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  for (unsigned i = 0; i < made->nb_streams; ++i)
    if (int(i) != stream) made->streams[i]->discard = AVDISCARD_ALL;
  int64_t frames = 0;
  for (auto _ : state) {
    for (int round = 0; round < rounds; ++round) {
      if (av_seek_frame(made, -1, 0, AVSEEK_FLAG_BACKWARD) < 0) return state.SkipWithError("no way back");
      for (;;) {
        const AvPacketPtr packet(av_packet_alloc());
        if (av_read_frame(made, packet.get()) < 0) break;
        frames += packet->stream_index == stream;
      }
    }
  }
  state.SetItemsProcessed(frames);
}

// As FFmpeg comes: what the container says of each packet is looked for in its video too.
void packets_of_ffmpeg(benchmark::State& state) { read_packets(state, 0); }

// The same packets without that, as the source reads MP4.
void packets_unparsed(benchmark::State& state) { read_packets(state, AVFMT_FLAG_NOPARSE); }

// And brought into the form that decoders of other programs take.
void access_units(benchmark::State& state) {
  auto units = AccessUnits::open(video());
  if (!units) return state.SkipWithError(units.error().message);
  int64_t frames = 0;
  for (auto _ : state) {
    for (int round = 0; round < rounds; ++round) {
      if (!(*units)->seek(0)) return state.SkipWithError("no way back");
      while (auto unit = (*units)->next()) {
        if (!*unit) break;
        ++frames;
      }
    }
  }
  state.SetItemsProcessed(frames);
}

// Each delivery is let go of, with its message and packet, before the next one is made.
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
    state.PauseTiming();
    ParamSet params(desc.params);
    (void)params.set_text("location", video());
    (void)params.set_text("loop", std::to_string(rounds - 1));
    auto source = desc.create(params, {.name = "bench"});
    if (!source || !(*source)->start()) return state.SkipWithError("no video");
    state.ResumeTiming();
    (void)(*source)->run(out, {});
    state.PauseTiming();
    source->reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(out.frames);
}

BENCHMARK(packets_of_ffmpeg)->Unit(benchmark::kMillisecond);
BENCHMARK(packets_unparsed)->Unit(benchmark::kMillisecond);
BENCHMARK(access_units)->Unit(benchmark::kMillisecond);
BENCHMARK(file_source)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass::adapters
