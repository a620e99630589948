// Results onto a buffer and off it again: new ones, read ones, and boxes that have all moved, as behind a
// tracker. The argument is the number of objects, each with a track and an attribute.
#include <benchmark/benchmark.h>

#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr PixelSize size{1920, 1080};

Frame frame_of(int64_t objects) {
  Frame frame;
  frame.pts = 0;
  for (int64_t i = 0; i < objects; ++i) {
    Region region{.id = -1, .box = {float(i) / 2000, .25f, .1f, .2f}, .confidence = .5f};
    region.label = Label("person");
    region.track = i + 1;
    region.attributes =
        with(nullptr, {.name = Label("age"), .kind = AttributeKind::number, .number = double(i)});
    frame.regions.push_back(std::move(region));
  }
  return frame;
}

void write(benchmark::State& state) {
  gst_init(nullptr, nullptr);
  const Frame frame = frame_of(state.range(0));
  ResultWriter writer;
  for (auto _ : state) {
    BufferPtr buffer(gst_buffer_new());
    Frame after = frame;
    writer.write(buffer.get(), size, {}, nullptr, after);
  }
}

void read(benchmark::State& state) {
  gst_init(nullptr, nullptr);
  Frame frame = frame_of(state.range(0)), back;
  ResultWriter writer;
  BufferPtr buffer(gst_buffer_new());
  writer.write(buffer.get(), size, {}, nullptr, frame);
  for (auto _ : state) {
    back.clear();
    read_results(buffer.get(), size, back);
  }
}

void move(benchmark::State& state) {
  gst_init(nullptr, nullptr);
  Frame frame = frame_of(state.range(0));
  ResultWriter writer;
  BufferPtr buffer(gst_buffer_new());
  writer.write(buffer.get(), size, {}, nullptr, frame);
  for (auto _ : state) {
    Frame after = frame;
    for (Region& region : after.regions) region.box.y = region.box.y > .4f ? .2f : region.box.y + .05f;
    writer.write(buffer.get(), size, frame.regions, frame.attributes, after);
    frame = std::move(after);
  }
}

BENCHMARK(write)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(read)->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(move)->Arg(10)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace sightglass::gst
