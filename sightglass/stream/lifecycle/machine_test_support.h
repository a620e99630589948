// For tests of the life cycle: a runner without pipelines and threads, on a clock that the test moves. It
// answers what it is told to answer at once (places, building) and leaves the rest (decoding, results, ends)
// to the test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/stream/lifecycle/frame_queue.h"
#include "sightglass/stream/lifecycle/stream_machine.h"

namespace sightglass::stream {

inline Uuid uuid_of(uint64_t number, uint8_t kind = 0) {
  Uuid uuid{};
  for (int i = 0; i < 8; ++i) uuid[size_t(15 - i)] = uint8_t(number >> (8 * i));
  uuid[0] = kind;
  uuid[6] = 0x70;
  return uuid;
}
inline const Uuid camera = uuid_of(1, 0x10);  // a writer; later ones are younger

// Builds the messages of one writer's epoch.
struct Writer {
  Uuid producer = camera;
  int64_t epoch = 0, seq = 0;
  Codec codec = Codec::h264;
  int width = 640, height = 480;
  Fraction frame_rate{25, 1};
  int64_t pts = 0;

  FrameFacts frame(bool keyframe) {
    FrameFacts facts;
    facts.keyframe = keyframe;
    facts.producer = producer;
    facts.epoch = epoch;
    facts.uuid = uuid_of(uint64_t(seq) + (uint64_t(epoch) << 32), producer[15]);
    facts.seq = seq++;
    facts.codec = codec;
    facts.width = width;
    facts.height = height;
    facts.frame_rate = frame_rate;
    facts.pts = std::exchange(pts, pts + 40 * millisecond);
    facts.bytes = 1000;
    return facts;
  }
  FrameFacts key() { return frame(true); }
  FrameFacts delta() { return frame(false); }
  FrameFacts other(MessageKind kind) {
    FrameFacts facts;
    facts.kind = kind;
    facts.producer = producer;
    facts.epoch = epoch;
    facts.seq = seq++;
    return facts;
  }
  FrameFacts eos() { return other(MessageKind::end_of_stream); }
};

class Runner {
 public:
  enum class Place : uint8_t { granted, pending, refused, silent };
  struct Simulated {
    std::deque<FrameFacts> frames;
    std::vector<Time> pts;
    bool eos = false;
    uint8_t decoder = 0;
    bool results_held = false;
  };
  struct Said {
    FrameFacts facts;
    Verdict verdict;
  };

  explicit Runner(StreamRules rules = {}) : machine(std::make_shared<StreamRules>(rules), 7) {}

  // ── what happens ──
  void arrive(const FrameFacts& facts, bool pumps = true) {
    int payload = 0;
    queue.push(facts, payload, [](const FrameFacts&, int&) {});
    if (pumps) pump();
  }
  void decode() {
    act([&](Actions& actions) { machine.first_decoded(machine.instance(), now, actions); });
  }
  // All frames of an instance come out.
  void results(uint32_t instance = 0) {
    if (instance == 0) instance = machine.instance();
    Simulated& simulated = instances.at(instance);
    for (const FrameFacts& facts : simulated.frames)
      machine.result(instance, facts.replay ? StreamMachine::Outcome::replay : StreamMachine::Outcome::stored,
                     now);
    simulated.frames.clear();
    machine.settled(true, machine.counts().in_sinks);
  }
  void end(uint32_t instance = 0) {
    if (instance == 0) instance = machine.instance();
    act([&](Actions& actions) { machine.ended(instance, now, actions); });
  }
  void fail(StreamMachine::Fault fault, std::string_view text = "broken", uint32_t instance = 0) {
    if (instance == 0) instance = machine.instance();
    act([&](Actions& actions) { machine.failed(instance, fault, text, now, actions); });
  }
  bool command(StreamMachine::Command command) {
    bool accepted = false;
    act([&](Actions& actions) { accepted = machine.command(command, now, actions); });
    return accepted;
  }
  void grant() {
    act([&](Actions& actions) { machine.slot_granted(now, actions); });
  }
  // Time passes; everything that is due on the way happens when it is.
  void pass(Time span) {
    const Time end = now + span;
    while (machine.next_deadline() <= end) {
      now = std::max(now, machine.next_deadline());
      act([&](Actions& actions) { machine.tick(now, actions); });
    }
    now = end;
  }
  // A stream that runs: one keyframe in and out.
  void go_live(Writer& writer) {
    arrive(writer.key());
    decode();
    results();
    log.clear();
    said.clear();
  }
  template <class Event>
  void act(Event&& event) {
    Actions actions;
    event(actions);
    execute(actions);
    pump();
  }

  // ── what came of it ──
  LifeState state() const { return machine.state(); }
  size_t count(Action::Kind kind) const { return size_t(std::ranges::count(log, kind, &Action::kind)); }
  const Action* find(Action::Kind kind) const {
    const auto found = std::ranges::find(log, kind, &Action::kind);
    return found == log.end() ? nullptr : &*found;
  }
  bool notified(Action::Notice notice) const {
    return std::ranges::any_of(log, [&](const Action& action) {
      return action.kind == Action::Kind::stream_update && action.notice == notice;
    });
  }
  std::vector<EosReason> ends() const {
    std::vector<EosReason> reasons;
    for (const Action& action : log)
      if (action.kind == Action::Kind::eos_to_sinks) reasons.push_back(action.reason);
    return reasons;
  }
  uint64_t dropped(DropReason reason) const { return machine.counts().dropped[size_t(reason)]; }
  const Verdict& last() const { return said.back().verdict; }
  Simulated& instance() { return instances.at(machine.instance()); }

  Time now = 1000 * second;
  StreamMachine machine;
  FrameQueue<int> queue{FrameQueueLimits{}};
  std::map<uint32_t, Simulated> instances;  // those that were not reaped
  std::vector<Action> log;
  std::vector<Said> said;  // verdicts other than hold
  std::vector<uint32_t> reaped;
  Place place = Place::granted;
  bool retains_eos = true;  // like the frames before it, while the instance starts
  bool builds = true;       // at once
  bool has_room = true;     // in every instance
  bool tears_down = true;
  uint64_t forgotten = 0;

  void pump() {
    for (;;) {
      auto* item = queue.front();
      if (!item) return;
      Actions actions;
      const FrameFacts facts = item->facts;
      const Verdict verdict = machine.offer(facts, now, actions);
      const bool asked = !actions.empty();
      execute(actions);
      switch (verdict.kind) {
        case Verdict::Kind::hold:
          if (!asked) return;
          continue;  // an answer may have come at once
        case Verdict::Kind::push: {
          if (!has_room) {
            machine.full(now);
            return;
          }
          Simulated& simulated = instances.at(verdict.instance);
          if (facts.kind == MessageKind::frame) {
            simulated.frames.push_back(facts);
            simulated.pts.push_back(verdict.pts);
          }
          EXPECT_FALSE(simulated.eos) << "a frame behind EOS";
          Actions after;
          machine.pushed(now, after);
          queue.take(machine.retains());
          said.push_back({facts, verdict});
          execute(after);
          break;
        }
        default:
          queue.take(retains_eos && machine.retains() && verdict.kind == Verdict::Kind::end);
          said.push_back({facts, verdict});
      }
    }
  }

 private:
  // In the order in which they were asked for: what an answer asks for comes after the rest of its list.
  void execute(const Actions& actions) {
    todo_.insert(todo_.end(), actions.begin(), actions.end());
    if (std::exchange(is_executing_, true)) return;
    while (!todo_.empty()) {
      const Action action = todo_.front();
      todo_.pop_front();
      log.push_back(action);
      Actions more;
      switch (action.kind) {
        case Action::Kind::acquire_slot:
          if (place == Place::granted) machine.slot_granted(now, more);
          if (place == Place::pending) machine.slot_pending(now, more);
          if (place == Place::refused) machine.slot_refused(now, more);
          break;
        case Action::Kind::build_instance:
          instances[action.instance] = {.decoder = action.decoder, .results_held = action.hold_results};
          if (builds) machine.built(action.instance, now, more);
          break;
        case Action::Kind::push_eos:
          EXPECT_FALSE(instances.at(action.instance).eos) << "two EOS";
          instances.at(action.instance).eos = true;
          break;
        case Action::Kind::queue_eos: {
          FrameFacts facts;
          facts.kind = MessageKind::end_of_stream;
          facts.local = true;
          facts.epoch = action.epoch;
          facts.eos_reason = action.reason;
          arrive(facts, false);
          break;
        }
        case Action::Kind::release_results:
          instances.at(action.instance).results_held = false;
          break;
        case Action::Kind::reap:
          EXPECT_EQ(instances.erase(action.instance), 1u);
          reaped.push_back(action.instance);
          if (tears_down) machine.torn_down(action.instance, now, more);
          break;
        case Action::Kind::rewind:
          machine.rewound(queue.rewind(), now, more);
          break;
        case Action::Kind::forget_taken:
          queue.forget_taken();
          break;
        case Action::Kind::forget:
          ++forgotten;
          break;
        default:
          break;
      }
      execute(more);
    }
    is_executing_ = false;
  }

  std::deque<Action> todo_;
  bool is_executing_ = false;
};

}  // namespace sightglass::stream
