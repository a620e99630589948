// What the life cycle costs per frame: the queue, the machine, and both as the runner uses them.
#include <benchmark/benchmark.h>

#include "sightglass/stream/lifecycle/frame_queue.h"
#include "sightglass/stream/lifecycle/stream_machine.h"

namespace sightglass::stream {
namespace {

FrameFacts next_frame(int64_t seq) {
  FrameFacts facts;
  facts.seq = seq;
  facts.keyframe = seq % 25 == 0;
  facts.codec = Codec::h264;
  facts.width = 1920;
  facts.height = 1080;
  facts.frame_rate = {25, 1};
  facts.pts = seq * 40 * millisecond;
  facts.bytes = 20'000;
  for (int i = 0; i < 8; ++i) facts.uuid[size_t(15 - i)] = uint8_t(seq >> (8 * i));
  return facts;
}

struct Stream {
  Stream() {
    const FrameFacts first = next_frame(0);
    machine.offer(first, now, actions);
    machine.slot_granted(now, actions);
    machine.offer(first, now, actions);
    machine.built(1, now, actions);
    step(first);
    machine.first_decoded(1, now, actions);
  }
  void step(const FrameFacts& facts) {
    actions.clear();
    now += 40 * millisecond;
    const Verdict verdict = machine.offer(facts, now, actions);
    if (verdict.kind != Verdict::Kind::push) std::abort();
    machine.pushed(now, actions);
    machine.result(1, StreamMachine::Outcome::stored, now);
    machine.settled(true);
    benchmark::DoNotOptimize(machine.next_deadline());
  }
  StreamMachine machine{std::make_shared<StreamRules>()};
  Actions actions;
  Time now = 0;
};

void frame_event(benchmark::State& state) {
  Stream stream;
  int64_t seq = 1;
  for (auto _ : state) stream.step(next_frame(seq++));
}
BENCHMARK(frame_event);

void queue_and_frame_event(benchmark::State& state) {
  Stream stream;
  FrameQueue<std::shared_ptr<int>> queue(FrameQueueLimits{});
  auto payload = std::make_shared<int>(0);
  int64_t seq = 1;
  for (auto _ : state) {
    queue.push(next_frame(seq++), payload, [](const FrameFacts&, std::shared_ptr<int>&) {});
    auto* item = queue.front();
    stream.step(item->facts);
    payload = std::move(item->payload);
    queue.take();
  }
}
BENCHMARK(queue_and_frame_event);

}  // namespace
}  // namespace sightglass::stream
