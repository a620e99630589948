// Workers that die, hang and talk nonsense, played by test_worker.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "sightglass/function/backoff.h"
#include "sightglass/function/user_code.h"
#include "sightglass/function/worker_process.h"

namespace sightglass::function {
namespace {

using testing::HasSubstr;

constexpr Time second = 1'000'000'000, millisecond = 1'000'000;

class WorkerPool : public testing::Test {
 protected:
  std::shared_ptr<UserCode> open(const std::string& mode, unsigned workers = 1,
                                 Time kill_after = 600 * millisecond) {
    auto opened = open_code(options(mode, workers, kill_after));
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *opened : nullptr;
  }
  static CodeOptions options(const std::string& mode, unsigned workers = 1,
                             Time kill_after = 600 * millisecond) {
    return {.path = "test",
            .symbol = mode,
            .workers = workers,
            .budget = kill_after / 20,
            .kill_after = kill_after,
            .start_limit = 20 * second,
            .worker = {SIGHTGLASS_TEST_WORKER}};
  }
  static std::unique_ptr<UserObject> start(UserCode& code, const std::string& source_id) {
    auto object = code.create(source_id);
    const StreamInfo info{.source_id = source_id};
    Call call{.hook = Hook::start, .stream = &info, .text = "{}"};
    EXPECT_EQ((*object)->call(call).fault, Fault::none);
    return std::move(*object);
  }
  Outcome process(UserObject& object) {
    frame = {};
    Call call{.frame = &frame};
    return object.call(call);
  }
  // Until the worker has been started again; bounded.
  Outcome process_when_back(UserObject& object) {
    Outcome outcome;
    for (const Time end = now_ns() + 20 * second; now_ns() < end; std::this_thread::yield())
      if (outcome = process(object); outcome.fault == Fault::none) break;
    return outcome;
  }
  Frame frame;
};

TEST_F(WorkerPool, BringsResultsBack) {
  const auto code = open("echo");
  EXPECT_TRUE(code->has(Hook::process));
  EXPECT_FALSE(code->has(Hook::draw));
  EXPECT_FALSE(code->wants_pixels());
  const auto object = start(*code, "cam-1");
  const Outcome outcome = process(*object);
  EXPECT_EQ(outcome.fault, Fault::none) << outcome.message;
  EXPECT_GT(outcome.took, 0);
  ASSERT_EQ(frame.regions.size(), 1u);
  EXPECT_EQ(frame.regions[0].label.view(), "seen");
}

TEST_F(WorkerPool, SpreadsStreamsOverWorkers) {
  const auto code = open("echo", 4);
  std::set<int64_t> workers;
  for (int i = 0; i < 32; ++i) {
    const auto object = code->create("cam-" + std::to_string(i));
    EXPECT_EQ(process_when_back(**object).fault, Fault::none);
    workers.insert(frame.regions[0].track);
  }
  EXPECT_EQ(workers.size(), 4u);
}

TEST_F(WorkerPool, SaysWhyItDoesNotStart) {
  auto refused = open_code(options("refuse"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("ImportError: nothing here"));
  auto missing = options("echo");
  missing.worker = {"/nowhere/python3"};
  EXPECT_THAT(open_code(missing).error().message, HasSubstr("/nowhere/python3"));
  auto ends_at_once = options("echo");
  ends_at_once.worker = {"/bin/true"};
  EXPECT_THAT(open_code(ends_at_once).error().message, HasSubstr("ended before it was ready"));
}

TEST_F(WorkerPool, GivesUpAWorkerThatNeverStarts) {
  auto never = options("never");
  never.start_limit = 50 * millisecond;
  const auto opened = open_code(never);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("not ready after 50 ms"));
}

TEST_F(WorkerPool, F14EndsACallThatHangsAndStartsAgain) {
  const auto code = open("hang");
  const auto object = start(*code, "cam-bad");
  const Outcome outcome = process(*object);
  EXPECT_EQ(outcome.fault, Fault::timeout);
  EXPECT_THAT(outcome.message, HasSubstr("longer than 600 ms"));
  EXPECT_EQ(frame.regions.size(), 0u);
  EXPECT_EQ(code->restarts(), 1u);
  EXPECT_EQ(process(*object).fault, Fault::unavailable) << "frames pass while it is started again";
}

TEST_F(WorkerPool, F14HoldsUpOtherStreamsNoLongerThanTheBudget) {
  const auto code = open("hang", 1, 2 * second);  // budget 100 ms
  const auto bad = start(*code, "cam-bad"), good = start(*code, "cam-good");
  std::thread hangs([&] {
    Frame own;
    Call call{.frame = &own};
    EXPECT_EQ(bad->call(call).fault, Fault::timeout);
  });
  // Until the other one has its worker.
  Outcome outcome;
  const Time begin = now_ns();
  while (outcome = process(*good), outcome.fault == Fault::none && now_ns() < begin + 20 * second) {
  }
  EXPECT_EQ(outcome.fault, Fault::unavailable) << outcome.message;
  EXPECT_THAT(outcome.message, HasSubstr("held up"));
  hangs.join();
  EXPECT_EQ(process_when_back(*good).fault, Fault::none);
}

TEST_F(WorkerPool, F14MovesAStreamThatHangsToAWorkerOfItsOwn) {
  const auto code = open("hang");
  const auto bad = start(*code, "cam-bad"), good = start(*code, "cam-good");
  EXPECT_EQ(process(*bad).fault, Fault::timeout);
  EXPECT_EQ(process_when_back(*good).fault, Fault::none);
  const auto worker = frame.regions[0].track;
  for (int i = 0; i < 2; ++i) {
    Outcome outcome;
    for (const Time end = now_ns() + 20 * second; now_ns() < end; std::this_thread::yield())
      if (outcome = process(*bad); outcome.fault != Fault::unavailable) break;
    EXPECT_EQ(outcome.fault, Fault::timeout) << outcome.message;
    EXPECT_EQ(process(*good).fault, Fault::none);
    EXPECT_EQ(frame.regions[0].track, worker) << "it was left alone";
  }
}

TEST_F(WorkerPool, F14MovesAStreamThatIsSlowAgain) {
  const auto code = open("slow", 1, 2 * second);  // budget 100 ms, frames of 150 ms
  const auto bad = start(*code, "cam-bad"), good = start(*code, "cam-good");
  EXPECT_EQ(process(*bad).fault, Fault::none);
  const auto shared = frame.regions[0].track;
  EXPECT_EQ(process(*bad).fault, Fault::none);
  EXPECT_EQ(process_when_back(*bad).fault, Fault::none);
  EXPECT_NE(frame.regions[0].track, shared);
  EXPECT_EQ(process_when_back(*good).fault, Fault::none);
  EXPECT_EQ(frame.regions[0].track, shared);
}

TEST_F(WorkerPool, ParametersThatCameWhileTheWorkerWasHeldUpAreThereWithTheNextFrame) {
  const auto code = open("nap", 1, 2 * second);  // budget 100 ms, one frame of 600 ms
  const auto bad = start(*code, "cam-bad"), good = start(*code, "cam-good");
  const auto apply = [&](const std::string& text) {
    Call call{.hook = Hook::apply, .text = text};
    return good->call(call).fault;
  };
  EXPECT_EQ(apply("at once"), Fault::none);
  EXPECT_EQ(process(*good).fault, Fault::none);
  EXPECT_EQ(frame.regions[0].model.view(), "at once");
  std::thread naps([&] {
    Frame own;
    Call call{.frame = &own};
    EXPECT_EQ(bad->call(call).fault, Fault::none);
  });
  std::string latest;
  Fault fault = Fault::none;
  const Time end = now_ns() + 20 * second;
  for (int i = 0; fault == Fault::none && now_ns() < end; ++i)
    fault = apply(latest = "number " + std::to_string(i));
  EXPECT_EQ(fault, Fault::unavailable);
  naps.join();
  EXPECT_EQ(process(*good).fault, Fault::none);
  EXPECT_EQ(frame.regions[0].model.view(), latest);
}

TEST_F(WorkerPool, WhatIsTooMuchForAWorkerIsAnErrorAndLeavesItAlive) {
  const auto code = open("echo");
  const auto object = start(*code, "cam-1");
  frame.regions.assign(1025, Region{.box = {0, 0, 1, 1}, .label = Label("car")});
  Call call{.frame = &frame};
  const Outcome outcome = object->call(call);
  EXPECT_EQ(outcome.fault, Fault::error);
  EXPECT_THAT(outcome.message, HasSubstr("1025 objects, at most 1024"));
  EXPECT_EQ(process(*object).fault, Fault::none);
  EXPECT_EQ(code->restarts(), 0u);
}

TEST_F(WorkerPool, F14SurvivesAWorkerThatCrashes) {
  const auto code = open("crash");
  const auto bad = start(*code, "cam-bad"), good = start(*code, "cam-good");
  const Outcome outcome = process(*bad);
  EXPECT_EQ(outcome.fault, Fault::crash);
  EXPECT_THAT(outcome.message, HasSubstr("has died in process"));
  EXPECT_EQ(process_when_back(*good).fault, Fault::none) << "it is started again, with all its streams";
}

TEST_F(WorkerPool, F14SurvivesAKilledWorker) {
  const auto code = open("echo");
  const auto object = start(*code, "cam-1");
  ASSERT_EQ(process(*object).fault, Fault::none);
  const auto first = frame.regions[0].track;
  ASSERT_EQ(kill(pid_t(first), SIGKILL), 0);
  EXPECT_EQ(process_when_back(*object).fault, Fault::none);
  EXPECT_NE(frame.regions[0].track, first);
  EXPECT_EQ(code->restarts(), 1u);
}

TEST_F(WorkerPool, TakesGarbageForACrash) {
  for (const char* mode : {"garbage", "huge"}) {
    const auto code = open(mode);
    const auto object = start(*code, "cam-bad");
    const Outcome outcome = process(*object);
    EXPECT_EQ(outcome.fault, Fault::crash) << mode;
    EXPECT_THAT(outcome.message, HasSubstr("nonsense")) << mode;
    EXPECT_TRUE(frame.regions.empty());
  }
}

TEST_F(WorkerPool, EndsItsWorkers) {
  auto code = open("echo", 2);
  auto object = start(*code, "cam-1");
  ASSERT_EQ(process(*object).fault, Fault::none);
  const auto worker = pid_t(frame.regions[0].track);
  object.reset();
  code.reset();
  EXPECT_EQ(kill(worker, 0), -1);
}

TEST(Backoff, DoublesUntilItHasBeenWellForAWhile) {
  Backoff backoff(second, 4 * second, 30 * second);
  EXPECT_EQ(backoff.died(100), 100 + second);
  backoff.started(0);
  EXPECT_EQ(backoff.died(100), 100 + 2 * second);
  EXPECT_EQ(backoff.died(100), 100 + 4 * second);
  EXPECT_EQ(backoff.died(100), 100 + 4 * second);
  backoff.started(0);
  EXPECT_EQ(backoff.died(30 * second), 31 * second);
}

}  // namespace
}  // namespace sightglass::function
