#include "sightglass/model/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "sightglass/core/allocation_count.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/loaded_session.h"
#include "sightglass/model/session_test_support.h"

namespace sightglass {
namespace {

TEST_F(SessionTest, OutputsComeInTheOrderOfSubmissionThoughRunsOvertakeEachOther) {
  engine.parallel = 4;
  auto one = stream(options(8)), two = stream(options(8));
  const auto feed = [&](SessionStream& to, float offset) {
    std::vector<Tensor> pending;
    for (int i = 0; i < 500; ++i) {
      pending.push_back(submit(to, input(to, offset + float(i)), i));
      if (pending.size() < 8) continue;
      for (size_t k = 0; k < pending.size(); ++k)
        ASSERT_EQ(first(pending[k]), offset + float(i - 7 + int(k)) + 1);
      pending.clear();
    }
  };
  std::jthread other([&] { feed(*two, 10000); });
  feed(*one, 0);
}

TEST_F(SessionTest, TensorsOfThePoolsAreReadAndWrittenWhereTheyLie) {
  auto one = stream(options());
  CopyLedger::Hop& hop = CopyLedger::process().hop("model.test input");
  CopyLedger::process().reset();
  const Tensor in = input(*one, 5);
  const Tensor out = submit(*one, in);
  EXPECT_EQ(first(out), 6);
  EXPECT_EQ(engine.last_input, map(in, Access::read)->data());
  EXPECT_EQ(engine.last_output, map(out, Access::read)->data());
  const CopyLedger::Entry entry = CopyLedger::process().snapshot().front();
  EXPECT_EQ(entry.name, hop.name());
  EXPECT_EQ(entry.bytes_copied, 0u);
  EXPECT_EQ(entry.bytes_shared, 16u);
}

TEST_F(SessionTest, BytesForAFloatModelAreConvertedAndCounted) {
  const TensorInfo bytes{.type = DataType::u8, .shape = {4}};
  auto one = stream(options(), bytes);
  CopyLedger::process().reset();
  Tensor in = *allocate_tensor(bytes);
  std::ranges::fill(map(in, Access::write)->as<uint8_t>(), uint8_t(200));
  EXPECT_EQ(first(submit(*one, in)), 201);
  EXPECT_EQ(CopyLedger::process().total().bytes_copied, 16u);
}

TEST_F(SessionTest, ARunThatFailsGivesItsErrorThroughItsOwnFence) {
  auto one = stream(options());
  const Tensor before = submit(*one, input(*one, 1)), bad = submit(*one, input(*one, -1)),
               after = submit(*one, input(*one, 2));
  EXPECT_EQ(first(before), 2);
  EXPECT_EQ(first(after), 3);
  const auto mapping = map(bad, Access::read);
  ASSERT_FALSE(mapping);
  EXPECT_EQ(mapping.error().message, "model.test: cannot take -1");
}

TEST_F(SessionTest, AnErrorOfTheInputIsThatOfTheOutput) {
  auto one = stream(options());
  const Tensor bad = submit(*one, input(*one, -1));
  EXPECT_EQ(map(submit(*one, bad), Access::read).error().message, "model.test: model.test: cannot take -1");
}

class KeptTimes final : public SampleWatch {
 public:
  void ran(const SampleTimes& times) override {
    const std::lock_guard lock(mutex);
    all.push_back(times);
  }
  std::mutex mutex;
  std::vector<SampleTimes> all;
};

TEST_F(SessionTest, TellsWhoeverWatchesHowLongSamplesWaitedAndRan) {
  auto one = stream(options());
  const auto watch = std::make_shared<KeptTimes>();
  watch_samples(watch);
  EXPECT_EQ(first(submit(*one, input(*one, 1))), 2);
  watch_samples(nullptr);
  EXPECT_EQ(first(submit(*one, input(*one, 2))), 3);
  ASSERT_EQ(watch->all.size(), 1u);
  const SampleTimes& times = watch->all[0];
  EXPECT_EQ(times.model, "model.test");
  EXPECT_EQ(times.batch_size, 1u);
  EXPECT_TRUE(times.is_first);
  EXPECT_NE(times.batch_id[0], 0u);
  EXPECT_LE(times.submitted_ns, times.begun_ns);
  EXPECT_LE(times.begun_ns, times.ended_ns);
}

TEST_F(SessionTest, KeepsNobodyAliveWhoWatches) {
  auto one = stream(options());
  auto watch = std::make_shared<KeptTimes>();
  const std::weak_ptr<KeptTimes> gone = watch;
  watch_samples(watch);
  EXPECT_EQ(first(submit(*one, input(*one, 1))), 2);
  watch = nullptr;
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(first(submit(*one, input(*one, 2))), 3);
  watch_samples(nullptr);
}

TEST_F(SessionTest, CountsBatchesBySizeAndTime) {
  auto opened = open_session(options());
  ASSERT_TRUE(opened);
  auto one = stream(options());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(first(submit(*one, input(*one, float(i)))), float(i) + 1);
  const SessionTotals totals = opened->session->totals();
  EXPECT_EQ(totals.batches, 5u);
  EXPECT_EQ(totals.samples, 5u);
  EXPECT_EQ(totals.sizes.count(), 5u);
  EXPECT_EQ(totals.sizes.sum, 5u);
  EXPECT_EQ(totals.waits.count(), 5u);
  EXPECT_EQ(totals.runs.count(), 5u);
  EXPECT_DOUBLE_EQ(totals.seconds, double(totals.runs.sum) * 1e-9);
}

TEST_F(SessionTest, AModelMayRunOnItsOwnResults) {
  engine.parallel = 1;
  auto one = stream(options()), two = stream(options());
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(first(submit(*two, submit(*one, input(*one, float(i))))), float(i) + 2);
}

TEST_F(SessionTest, CancelFailsWhatHasNotBegunAndEndsTheWait) {
  engine.parallel = 1;
  auto one = stream(options(2));
  const Tensor running = submit(*one, input(*one, -2)), queued = submit(*one, input(*one, 1));
  engine.wait_until_waiting(1);
  std::jthread blocked([&] {
    const Tensor third = input(*one, 2);
    std::vector<Tensor> outputs;
    EXPECT_EQ(one->submit(std::span(&third, 1), 0, outputs).error().code, ErrorCode::cancelled);
  });
  one->cancel();
  blocked.join();
  EXPECT_EQ(map(queued, Access::read).error().code, ErrorCode::cancelled);
  engine.open_gate();
  EXPECT_EQ(first(running), -1);
  one->resume();
  EXPECT_EQ(first(submit(*one, input(*one, 3))), 4);
}

TEST_F(SessionTest, OutputsMayOutliveTheSession) {
  Tensor out;
  {
    auto one = stream(options());
    out = submit(*one, input(*one, 1));
    EXPECT_EQ(first(out), 2);
  }
  EXPECT_EQ(first(out), 2);
  auto one = stream(options());
  EXPECT_EQ(engine.loads, 2);  // the first one was closed
}

TEST_F(SessionTest, ClosingAStreamLosesNoRequest) {
  Tensor running, queued;
  {
    engine.parallel = 1;
    auto one = stream(options(2));
    running = submit(*one, input(*one, -2)), queued = submit(*one, input(*one, 1));
    engine.wait_until_waiting(1);
    engine.open_gate();
  }
  EXPECT_EQ(first(running), -1);
  EXPECT_EQ(first(queued), 2);
}

TEST_F(SessionTest, EqualOptionsShareAndOthersDoNot) {
  const auto one = open_session(options()), two = open_session(options());
  EXPECT_EQ(one->session, two->session);
  SessionOptions other = options();
  other.config = "x=1";
  EXPECT_NE(open_session(other)->session, one->session);
  EXPECT_EQ(engine.loads, 2);
}

TEST_F(SessionTest, OneIdIsOneSession) {
  SessionOptions wanted = options();
  wanted.shared_id = "a";
  wanted.config = "x=1";
  const auto one = open_session(wanted);
  ASSERT_TRUE(one);

  SessionOptions nothing;
  nothing.shared_id = "a";
  const auto inherits = open_session(nothing);
  ASSERT_TRUE(inherits);
  EXPECT_EQ(inherits->session, one->session);
  EXPECT_TRUE(inherits->warnings.empty());

  SessionOptions differs = wanted;
  differs.config = "x=2";
  const auto warned = open_session(differs);
  ASSERT_TRUE(warned);
  ASSERT_EQ(warned->warnings.size(), 1u);
  EXPECT_EQ(warned->warnings[0], "config=x=2 is ignored: shared-instance-id=a is open with x=1");

  SessionOptions other_model = wanted;
  other_model.model = "other.test";
  const auto refused = open_session(other_model);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message.find("other.test"), std::string::npos);

  SessionOptions other_device = wanted;
  other_device.device = "AUTO";
  EXPECT_FALSE(open_session(other_device));
  other_device.device = "cpu";
  EXPECT_TRUE(open_session(other_device));
}

TEST_F(SessionTest, AnIdThatNobodyHasOpenedNeedsAModel) {
  SessionOptions nothing;
  nothing.shared_id = "nobody";
  EXPECT_EQ(open_session(nothing).error().code, ErrorCode::not_found);
  EXPECT_EQ(open_session({}).error().code, ErrorCode::invalid_argument);
}

TEST_F(SessionTest, OpenedByManyAtOnceItIsLoadedOnce) {
  std::vector<std::shared_ptr<Session>> sessions(8);
  {
    std::vector<std::jthread> threads;
    for (auto& session : sessions) threads.emplace_back([&] { session = open_session(options())->session; });
  }
  for (const auto& session : sessions) EXPECT_EQ(session, sessions[0]);
  EXPECT_EQ(engine.loads, 1);
}

TEST_F(SessionTest, InputsThatDoNotFitAreRefusedWithBothShapes) {
  const auto session = open_session(options())->session;
  for (const TensorInfo& wrong : {TensorInfo{.type = DataType::f32, .shape = {2, 4}},
                                  TensorInfo{.type = DataType::f32, .shape = {1, 5}},
                                  TensorInfo{.type = DataType::f64, .shape = {1, 4}},
                                  TensorInfo{.type = DataType::f32, .shape = {1, -1}}}) {
    const auto refused = session->open_stream(std::span(&wrong, 1));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_negotiated);
    EXPECT_NE(refused.error().message.find("float32 1x4"), std::string::npos) << refused.error().message;
    EXPECT_NE(refused.error().message.find(wrong.shape.to_string()), std::string::npos)
        << refused.error().message;
  }
  EXPECT_FALSE(session->open_stream({}));
  const TensorInfo inner{.type = DataType::f32, .shape = {4}},
      outer{.type = DataType::f32, .shape = {1, 1, 4}};
  EXPECT_TRUE(session->open_stream(std::span(&inner, 1)));
  EXPECT_TRUE(session->open_stream(std::span(&outer, 1)));
}

TEST_F(SessionTest, AFrameThatIsNotAsAgreedIsRefused) {
  auto one = stream(options());
  const Tensor wrong = *allocate_tensor({.type = DataType::f32, .shape = {1, 5}});
  std::vector<Tensor> outputs;
  EXPECT_EQ(one->submit(std::span(&wrong, 1), 0, outputs).error().code, ErrorCode::not_negotiated);
  EXPECT_EQ(one->submit({}, 0, outputs).error().code, ErrorCode::not_negotiated);
}

TEST_F(SessionTest, FreeAxesFollowTheInput) {
  engine.signature.inputs[0].shape = {1, -1};
  engine.signature.outputs[0].shape = {1, -1};
  const auto session = open_session(options())->session;
  const std::vector<Shape> open{Shape{1, -1}}, fixed{Shape{1, 4}};
  EXPECT_EQ(session->outputs_for(open)->front().shape, (Shape{1, -1}));
  EXPECT_EQ(session->outputs_for(fixed)->front().shape, (Shape{1, 4}));
  auto one = stream(options());
  EXPECT_EQ(first(submit(*one, input(*one, 1))), 2);
}

TEST_F(SessionTest, OutputsWhoseSizeDependsOnTheDataAreWaitedFor) {
  engine.rows_depend_on_data = true;
  engine.signature.outputs[0].shape = {-1, 2};
  auto one = stream(options());
  EXPECT_EQ(one->outputs()[0].shape, (Shape{-1, 2}));
  for (int rows : {3, 1, 7}) {
    const Tensor out = submit(*one, input(*one, float(rows)));
    EXPECT_EQ(out.shape, (Shape{rows, 2}));
    EXPECT_EQ(map(out, Access::read)->data(), engine.last_output);
  }
  const Tensor bad = input(*one, -1);
  std::vector<Tensor> outputs;
  EXPECT_EQ(one->submit(std::span(&bad, 1), 0, outputs).error().code, ErrorCode::internal);
}

TEST_F(SessionTest, AModelThatFailsItsTrialRunIsNotOpened) {
  engine.broken = true;
  const auto refused = open_session(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "model.test: a trial run on zeros failed: broken");
  engine.broken = false;
  EXPECT_TRUE(open_session(options()));
}

TEST_F(SessionTest, ARequestDoesNotAllocateOnceWarm) {
  auto one = stream(options(4));
  std::vector<Tensor> outputs[4];
  const auto round = [&] {
    for (auto& made : outputs) {
      const Tensor in = input(*one, 1);
      ASSERT_TRUE(one->submit(std::span(&in, 1), 0, made));
    }
    for (const auto& made : outputs) ASSERT_EQ(first(made[0]), 2);
  };
  for (int i = 0; i < 50; ++i) round();
  const size_t before = allocation_count();
  for (int i = 0; i < 50; ++i) round();
  // Pools grow while they see a new maximum of blocks in use, which depends on timing; never with the number
  // of requests.
  EXPECT_LE(allocation_count() - before, 8u);
}

}  // namespace
}  // namespace sightglass
