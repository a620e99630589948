#include "sightglass/model/request_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace sightglass {
namespace {

class RequestQueueTest : public testing::Test {
 protected:
  RequestQueue::Request* put(RequestQueue& queue, RequestQueue::Member& member, Time pts) {
    RequestQueue::Request* request = queue.acquire(member);
    request->pts = pts;
    request->fence = make_ref<CompletionFence>();
    queue.put(request);
    return request;
  }
  void run(RequestQueue& queue) {
    RequestQueue::Request* request = queue.take();
    request->finish({});
    queue.release(request);
  }
};

TEST_F(RequestQueueTest, ThroughputServesInOrderOfArrival) {
  RequestQueue queue(SchedulingPolicy::throughput, 4, 1, 1);
  RequestQueue::Member a, b;
  queue.join(a), queue.join(b);
  const auto *first = put(queue, a, 30), *second = put(queue, b, 10), *third = put(queue, a, 20);
  for (const auto* expected : {first, second, third}) {
    EXPECT_EQ(queue.take(), expected);
  }
  for (auto* request : {first, second, third}) {
    const_cast<RequestQueue::Request*>(request)->finish({});
    queue.release(const_cast<RequestQueue::Request*>(request));
  }
  queue.leave(a), queue.leave(b);
}

TEST_F(RequestQueueTest, LatencyServesTheEarliestTimestampAndEqualOnesInOrder) {
  RequestQueue queue(SchedulingPolicy::latency, 4, 1, 1);
  RequestQueue::Member a;
  queue.join(a);
  auto *late = put(queue, a, 30), *early = put(queue, a, 10), *middle = put(queue, a, 20),
       *also_early = put(queue, a, 10);
  for (auto* expected : {early, also_early, middle, late}) {
    RequestQueue::Request* taken = queue.take();
    EXPECT_EQ(taken, expected);
    taken->finish({});
    queue.release(taken);
  }
  // The queue is whole after its last entry was taken from the middle.
  auto* next = put(queue, a, 5);
  EXPECT_EQ(queue.take(), next);
  next->finish({});
  queue.release(next);
  queue.leave(a);
}

TEST_F(RequestQueueTest, AStreamWithNothingUnderWayIsLetInThoughAllSlotsAreTaken) {
  RequestQueue queue(SchedulingPolicy::throughput, 2, 1, 1);
  RequestQueue::Member busy, quiet;
  queue.join(busy), queue.join(quiet);
  put(queue, busy, 0), put(queue, busy, 0);
  put(queue, quiet, 0);  // would wait for ever
  for (int i = 0; i < 3; ++i) run(queue);
  queue.leave(busy), queue.leave(quiet);
}

TEST_F(RequestQueueTest, AFullStreamWaitsForASlot) {
  RequestQueue queue(SchedulingPolicy::throughput, 1, 1, 1);
  RequestQueue::Member member;
  queue.join(member);
  put(queue, member, 0);
  std::jthread third([&] { put(queue, member, 1); });
  run(queue);
  run(queue);
  third.join();
  queue.leave(member);
}

TEST_F(RequestQueueTest, CancelEndsTheWaitAndFailsWhatHasNotBegun) {
  RequestQueue queue(SchedulingPolicy::throughput, 2, 1, 1);
  RequestQueue::Member member, other;
  queue.join(member), queue.join(other);
  RequestQueue::Request* running = put(queue, member, 0);
  ASSERT_EQ(queue.take(), running);
  const Ref<CompletionFence> waiting = put(queue, member, 1)->fence;
  RequestQueue::Request* theirs = put(queue, other, 2);
  std::jthread blocked([&] { EXPECT_EQ(queue.acquire(member), nullptr); });
  queue.cancel(member);
  blocked.join();
  EXPECT_EQ(waiting->wait().error().code, ErrorCode::cancelled);
  EXPECT_EQ(queue.acquire(member), nullptr);

  running->finish({});
  queue.release(running);
  EXPECT_EQ(queue.take(), theirs);  // untouched
  theirs->finish({});
  queue.release(theirs);
  queue.resume(member);
  put(queue, member, 3);
  run(queue);
  queue.leave(member), queue.leave(other);
}

TEST_F(RequestQueueTest, CloseLetsWorkersGoAfterTheLastRequest) {
  RequestQueue queue(SchedulingPolicy::throughput, 2, 1, 1);
  RequestQueue::Member member;
  queue.join(member);
  put(queue, member, 0);
  queue.close();
  run(queue);
  EXPECT_EQ(queue.take(), nullptr);
  queue.leave(member);
}

}  // namespace
}  // namespace sightglass
