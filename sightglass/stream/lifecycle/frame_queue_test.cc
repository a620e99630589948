#include "sightglass/stream/lifecycle/frame_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "sightglass/core/allocation_count.h"
#include "sightglass/stream/lifecycle/machine_test_support.h"

namespace sightglass::stream {
namespace {

using Queue = FrameQueue<std::shared_ptr<int>>;
using Status = Queue::Status;

struct Pushing {
  Queue& queue;
  std::vector<int64_t> dropped;
  Status operator()(const FrameFacts& facts) {
    auto payload = std::make_shared<int>(int(facts.seq));
    const auto pushed = queue.push(
        facts, payload, [&](const FrameFacts& gone, std::shared_ptr<int>&) { dropped.push_back(gone.seq); });
    return pushed.status;
  }
};
std::vector<int64_t> drain(Queue& queue) {
  std::vector<int64_t> seqs;
  while (auto* item = queue.front()) {
    seqs.push_back(item->facts.seq);
    queue.take();
  }
  return seqs;
}

TEST(FrameQueue, BlockLeavesTheMessageWithTheCaller) {
  Queue queue({.frames = 2, .policy = QueuePolicy::block});
  Pushing push{queue};
  Writer writer;
  EXPECT_EQ(push(writer.key()), Status::taken);
  EXPECT_EQ(push(writer.delta()), Status::taken);
  EXPECT_FALSE(queue.has_room());
  auto payload = std::make_shared<int>(7);
  EXPECT_EQ(queue.push(writer.delta(), payload, [](auto&, auto&) {}).status, Status::full);
  ASSERT_TRUE(payload);
  EXPECT_EQ(queue.counts().received, 2u);
  EXPECT_FALSE(queue.wait_for_room(std::chrono::nanoseconds(0)));
  queue.front();
  queue.take();
  EXPECT_TRUE(queue.wait_for_room(std::chrono::nanoseconds(0)));
}

TEST(FrameQueue, AfterADropNothingIsTakenUntilTheNextKeyframe) {
  Queue queue({.frames = 3, .policy = QueuePolicy::drop_to_keyframe});
  Pushing push{queue};
  Writer writer;
  push(writer.key());    // 0
  push(writer.delta());  // 1
  push(writer.delta());  // 2
  EXPECT_EQ(push(writer.delta()), Status::dropped);
  queue.front();
  queue.take();
  EXPECT_EQ(push(writer.delta()), Status::dropped) << "room, but it builds on what is gone";
  EXPECT_EQ(push(writer.key()), Status::taken);  // 5
  EXPECT_EQ(push.dropped, (std::vector<int64_t>{3, 4}));
  queue.front(), queue.take();
  queue.front(), queue.take();
  EXPECT_EQ(queue.front()->facts.seq, 5);
  EXPECT_EQ(queue.front()->facts.dropped_before, 2u);
}

TEST(FrameQueue, KeyframeReplacesWhatWaitsInAFullQueue) {
  Queue queue({.frames = 3, .policy = QueuePolicy::drop_to_keyframe});
  Pushing push{queue};
  Writer writer;
  push(writer.key());
  push(writer.delta());
  push(writer.other(MessageKind::stream_update));  // 2
  push(writer.delta());
  EXPECT_EQ(push(writer.key()), Status::taken);  // 4
  EXPECT_EQ(push.dropped, (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(queue.front()->facts.seq, 2);
  EXPECT_EQ(queue.front()->facts.dropped_before, 2u);
  queue.take();
  EXPECT_EQ(queue.front()->facts.dropped_before, 1u);
  const auto counts = queue.counts();
  EXPECT_EQ(counts.received, counts.dropped + counts.queued);
}

TEST(FrameQueue, WhatIsFetchedForTheFrontCounts) {
  Queue queue({.frames = 8, .bytes = 100, .policy = QueuePolicy::block});
  Pushing push{queue};
  Writer writer;
  FrameFacts named = writer.key();
  named.bytes = 0;
  EXPECT_EQ(push(named), Status::taken);
  queue.front();
  queue.set_front_bytes(150);
  EXPECT_EQ(queue.counts().queued_bytes, 150u);
  EXPECT_FALSE(queue.has_room());
  EXPECT_EQ(push(writer.delta()), Status::full);
  queue.take(true);
  EXPECT_EQ(queue.counts().queued_bytes, 0u);
  EXPECT_TRUE(queue.has_room());
}

TEST(FrameQueue, LatestKeepsTheNewestPicture) {
  Queue queue({.frames = 2, .policy = QueuePolicy::latest});
  Pushing push{queue};
  Writer writer{.codec = Codec::jpeg};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(push(writer.key()), Status::taken);
  EXPECT_EQ(push.dropped, (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(drain(queue), std::vector<int64_t>{4});
}

TEST(FrameQueue, EosAndStreamUpdateHaveAReserve) {
  for (const QueuePolicy policy : {QueuePolicy::block, QueuePolicy::drop_to_keyframe, QueuePolicy::latest}) {
    Queue queue({.frames = 2, .reserve = 3, .policy = policy});
    Pushing push{queue};
    Writer writer;
    push(writer.key());
    push(writer.delta());
    EXPECT_EQ(push(writer.other(MessageKind::stream_update)), Status::taken);
    EXPECT_EQ(push(writer.eos()), Status::taken);
    EXPECT_EQ(push(writer.eos()), Status::taken);
    EXPECT_FALSE(queue.would_take(writer.eos(), policy));
    EXPECT_EQ(push(writer.eos()), Status::full) << "with the caller, not dropped";
    FrameFacts ours;
    ours.kind = MessageKind::end_of_stream;
    ours.local = true;
    EXPECT_EQ(push(ours), Status::taken) << "one place is the runner's own";
    EXPECT_TRUE(push.dropped.empty());
  }
}

TEST(FrameQueue, BytesCountAsWellButOneMessageAlwaysFits) {
  Queue queue({.frames = 64, .bytes = 2500, .policy = QueuePolicy::block});
  Pushing push{queue};
  Writer writer;
  EXPECT_EQ(push(writer.key()), Status::taken);  // 1,000 each
  EXPECT_EQ(push(writer.delta()), Status::taken);
  const FrameFacts third = writer.delta();
  EXPECT_TRUE(queue.has_room()) << "for a smaller one";
  EXPECT_FALSE(queue.would_take(third, QueuePolicy::block));
  EXPECT_TRUE(queue.would_take(third, QueuePolicy::drop_to_keyframe)) << "it would be dropped";
  EXPECT_EQ(push(third), Status::full);
  drain(queue);
  FrameFacts large = writer.key();
  large.bytes = 1 << 20;
  EXPECT_EQ(push(large), Status::taken);
  EXPECT_EQ(push(writer.delta()), Status::full);
}

TEST(FrameQueue, WakesTheStrandOnlyWhenItHasRunDry) {
  Queue queue(FrameQueueLimits{});
  Writer writer;
  const auto push = [&] {
    auto payload = std::make_shared<int>(0);
    return queue.push(writer.key(), payload, [](auto&, auto&) {}).wake;
  };
  EXPECT_TRUE(push());
  EXPECT_FALSE(push());
  drain(queue);
  EXPECT_TRUE(push());
}

TEST(L06FrameQueue, RetainedFramesComeAgainInOrder) {
  Queue queue(FrameQueueLimits{});
  Pushing push{queue};
  Writer writer;
  for (int i = 0; i < 4; ++i) push(i == 0 ? writer.key() : writer.delta());
  for (int i = 0; i < 3; ++i) queue.front(), queue.take(true);
  queue.front();  // the fourth is held
  EXPECT_EQ(queue.counts().queued, 1u);
  EXPECT_EQ(queue.rewind(), 3u);
  EXPECT_EQ(queue.counts().queued, 4u);
  EXPECT_TRUE(queue.front()->facts.rewound);
  push(writer.delta());
  queue.front(), queue.take(true);
  queue.front(), queue.take(true);
  queue.forget_taken();
  EXPECT_EQ(drain(queue), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(queue.rewind(), 0u);
}

TEST(L06FrameQueue, RetainsNoMoreThanItsLimits) {
  Queue queue({.frames = 3, .policy = QueuePolicy::block});
  Pushing push{queue};
  Writer writer;
  for (int i = 0; i < 4; ++i) {
    push(writer.key());
    queue.front(), queue.take(true);
  }
  EXPECT_EQ(queue.rewind(), 0u);
  EXPECT_EQ(queue.front(), nullptr);
}

TEST(FrameQueue, AllocatesNothingOnceWarm) {
  Queue queue(FrameQueueLimits{});
  Writer writer;
  auto payload = std::make_shared<int>(1);
  const auto round = [&] {
    for (int i = 0; i < 20; ++i) {
      auto copy = payload;
      queue.push(writer.key(), copy, [](auto&, auto&) {});
    }
    while (queue.front()) queue.take();
  };
  round();
  const size_t before = allocation_count();
  for (int i = 0; i < 50; ++i) round();
  EXPECT_EQ(allocation_count(), before);
  queue.shrink();
  round();
}

TEST(FrameQueue, CloseWakesThoseWhoWait) {
  Queue queue({.frames = 1, .policy = QueuePolicy::block});
  Pushing push{queue};
  Writer writer;
  push(writer.key());
  std::thread waits([&] { EXPECT_FALSE(queue.wait_for_room(std::chrono::hours(1))); });
  queue.close();
  waits.join();
  EXPECT_EQ(push(writer.key()), Status::closed);
}

TEST(FrameQueue, AccountsForEveryFrameBetweenTwoThreads) {
  for (const QueuePolicy policy : {QueuePolicy::block, QueuePolicy::drop_to_keyframe}) {
    Queue queue({.frames = 8, .policy = policy});
    constexpr int sent = 20'000;
    std::atomic<bool> done = false;
    std::thread receives([&] {
      Writer writer;
      for (int i = 0; i < sent; ++i) {
        const FrameFacts facts = i % 10 == 0 ? writer.key() : writer.delta();
        auto payload = std::make_shared<int>(i);
        while (queue.push(facts, payload, [](auto&, auto&) {}).status == Status::full)
          queue.wait_for_room(std::chrono::seconds(10));
      }
      done = true;
    });
    int64_t expected = 0;
    uint64_t taken = 0;
    bool needs_key = false;
    for (bool last = false; !last;) {
      last = done;
      while (auto* item = queue.front()) {
        const FrameFacts& facts = item->facts;
        EXPECT_EQ(facts.seq, expected + facts.dropped_before);
        needs_key = facts.dropped_before > 0;
        if (needs_key) {
          EXPECT_TRUE(facts.keyframe);
        }
        expected = facts.seq + 1;
        ++taken;
        queue.take();
      }
    }
    receives.join();
    const auto counts = queue.counts();
    EXPECT_EQ(counts.received, uint64_t(sent));
    EXPECT_EQ(counts.received, counts.dropped + taken);
    if (policy == QueuePolicy::block) {
      EXPECT_EQ(counts.dropped, 0u);
    }
  }
}

TEST(StreamQueuePolicy, FollowsTransportAndCodec) {
  EXPECT_EQ(stream_queue_policy(QueuePolicy::automatic, true, Codec::h264), QueuePolicy::block);
  EXPECT_EQ(stream_queue_policy(QueuePolicy::automatic, false, Codec::h264), QueuePolicy::drop_to_keyframe);
  EXPECT_EQ(stream_queue_policy(QueuePolicy::automatic, false, Codec::jpeg), QueuePolicy::latest);
  EXPECT_EQ(stream_queue_policy(QueuePolicy::latest, true, Codec::h264), QueuePolicy::latest);
}

}  // namespace
}  // namespace sightglass::stream
