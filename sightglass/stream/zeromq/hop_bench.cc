// A hop: from send() of one end to next() of the other over ipc, with 100 kB of picture that is passed
// through.
//
//   hop/push      one message at a time: the latency that a hop adds
//   rate/push     as fast as it goes
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <thread>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;

struct Line {
  std::unique_ptr<ZmqReader> reader;
  std::unique_ptr<ZmqWriter> writer;
  Payload payload = own(std::vector<uint8_t>(100'000, 1));

  Line(const char* in, const char* out, int number) {
    const std::string place = std::format("ipc:///tmp/sightglass-hop-{}-{}.sock", getpid(), number);
    ZmqReaderOptions reading;
    reading.level = AckLevel::accepted;
    reader = std::move(*ZmqReader::open(*parse_url(std::format("{}+bind:{}", in, place)), reading));
    writer = std::move(*ZmqWriter::open(*parse_url(std::format("{}+connect:{}", out, place)), {}));
  }
  bool send() {
    Message message;
    message.source_id = "cam-1";
    VideoFrame& frame = message.frame.emplace();
    frame.uuid = make_uuid_v7();
    frame.width = 1920, frame.height = 1080;
    frame.codec = "av1";
    frame.keyframe = true;
    set_part(frame, payload.bytes);
    return writer->send(message, payload).has_value();
  }
  bool receive(benchmark::State& state) {
    auto received = reader->next(10s);
    if (!received || !*received) {
      state.SkipWithError("not received");
      return false;
    }
    benchmark::DoNotOptimize((*received)->delivery.payloads.front().bytes.data());
    if ((*received)->delivery.settlement) (*received)->delivery.settlement->accepted();
    return true;
  }
};

void hop(benchmark::State& state, const char* in, const char* out) {
  Line line(in, out, 0);
  if (!line.send() || !line.receive(state)) return;
  for (auto _ : state) {
    if (!line.send() || !line.receive(state)) return;
  }
}

void rate(benchmark::State& state, const char* in, const char* out) {
  Line line(in, out, 1);
  std::thread sender([&] {
    while (line.send()) {
    }
  });
  for (auto _ : state) {
    if (!line.receive(state)) break;
  }
  line.writer->close();
  sender.join();
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(hop, push, "pull", "push")->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(hop, dealer, "router", "dealer")->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(rate, push, "pull", "push")->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(rate, dealer, "router", "dealer")->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass::stream
