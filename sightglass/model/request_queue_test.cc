#include "sightglass/model/request_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace sightglass {
namespace {

// A clock that stands still until it is told to go on.
class StoppedClock final : public BatchClock {
 public:
  Time now() override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void wait(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, Time) override {
    {
      const std::lock_guard mine(mutex_);
      waiting_.emplace_back(&changed, lock.mutex());
      ++sleeps;
      asleep_.notify_all();
    }
    changed.wait(lock);
    const std::lock_guard mine(mutex_);
    waiting_.erase(std::ranges::find(waiting_, &changed, &Waiting::first));
  }
  void advance(std::chrono::milliseconds by) {
    std::vector<Waiting> waiting;
    {
      const std::lock_guard lock(mutex_);
      now_ += by;
      waiting = waiting_;
    }
    for (const auto& [changed, mutex] : waiting) {
      const std::lock_guard lock(*mutex);
      changed->notify_all();
    }
  }
  std::atomic<int> sleeps = 0;  // calls of wait()
  void wait_for_sleeper() {
    std::unique_lock lock(mutex_);
    asleep_.wait(lock, [&] { return !waiting_.empty(); });
  }

 private:
  using Waiting = std::pair<std::condition_variable*, std::mutex*>;
  std::mutex mutex_;
  std::condition_variable asleep_;
  Time now_{std::chrono::hours(1)};
  std::vector<Waiting> waiting_;
};

class RequestQueueTest : public testing::Test {
 protected:
  using Request = RequestQueue::Request;
  struct TestForm : RequestQueue::Form {
    explicit TestForm(size_t samples = 1) { capacity = samples; }
  };

  static Ref<RequestQueue> queue_of(SchedulingPolicy policy, size_t limit) {
    return make_ref<RequestQueue>(RequestQueue::Options{.policy = policy, .limit = limit});
  }
  Ref<RequestQueue> batching(int timeout, SchedulingPolicy policy = SchedulingPolicy::throughput) {
    return make_ref<RequestQueue>(RequestQueue::Options{
        .policy = policy, .limit = 64, .batches = true, .timeout = timeout, .clock = &clock});
  }
  static Request* put(RequestQueue& queue, RequestQueue::Member& member, Time pts) {
    Request* request = queue.acquire(member);
    request->pts = pts;
    request->fence = make_ref<CompletionFence>();
    queue.put(request);
    return request;
  }
  // The same where a worker may take it at once.
  static Ref<CompletionFence> send(RequestQueue& queue, RequestQueue::Member& member, Time pts) {
    Request* request = queue.acquire(member);
    request->pts = pts;
    Ref<CompletionFence> fence = request->fence = make_ref<CompletionFence>();
    queue.put(request);
    return fence;
  }
  static std::vector<Time> take(RequestQueue& queue) {
    std::vector<Request*> batch;
    if (!queue.take(batch)) return {};
    std::vector<Time> times;
    for (const Request* request : batch) times.push_back(request->pts);
    finish(queue, batch);
    return times;
  }
  static void finish(RequestQueue& queue, const std::vector<Request*>& batch) {
    queue.end(batch);
    for (Request* request : batch) request->finish({});
    queue.release(batch);
  }
  static Request* take_one(RequestQueue& queue) {
    std::vector<Request*> batch;
    EXPECT_TRUE(queue.take(batch));
    EXPECT_EQ(batch.size(), 1u);
    return batch.front();
  }
  static void run(RequestQueue& queue) { take(queue); }

  TestForm single;
  StoppedClock clock;
};

TEST_F(RequestQueueTest, ThroughputServesInOrderOfArrival) {
  const Ref<RequestQueue> queue = queue_of(SchedulingPolicy::throughput, 4);
  RequestQueue::Member a, b;
  queue->join(a, single), queue->join(b, single);
  put(*queue, a, 30), put(*queue, b, 10), put(*queue, a, 20);
  for (const Time expected : {30, 10, 20}) EXPECT_EQ(take(*queue), std::vector<Time>{expected});
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, LatencyServesTheEarliestTimestampAndEqualOnesInOrder) {
  const Ref<RequestQueue> queue = queue_of(SchedulingPolicy::latency, 4);
  RequestQueue::Member a;
  queue->join(a, single);
  auto *late = put(*queue, a, 30), *early = put(*queue, a, 10), *middle = put(*queue, a, 20),
       *also_early = put(*queue, a, 10);
  for (Request* expected : {early, also_early, middle, late}) {
    Request* const taken = take_one(*queue);
    EXPECT_EQ(taken, expected);
    finish(*queue, {taken});
  }
  // The queue is whole after its last entry was taken from the middle.
  Request* const next = put(*queue, a, 5);
  EXPECT_EQ(take_one(*queue), next);
  finish(*queue, {next});
  queue->leave(a);
}

TEST_F(RequestQueueTest, AStreamWithNothingUnderWayIsLetInThoughAllSlotsAreTaken) {
  const Ref<RequestQueue> shared = queue_of(SchedulingPolicy::throughput, 2);
  RequestQueue& queue = *shared;
  RequestQueue::Member busy, quiet;
  queue.join(busy, single), queue.join(quiet, single);
  put(queue, busy, 0), put(queue, busy, 0);
  put(queue, quiet, 0);  // would wait for ever
  for (int i = 0; i < 3; ++i) run(queue);
  queue.leave(busy), queue.leave(quiet);
}

TEST_F(RequestQueueTest, AFullStreamWaitsForASlot) {
  const Ref<RequestQueue> shared = queue_of(SchedulingPolicy::throughput, 1);
  RequestQueue& queue = *shared;
  RequestQueue::Member member;
  queue.join(member, single);
  put(queue, member, 0);
  std::jthread third([&] { put(queue, member, 1); });
  run(queue);
  run(queue);
  third.join();
  queue.leave(member);
}

TEST_F(RequestQueueTest, CancelEndsTheWaitAndFailsWhatHasNotBegun) {
  const Ref<RequestQueue> shared = queue_of(SchedulingPolicy::throughput, 2);
  RequestQueue& queue = *shared;
  RequestQueue::Member member, other;
  queue.join(member, single), queue.join(other, single);
  RequestQueue::Request* running = put(queue, member, 0);
  ASSERT_EQ(take_one(queue), running);
  const Ref<CompletionFence> waiting = send(queue, member, 1);
  RequestQueue::Request* theirs = put(queue, other, 2);
  std::jthread blocked([&] { EXPECT_EQ(queue.acquire(member), nullptr); });
  queue.cancel(member);
  blocked.join();
  EXPECT_EQ(waiting->wait().error().code, ErrorCode::cancelled);
  EXPECT_EQ(queue.acquire(member), nullptr);

  finish(queue, {running});
  EXPECT_EQ(take_one(queue), theirs);  // untouched
  finish(queue, {theirs});
  queue.resume(member);
  put(queue, member, 3);
  run(queue);
  queue.leave(member), queue.leave(other);
}

TEST_F(RequestQueueTest, CloseLetsWorkersGoAfterTheLastRequest) {
  const Ref<RequestQueue> shared = queue_of(SchedulingPolicy::throughput, 2);
  RequestQueue& queue = *shared;
  RequestQueue::Member member;
  queue.join(member, single);
  put(queue, member, 0);
  queue.close();
  run(queue);
  std::vector<Request*> batch;
  EXPECT_FALSE(queue.take(batch));
  queue.leave(member);
}

// ---- batches

TEST_F(RequestQueueTest, AFullBatchLeavesWithTheSamplesOfAllStreams) {
  const Ref<RequestQueue> queue = batching(1000);
  TestForm form(4);
  RequestQueue::Member a, b;
  queue->join(a, form), queue->join(b, form);
  for (Time pts : {1, 2, 3}) put(*queue, a, pts), put(*queue, b, 10 + pts);
  EXPECT_EQ(take(*queue), (std::vector<Time>{1, 11, 2, 12}));
  queue->drain(a);
  EXPECT_EQ(take(*queue), (std::vector<Time>{3, 13}));  // b's goes along
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, ABatchTakesNoMoreThanSoManySamplesOfOneStream) {
  for (const auto policy : {SchedulingPolicy::throughput, SchedulingPolicy::latency}) {
    const auto queue = make_ref<RequestQueue>(RequestQueue::Options{.policy = policy,
                                                                    .limit = 64,
                                                                    .batches = true,
                                                                    .timeout = 1000,
                                                                    .clock = &clock,
                                                                    .max_per_stream = 2});
    TestForm form(4);
    RequestQueue::Member a, b;
    queue->join(a, form), queue->join(b, form);
    for (Time pts : {1, 2, 3, 4, 5}) put(*queue, a, pts);
    for (Time pts : {11, 12}) put(*queue, b, pts);
    EXPECT_EQ(take(*queue), (std::vector<Time>{1, 2, 11, 12}));
    queue->drain(a), queue->drain(b);
    EXPECT_EQ(take(*queue), (std::vector<Time>{3, 4}));
    EXPECT_EQ(take(*queue), (std::vector<Time>{5}));
    queue->leave(a), queue->leave(b);
  }
}

TEST_F(RequestQueueTest, APartialBatchLeavesWhenItsOldestSampleHasWaitedForTheTimeOut) {
  const Ref<RequestQueue> queue = batching(30);
  TestForm form(4);
  RequestQueue::Member a;
  queue->join(a, form);
  put(*queue, a, 1);
  clock.advance(std::chrono::milliseconds(20));
  put(*queue, a, 2);
  std::vector<Time> taken;
  std::jthread worker([&] { taken = take(*queue); });
  clock.wait_for_sleeper();
  clock.advance(std::chrono::milliseconds(10));
  worker.join();
  EXPECT_EQ(taken, (std::vector<Time>{1, 2}));
  queue->leave(a);
}

TEST_F(RequestQueueTest, WithATimeOutOfZeroNothingWaits) {
  const Ref<RequestQueue> queue = batching(0);
  TestForm form(4);
  RequestQueue::Member a;
  queue->join(a, form);
  put(*queue, a, 1);
  EXPECT_EQ(take(*queue), std::vector<Time>{1});
  put(*queue, a, 2), put(*queue, a, 3);
  EXPECT_EQ(take(*queue), (std::vector<Time>{2, 3}));
  queue->leave(a);
}

TEST_F(RequestQueueTest, TheAutomaticTimeOutIsTwoPeriodsOfTheSlowestStream) {
  const Ref<RequestQueue> queue = batching(-1);
  TestForm form(4);
  RequestQueue::Member a, b;
  queue->join(a, form), queue->join(b, form);
  const auto leaves_after = [&](int milliseconds) {
    put(*queue, a, 1);
    std::atomic<bool> left = false;
    std::jthread worker([&] {
      take(*queue);
      left = true;
    });
    clock.wait_for_sleeper();
    clock.advance(std::chrono::milliseconds(milliseconds - 1));
    const bool early = left;
    clock.wait_for_sleeper();
    clock.advance(std::chrono::milliseconds(1));
    worker.join();
    return !early;
  };
  EXPECT_TRUE(leaves_after(40));
  queue->set_period(a, 10'000'000);
  queue->set_period(b, 50'000'000);
  EXPECT_TRUE(leaves_after(100));
  queue->leave(b);
  EXPECT_TRUE(leaves_after(20));
  queue->set_timeout(7);
  EXPECT_TRUE(leaves_after(7));
  queue->leave(a);
}

TEST_F(RequestQueueTest, WhatWaitsGoesAtOnceWhenTheTimeOutIsSetToZero) {
  const Ref<RequestQueue> queue = batching(1000);
  TestForm form(4);
  RequestQueue::Member a;
  queue->join(a, form);
  put(*queue, a, 1);
  std::jthread worker([&] { EXPECT_EQ(take(*queue), std::vector<Time>{1}); });
  clock.wait_for_sleeper();
  queue->set_timeout(0);
  worker.join();
  queue->leave(a);
}

TEST_F(RequestQueueTest, AStreamThatLeavesOrIsCancelledHoldsNobodyUp) {
  const Ref<RequestQueue> queue = batching(1000);
  TestForm form(4);
  RequestQueue::Member a, b, c;
  queue->join(a, form), queue->join(b, form), queue->join(c, form);
  // Everybody but c has ended or waits; c goes, in both ways.
  const auto goes = [&](auto&& how) {
    const Ref<CompletionFence> fence = send(*queue, a, 1);
    queue->drain(b);
    std::jthread worker([&] { EXPECT_EQ(take(*queue), std::vector<Time>{1}); });
    clock.wait_for_sleeper();
    how();
    EXPECT_TRUE(queue->wait(*fence));  // this thread sends for a
  };
  goes([&] { queue->cancel(c); });
  queue->resume(c);
  goes([&] { queue->leave(c); });
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, ASilentStreamIsWaitedForNoLongerThanTheTimeOut) {
  const Ref<RequestQueue> queue = batching(30);
  TestForm form(4);
  RequestQueue::Member a, silent;
  queue->join(a, form), queue->join(silent, form);
  clock.advance(std::chrono::milliseconds(30));
  const Ref<CompletionFence> fence = send(*queue, a, 1);
  std::jthread worker([&] { EXPECT_EQ(take(*queue), std::vector<Time>{1}); });  // without any time passing
  EXPECT_TRUE(queue->wait(*fence));
  worker.join();
  queue->leave(a), queue->leave(silent);
}

TEST_F(RequestQueueTest, WhoWaitsForASlotAddsNothing) {
  const Ref<RequestQueue> queue = make_ref<RequestQueue>(
      RequestQueue::Options{.limit = 2, .batches = true, .timeout = 1000, .clock = &clock});
  TestForm form(4);
  RequestQueue::Member a;
  queue->join(a, form);
  std::jthread sender([&] { put(*queue, a, 1), put(*queue, a, 2), put(*queue, a, 3), queue->drain(a); });
  EXPECT_EQ(take(*queue), (std::vector<Time>{1, 2}));
  EXPECT_EQ(take(*queue), std::vector<Time>{3});
  sender.join();
  queue->leave(a);
}

TEST_F(RequestQueueTest, ABatchHoldsOneFormAndTheFullerGoesFirst) {
  const Ref<RequestQueue> queue = batching(1000);
  TestForm small(4), large(3);
  RequestQueue::Member a, b;
  queue->join(a, small), queue->join(b, large);
  put(*queue, b, 1), put(*queue, a, 2), put(*queue, b, 3), put(*queue, a, 4);
  put(*queue, a, 5), put(*queue, b, 6), put(*queue, a, 7);
  EXPECT_EQ(take(*queue), (std::vector<Time>{2, 4, 5, 7}));
  EXPECT_EQ(take(*queue), (std::vector<Time>{1, 3, 6}));
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, LatencyTakesTheEarliestSamplesThatMakeABatch) {
  const Ref<RequestQueue> queue = batching(1000, SchedulingPolicy::latency);
  TestForm form(2);
  RequestQueue::Member a, b;
  queue->join(a, form), queue->join(b, form);
  put(*queue, a, 30), put(*queue, a, 40), put(*queue, b, 10), put(*queue, b, 20);
  EXPECT_EQ(take(*queue), (std::vector<Time>{10, 20}));
  EXPECT_EQ(take(*queue), (std::vector<Time>{30, 40}));
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, ACancelledStreamLeavesTheSamplesOfOthersAlone) {
  const Ref<RequestQueue> queue = batching(0);
  TestForm form(4);
  RequestQueue::Member a, b;
  queue->join(a, form), queue->join(b, form);
  put(*queue, a, 1), put(*queue, b, 2);
  std::vector<Request*> batch;
  ASSERT_TRUE(queue->take(batch));
  class Model final : public ModelRequest {
   public:
    bool interrupted = false;
    Status run(std::span<const Binding>, std::span<Binding>) override { return {}; }
    void set_interrupted(bool value) override { interrupted = value; }
  } model;
  queue->begin(batch, model);
  queue->cancel(a);
  EXPECT_FALSE(model.interrupted);
  queue->cancel(b);
  EXPECT_TRUE(model.interrupted);  // nobody wants any of it
  finish(*queue, batch);
  queue->leave(a), queue->leave(b);
}

TEST_F(RequestQueueTest, WhatWasPutAsideComesBackWhenABatchIsFinished) {
  const Ref<RequestQueue> queue = batching(0);
  TestForm form(1);
  RequestQueue::Member a;
  queue->join(a, form);
  put(*queue, a, 1), put(*queue, a, 2);
  Request* const first = take_one(*queue);
  Request* const second = take_one(*queue);
  queue->put_aside(second);
  put(*queue, a, 3);
  Request* const third = take_one(*queue);  // not the one put aside
  EXPECT_EQ(third->pts, 3);
  finish(*queue, {first});
  EXPECT_EQ(take_one(*queue), second);
  // Something was finished since it was taken: it may go at once.
  finish(*queue, {third});
  queue->put_aside(second);
  EXPECT_EQ(take_one(*queue), second);
  finish(*queue, {second});
  queue->leave(a);
}

// ---- threads that run what they wait for

class Inline final : public RequestQueue::Runner {
 public:
  explicit Inline(RequestQueue& queue) : queue_(queue) {}
  std::vector<Time> ran;
  void run(std::vector<RequestQueue::Request*>& taken) override {
    for (const RequestQueue::Request* request : taken) ran.push_back(request->pts);
    EXPECT_EQ(RequestQueue::of_this_thread(), &queue_);
    queue_.end(taken);
    for (RequestQueue::Request* request : taken) request->finish({});
    queue_.release(taken);
  }

 private:
  RequestQueue& queue_;
};

TEST_F(RequestQueueTest, AThreadRunsItselfWhatItHasSentAndWaitsFor) {
  const Ref<RequestQueue> queue = queue_of(SchedulingPolicy::throughput, 4);
  Inline runner(*queue);
  queue->set_spare_runners({&runner});
  RequestQueue::Member a;
  queue->join(a, single);
  for (Time pts : {1, 2, 3}) {
    const Ref<CompletionFence> fence = send(*queue, a, pts);
    EXPECT_TRUE(queue->wait(*fence));
  }
  EXPECT_EQ(runner.ran, (std::vector<Time>{1, 2, 3}));
  // What it sends without asking for it is for the workers again.
  std::jthread worker([&] {
    run(*queue);
    run(*queue);
  });
  const Ref<CompletionFence> first = send(*queue, a, 4), second = send(*queue, a, 5);
  worker.join();
  EXPECT_TRUE(first->ready() && second->ready());
  queue->close();
  queue->leave(a);
}

TEST_F(RequestQueueTest, WhoWaitsForResultsOfOthersWakesNoWorkerUp) {
  const Ref<RequestQueue> queue = batching(20);
  TestForm form(4);
  RequestQueue::Member member;
  queue->join(member, form);
  const Ref<CompletionFence> fence = send(*queue, member, 1);
  std::jthread worker([&] { EXPECT_EQ(take(*queue), std::vector<Time>{1}); });
  clock.wait_for_sleeper();
  std::atomic<bool> begins = false;
  std::jthread behind([&] {
    begins = true;
    begins.notify_all();
    EXPECT_TRUE(queue->wait(*fence));
  });
  begins.wait(false);
  EXPECT_FALSE(fence->ready());
  clock.advance(std::chrono::milliseconds(20));
  behind.join();
  worker.join();
  EXPECT_EQ(clock.sleeps, 1);
  queue->leave(member);
}

TEST_F(RequestQueueTest, TheLastOneThatWaitsRunsTheBatchOfAll) {
  const Ref<RequestQueue> queue = batching(1000);
  Inline runner(*queue);
  queue->set_spare_runners({&runner});
  TestForm form(4);
  RequestQueue::Member a, b;
  queue->join(a, form), queue->join(b, form);
  std::jthread other([&] {
    const Ref<CompletionFence> fence = send(*queue, b, 10);
    EXPECT_TRUE(queue->wait(*fence));
  });
  const Ref<CompletionFence> fence = send(*queue, a, 11);
  EXPECT_TRUE(queue->wait(*fence));
  other.join();
  EXPECT_EQ(runner.ran.size(), 2u);
  queue->leave(a), queue->leave(b);
}

}  // namespace
}  // namespace sightglass
