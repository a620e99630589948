#include "sightglass/stream/lifecycle/strand.h"

#include <gtest/gtest.h>

#include <barrier>
#include <future>
#include <latch>

#include "sightglass/core/allocation_count.h"
#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::stream {
namespace {

void finish(Strand& strand) {
  auto done = std::make_shared<std::promise<void>>();  // also held while it is being fulfilled
  strand.post([done] { done->set_value(); });
  done->get_future().wait();
}

TEST(Strand, RunsItsTasksInOrderAndNeverTwoAtATime) {
  std::atomic<int> running = 0;
  int next = 0;  // unprotected: the strand is the protection
  std::vector<std::thread> posters;
  std::array<int, 4> last{};
  StrandPool pool({.threads = 3});
  auto strand = pool.make();
  for (int p = 0; p < 4; ++p)
    posters.emplace_back([&, p] {
      for (int i = 1; i <= 2000; ++i)
        strand->post([&, p, i] {
          EXPECT_EQ(++running, 1);
          EXPECT_EQ(last[size_t(p)] + 1, i);
          last[size_t(p)] = i;
          ++next;
          --running;
        });
    });
  for (auto& poster : posters) poster.join();
  finish(*strand);
  EXPECT_EQ(next, 8000);
}

TEST(Strand, StrandsRunSideBySide) {
  std::barrier both(2);
  std::latch done(2);
  StrandPool pool({.threads = 2});
  auto a = pool.make(), b = pool.make();
  for (auto* strand : {&a, &b})
    (*strand)->post([&] {
      both.arrive_and_wait();
      done.count_down();
    });
  done.wait();
}

TEST(Strand, ABusyStrandLetsOthersHaveTheirTurn) {
  std::promise<void> hold;
  auto held = hold.get_future().share();
  int ran = 0, seen = -1;
  StrandPool pool({.threads = 1});
  auto busy = pool.make(), other = pool.make();
  busy->post([held] { held.wait(); });
  for (int i = 0; i < 1000; ++i) busy->post([&ran] { ++ran; });
  other->post([&] { seen = ran; });
  hold.set_value();
  finish(*other);
  finish(*busy);
  EXPECT_LT(seen, 20);
  EXPECT_EQ(ran, 1000);
}

TEST(Strand, SaysSinceWhenItIsBusy) {
  std::atomic<Time> now = 100;
  std::promise<void> hold, started;
  StrandPool pool({.threads = 1, .now = [&] { return now.load(); }});
  auto strand = pool.make();
  EXPECT_EQ(strand->busy_since(), no_time);
  strand->post([&] {
    started.set_value();
    hold.get_future().wait();
  });
  started.get_future().wait();
  now = 5000;
  EXPECT_EQ(strand->busy_since(), 100);
  strand->post([&] { EXPECT_EQ(strand->busy_since(), 5000); });
  hold.set_value();
  auto after = pool.make();
  finish(*strand);
  finish(*after);  // one thread: the strand has been left by then
  EXPECT_EQ(strand->busy_since(), no_time);
}

struct FakeTime {
  std::atomic<Time> now = 0;
  std::atomic<int> fired = 0;
  StrandPool pool{{.threads = 1, .now = [this] { return now.load(); }}};
  std::shared_ptr<Strand> strand = pool.make([this] {
    ++fired;
    fired.notify_all();
  });
  void move_to(Time time) {
    now = time;
    pool.check_timers();
  }
  void wait_for(int count) {
    for (int have = fired; have < count; have = fired) fired.wait(have);
  }
};

TEST(StrandTimer, FiresOnItsStrandOnceItsTimeHasCome) {
  FakeTime time;
  time.strand->arm(1000);
  time.move_to(999);
  finish(*time.strand);
  EXPECT_EQ(time.fired, 0);
  time.move_to(1000);
  time.wait_for(1);
  time.move_to(100'000);
  finish(*time.strand);
  EXPECT_EQ(time.fired, 1);
}

TEST(StrandTimer, EarlierAndLaterDeadlinesReplaceTheOneBefore) {
  FakeTime time;
  time.strand->arm(1000);
  time.strand->arm(500);
  time.move_to(500);
  time.wait_for(1);
  time.strand->arm(2000);
  time.strand->arm(3000);
  time.move_to(2500);
  auto probe = time.pool.make([&] {
    time.fired += 100;
    time.fired.notify_all();
  });
  probe->arm(2500);  // behind the other in the heap of the timer thread
  time.pool.check_timers();
  time.wait_for(101);
  EXPECT_EQ(time.fired, 101);
  time.move_to(3000);
  time.wait_for(102);
  time.strand->arm(4000);
  time.strand->arm(never);
  probe->arm(4000);
  time.move_to(4000);
  time.wait_for(202);
  EXPECT_EQ(time.fired, 202);
}

TEST(StrandTimer, WorksOnTheRealClock) {
  std::promise<void> fired;
  StrandPool pool;
  auto strand = pool.make([&] { fired.set_value(); });
  strand->arm(pool.now() + millisecond);
  fired.get_future().wait();
}

TEST(Strand, ClosedStrandRunsNothingMore) {
  std::promise<void> hold, started;
  StrandPool pool({.threads = 1});
  auto strand = pool.make();
  auto token = std::make_shared<int>(0);
  strand->post([&] {
    started.set_value();
    hold.get_future().wait();
  });
  started.get_future().wait();
  strand->post([token] { ADD_FAILURE(); });
  strand->close();
  EXPECT_EQ(token.use_count(), 1) << "dropped";
  strand->post([token] { ADD_FAILURE(); });
  EXPECT_EQ(token.use_count(), 1);
  hold.set_value();
}

TEST(Strand, MayGoWhileItsTasksWait) {
  auto token = std::make_shared<int>(0);
  {
    StrandPool pool({.threads = 1});
    auto keep = pool.make([token] {});
    for (int i = 0; i < 100; ++i) {
      auto strand = pool.make([token] {});
      strand->arm(pool.now() + i);
      strand->post([token, strand] { EXPECT_TRUE(strand->is_current()); });
    }
    keep.reset();
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Strand, PostsWithoutAllocationOnceWarm) {
  std::array<std::byte, 80> payload{};
  std::atomic<int> ran = 0;
  std::atomic<bool> go = false;
  StrandPool pool({.threads = 1});
  auto strand = pool.make();
  const auto round = [&] {
    go = false;
    ran = 0;
    strand->post([&go] { go.wait(false); });
    for (int i = 0; i < 50; ++i) strand->post([payload, &ran] { ran += int(payload[0]) + 1; });
    go = true;
    go.notify_all();
    for (int have = ran; have < 50; have = ran) std::this_thread::yield();
  };
  round();
  finish(*strand);
  const size_t before = allocation_count();
  for (int i = 0; i < 20; ++i) round();
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass::stream
