// cancel() has to get through whatever a flow waits for.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "sightglass/flow/flow_test_support.h"

namespace sightglass {
namespace {

// Cancels and gives the milliseconds until wait() has returned.
double milliseconds_to_cancel(Flow& flow) {
  const auto start = std::chrono::steady_clock::now();
  flow.cancel();
  const Status status = flow.wait();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  EXPECT_FALSE(status);
  if (!status) {
    EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  }
  return taken.count();
}

// The best of a few attempts, since other programs may have the processor meanwhile.
template <class Attempt>
double least_of(Attempt attempt) {
  double least = attempt();
  for (int i = 0; i < 9 && least >= 100; ++i) least = std::min(least, attempt());
  return least;
}

double cancel_blocking_source() {
  Chain chain;
  auto* source = chain.add<BlockingSource>("blocks", ElementKind::source);
  chain.element("queue");
  chain.inplace("a");
  EXPECT_TRUE(chain.flow.start());
  source->wait_until_blocked();
  return milliseconds_to_cancel(chain.flow);
}
TEST(FlowCancel, ASourceThatBlocks) { EXPECT_LT(least_of(cancel_blocking_source), 100); }

double cancel_full_queue() {
  Chain chain;
  std::promise<void> filled;
  // The queue takes two, its reader has one, and the writer waits with the next.
  chain.source({.frames = 1000, .change = [&](int n, Frame&) {
                  if (n == 3) filled.set_value();
                }});
  chain.element("queue", {{"max-size-buffers", "2"}});
  chain.element("frame_sink", {{"max-buffers", "1"}}, "nobody_pulls");
  EXPECT_TRUE(chain.flow.start());
  filled.get_future().wait();
  return milliseconds_to_cancel(chain.flow);
}
TEST(FlowCancel, AQueueThatIsFull) { EXPECT_LT(least_of(cancel_full_queue), 100); }

double cancel_exchange() {
  auto flow = Flow::parse(
      "frame_source name=in max-buffers=1 ! frame_sink name=out max-buffers=1  "
      "frame_source name=silent ! frame_sink name=empty");
  EXPECT_TRUE(flow && flow->start());
  std::promise<void> begun;
  std::thread pushes([&] {
    const Frame frame = small_frame(0);
    for (int n = 0;; ++n) {
      if (n == 1) begun.set_value();
      if (!flow->push("in", frame)) break;
    }
  });
  std::thread pulls([&] { EXPECT_FALSE(flow->pull("empty")); });
  begun.get_future().wait();
  const double taken = milliseconds_to_cancel(*flow);
  pushes.join();
  pulls.join();
  return taken;
}
TEST(FlowCancel, AProgramThatPullsAndOneThatPushes) { EXPECT_LT(least_of(cancel_exchange), 100); }

double cancel_join() {
  Chain chain;
  chain.source({.frames = 1000000});
  const auto join = chain.element("meta_aggregate");
  chain.from(std::nullopt);
  auto* blocks = chain.add<BlockingSource>("blocks", ElementKind::source);
  EXPECT_TRUE(chain.flow.link(chain.last, join));
  EXPECT_TRUE(chain.flow.start());
  blocks->wait_until_blocked();
  return milliseconds_to_cancel(chain.flow);
}
TEST(FlowCancel, AJoinThatWaits) { EXPECT_LT(least_of(cancel_join), 100); }

TEST(FlowCancel, IsNoErrorAfterTheEnd) {
  Chain chain;
  chain.source();
  EXPECT_EQ(text_of(chain.run()), "");
  chain.flow.cancel();
  EXPECT_EQ(text_of(chain.flow.wait()), "");
}

TEST(FlowCancel, AFlowThatIsDestroyedWhileItRuns) {
  Chain chain;
  auto* source = chain.add<BlockingSource>("blocks", ElementKind::source);
  chain.inplace("a");
  ASSERT_TRUE(chain.flow.start());
  source->wait_until_blocked();
}

TEST(FlowCancel, FinishEndsSourcesAndDrainsTheRest) {
  Chain chain;
  auto* source = chain.add<BlockingSource>("blocks", ElementKind::source);
  chain.element("queue");
  auto* last = chain.inplace("last");
  ASSERT_TRUE(chain.flow.start());
  source->wait_until_blocked();
  chain.flow.finish();
  EXPECT_EQ(text_of(chain.flow.wait()), "");
  EXPECT_EQ(last->drained, 1);
}

TEST(FlowCancel, FromManyThreadsAtOnce) {
  Chain chain;
  chain.source({.frames = 1000000});
  chain.element("queue");
  chain.inplace("a");
  chain.element("queue");
  ASSERT_TRUE(chain.flow.start());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      (void)chain.flow.stats();
      chain.flow.cancel();
      EXPECT_FALSE(chain.flow.wait());
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace sightglass
