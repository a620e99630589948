// The life cycle under events in any order: what must hold at every moment, whatever happens.
#include <gtest/gtest.h>

#include <random>

#include "sightglass/stream/lifecycle/machine_test_support.h"

namespace sightglass::stream {
namespace {

using Command = StreamMachine::Command;

class Chaos {
 public:
  explicit Chaos(uint64_t seed) : random_(seed), run_(rules()) {
    for (uint8_t i = 0; i < 3; ++i) writers_.push_back({.producer = uuid_of(i, uint8_t(0x10 + 3 * i))});
  }

  void step() {
    run_.log.clear();
    run_.said.clear();
    event();
    check();
  }

  // The module drains: every stream comes to its end within bounded time.
  void finish() {
    run_.log.clear();
    run_.said.clear();
    run_.command(Command::drain);
    run_.pass(100 * second);
    EXPECT_TRUE(run_.instances.empty());
    EXPECT_FALSE(has_instance(run_.state()));
    EXPECT_EQ(run_.machine.counts().in_instance, 0u);
    check();
  }
  const Runner& run() const { return run_; }

 private:
  static StreamRules rules() {
    StreamRules rules;
    rules.max_failures = 4;
    rules.max_frame_errors = 3;
    rules.blacklist_max = 300 * second;
    return rules;
  }
  bool one_in(unsigned n) { return random_() % n == 0; }

  void event() {
    switch (random_() % 20) {
      default:
        message();
        break;
      case 0:
        run_.pass(Time(random_() % (4 * second)));
        break;
      case 1:
        if (one_in(4)) run_.pass(Time(random_() % (40 * second)));
        break;
      case 2:
        run_.has_room = !one_in(3);
        [[fallthrough]];
      case 3:
        run_.act([&](Actions&) { run_.machine.room(any_instance(), run_.now); });
        break;
      case 4:
        [[fallthrough]];
      case 5:
        run_.decode();
        break;
      case 6:
        [[fallthrough]];
      case 7:
        results();
        break;
      case 8: {
        const uint32_t instance = any_instance();
        if (run_.instances.contains(instance) && (run_.instances.at(instance).eos || one_in(20)))
          run_.end(instance);
        break;
      }
      case 9:
        if (one_in(8)) run_.fail(StreamMachine::Fault(random_() % 7), "broken", any_instance());
        break;
      case 10:
        run_.act([&](Actions& actions) {
          if (one_in(2)) run_.machine.frame_error(any_instance(), run_.now, actions);
        });
        break;
      case 11:
        run_.place = Runner::Place(random_() % 3);
        run_.builds = !one_in(4);
        run_.tears_down = !one_in(4);
        run_.retains_eos = one_in(2);
        break;
      case 12:
        run_.act([&](Actions& actions) { run_.machine.built(any_instance(), run_.now, actions); });
        break;
      case 13:
        run_.grant();
        break;
      case 14: {
        static constexpr std::array commands = {
            Command::end,   Command::quarantine,       Command::release, Command::recycle,
            Command::evict, Command::request_keyframe, Command::revoke,  Command::abandon};
        if (one_in(5)) run_.command(commands[random_() % commands.size()]);
        break;
      }
      case 15:
        run_.act([&](Actions& actions) {
          if (!run_.reaped.empty())
            run_.machine.torn_down(run_.reaped[random_() % run_.reaped.size()], run_.now, actions);
        });
        break;
    }
  }

  uint32_t any_instance() { return one_in(3) ? run_.machine.old_instance() : run_.machine.instance(); }

  void results() {
    const uint32_t instance = any_instance();
    const auto found = run_.instances.find(instance);
    if (found == run_.instances.end()) return;
    auto& frames = found->second.frames;
    for (size_t i = random_() % 8; i > 0 && !frames.empty(); --i) {
      run_.machine.result(
          instance,
          frames.front().replay ? StreamMachine::Outcome::replay : StreamMachine::Outcome(random_() % 3),
          run_.now);
      frames.pop_front();
    }
    run_.machine.settled(!one_in(10), random_() % 10);
  }

  void message() {
    Writer& writer = writers_[one_in(15) ? random_() % writers_.size() : 0];
    if (one_in(20)) writer.seq += int64_t(random_() % 5);
    if (one_in(60)) writer.pts = int64_t(random_() % (1000 * second)) - 100 * second;
    if (one_in(200)) ++writer.epoch, writer.seq = 0;
    if (one_in(80)) writer.width = 320 << (random_() % 3);
    if (one_in(200))
      writer.codec = std::array{Codec::h264, Codec::jpeg, Codec::hevc, Codec::none}[random_() % 4];
    FrameFacts facts;
    switch (random_() % 40) {
      case 0:
        facts = writer.eos();
        break;
      case 1:
        facts = writer.other(MessageKind::user_data);
        break;
      case 2:
        facts = writer.other(MessageKind::frame_update);
        break;
      case 3:
        facts = writer.other(MessageKind::stream_update);
        facts.discontinuity = one_in(2);
        break;
      case 4:
        facts = last_;
        facts.replay = one_in(2);
        break;
      default:
        facts = writer.frame(one_in(10));
        last_ = facts;
    }
    run_.now += Time(random_() % (50 * millisecond));
    run_.arrive(facts);
  }

  void check() {
    const StreamMachine& machine = run_.machine;
    // Instances: one, or two while one of them drains.
    const bool two = machine.state() == LifeState::switching || machine.state() == LifeState::draining;
    ASSERT_LE(run_.instances.size(), two ? 2u : 1u);
    ASSERT_EQ(run_.instances.size(), size_t(machine.instance() != 0) + size_t(machine.old_instance() != 0));
    if (!has_instance(machine.state())) {
      ASSERT_TRUE(run_.instances.empty());
    }
    // Every frame is in exactly one place.
    const FrameCounts& counts = machine.counts();
    const auto queue = run_.queue.counts();
    ASSERT_TRUE(counts.balanced());
    ASSERT_EQ(queue.received, queue.dropped + queue.queued + counts.taken);
    uint64_t inside = 0;
    for (const auto& [id, instance] : run_.instances) inside += instance.frames.size();
    ASSERT_EQ(counts.in_instance, inside);
    // The stream's clock grows from keyframe to keyframe.
    for (const auto& said : run_.said) {
      if (said.verdict.kind != Verdict::Kind::push || said.facts.kind != MessageKind::frame) continue;
      ASSERT_GE(said.verdict.pts, 0);
      if (clock_epoch_ != said.verdict.instance) greatest_ = no_time;
      clock_epoch_ = said.verdict.instance;
      if (said.facts.keyframe && !said.facts.rewound) {
        ASSERT_GT(said.verdict.pts, greatest_);
      }
      greatest_ = std::max(greatest_, said.verdict.pts);
    }
    // Only the transitions of the table, each starting where the last one ended.
    for (const Action& action : run_.log) {
      if (action.kind != Action::Kind::state_changed) continue;
      ASSERT_EQ(action.from, state_);
      ASSERT_TRUE(may_follow(action.from, action.to))
          << to_string(action.from) << " → " << to_string(action.to);
      state_ = action.to;
    }
    ASSERT_EQ(state_, machine.state());
    // Nothing waits without end, and nothing that is due is left.
    if (machine.state() != LifeState::absent || counts.taken > 0) {
      ASSERT_NE(machine.next_deadline(), never) << to_string(machine.state());
    }
    run_.pass(0);
    for (const Action& action : run_.log)
      if (action.kind == Action::Kind::state_changed) state_ = action.to;
    run_.log.clear();
    ASSERT_GT(machine.next_deadline(), run_.now) << to_string(machine.state());
    if (machine.state() == LifeState::quarantined) {
      ASSERT_LE(machine.retry_at() - machine.since(), 60 * second);
    }
  }

  std::mt19937_64 random_;
  Runner run_;
  std::vector<Writer> writers_;
  FrameFacts last_;
  LifeState state_ = LifeState::absent;
  Time greatest_ = no_time;
  uint32_t clock_epoch_ = 0;
};

TEST(StreamMachineProperties, HoldUnderEventsInAnyOrder) {
  std::map<LifeState, int> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    Chaos chaos(seed);
    for (int i = 0; i < 5'000; ++i) {
      chaos.step();
      ++seen[chaos.run().state()];
      if (testing::Test::HasFatalFailure()) return;
    }
    chaos.finish();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(seen.size(), life_states) << "every state was visited";
}

}  // namespace
}  // namespace sightglass::stream
