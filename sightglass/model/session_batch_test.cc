// Samples that share batches: of one stream, of several, and of streams that end, fail or are given up.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "sightglass/core/allocation_count.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/session.h"
#include "sightglass/model/session_test_support.h"

namespace sightglass {
namespace {

class BatchTest : public SessionTest {
 protected:
  static constexpr int for_ever = 1'000'000;  // ms: what has to leave at once does so long before

  void free_batch() {
    engine.parallel = 1;
    engine.signature.inputs[0].shape = engine.signature.outputs[0].shape = {-1, 4};
  }
  SessionOptions batching(unsigned size, int timeout = for_ever) {
    SessionOptions made = options();
    made.batch_size = size;
    made.batch_timeout = timeout;
    return made;
  }
  std::vector<int64_t> runs() {
    const std::lock_guard lock(engine.mutex);
    return std::exchange(engine.batches, {});
  }
};

TEST_F(BatchTest, OneStreamFillsBatchesWhichTheEngineReadsWhereTheyLie) {
  free_batch();
  const TensorInfo wide{.type = DataType::f32, .shape = {1, 16}};
  engine.signature.inputs[0].shape = engine.signature.outputs[0].shape = {-1, 16};
  auto one = stream(batching(4), wide);
  runs();
  CopyLedger::process().reset();
  std::vector<Tensor> inputs, outputs;
  for (int i = 0; i < 8; ++i) {
    inputs.push_back(tensor_in(*one->input_pool(0)->acquire(), wide));
    std::ranges::fill(map(inputs.back(), Access::write)->as<float>(), float(i));
  }
  for (const Tensor& tensor : inputs) outputs.push_back(submit(*one, tensor));
  for (int i = 0; i < 8; ++i) {
    const auto mapped = map(outputs[size_t(i)], Access::read);
    for (float value : mapped->as<const float>()) ASSERT_EQ(value, float(i) + 1);
    EXPECT_EQ(outputs[size_t(i)].shape, (Shape{1, 16}));
  }
  EXPECT_EQ(runs(), (std::vector<int64_t>{4, 4}));
  EXPECT_EQ(CopyLedger::process().total().bytes_copied, 0u);
  EXPECT_EQ(CopyLedger::process().total().bytes_shared, 8u * 64);
  // The outputs are parts of one tensor.
  EXPECT_EQ(map(outputs[5], Access::read)->data(), map(outputs[4], Access::read)->data() + 64);
}

TEST_F(BatchTest, SamplesOfAllStreamsShareABatchAtOneCountedCopyEach) {
  free_batch();
  auto one = stream(batching(4)), two = stream(batching(4));
  runs();
  CopyLedger::process().reset();
  const Tensor a = submit(*one, input(*one, 1)), b = submit(*two, input(*two, 2)),
               c = submit(*two, input(*two, 3)), d = submit(*one, input(*one, 4));
  EXPECT_EQ(first(a), 2);
  EXPECT_EQ(first(b), 3);
  EXPECT_EQ(first(c), 4);
  EXPECT_EQ(first(d), 5);
  EXPECT_EQ(runs(), std::vector<int64_t>{4});
  const CopyLedger::Entry total = CopyLedger::process().total();
  EXPECT_EQ(total.copies, 4u);
  EXPECT_EQ(total.bytes_copied, 64u);
}

TEST_F(BatchTest, APartialBatchLeavesAtTheEndOfItsStream) {
  free_batch();
  auto one = stream(batching(4)), two = stream(batching(4));
  runs();
  const Tensor a = submit(*one, input(*one, 1)), b = submit(*two, input(*two, 2));
  one->drain();
  std::jthread reader([&] { EXPECT_EQ(first(a), 2); });
  reader.join();
  EXPECT_EQ(first(b), 3);  // went along
  EXPECT_EQ(runs(), std::vector<int64_t>{2});
  // The ended stream may begin again.
  const Tensor again = submit(*one, input(*one, 5));
  one->drain();
  two->drain();
  EXPECT_EQ(first(again), 6);
}

TEST_F(BatchTest, AStreamThatClosesTakesItsSamplesAlong) {
  free_batch();
  Tensor a, b;
  auto two = stream(batching(4));
  {
    auto one = stream(batching(4));
    a = submit(*one, input(*one, 1));
    b = submit(*two, input(*two, 2));
  }
  EXPECT_EQ(first(a), 2);
  EXPECT_EQ(first(b), 3);
}

TEST_F(BatchTest, FourStreamsOfWhichOneStopsGoOnInBatchesOfThree) {
  free_batch();
  std::vector<std::unique_ptr<SessionStream>> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(stream(batching(4)));
  runs();
  // Each waits for its result before it sends the next, so that a batch never gets more than one of it.
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        SessionStream& mine = *streams[size_t(i)];
        for (int k = 0; k < (i == 3 ? 5 : 20); ++k)
          right += first(submit(mine, input(mine, float(100 * i + k)), k)) == float(100 * i + k + 1);
        mine.drain();
      });
  }
  EXPECT_EQ(right, 65);
  int64_t all = 0;
  for (int64_t rows : runs()) {
    EXPECT_LE(rows, 4);
    all += rows;
  }
  EXPECT_EQ(all, 65);
}

TEST_F(BatchTest, AFlushedStreamHoldsNobodyUpAndGetsItsErrors) {
  free_batch();
  auto one = stream(batching(3)), two = stream(batching(3));
  runs();
  const Tensor dropped = submit(*one, input(*one, 1)), a = submit(*two, input(*two, 2));
  one->cancel();
  EXPECT_EQ(map(dropped, Access::read).error().code, ErrorCode::cancelled);
  EXPECT_EQ(first(a), 3);  // nobody else can send anything: this thread waits
  EXPECT_EQ(runs(), std::vector<int64_t>{1});
  one->resume();
  const Tensor b = submit(*one, input(*one, 5)), c = submit(*one, input(*one, 6)),
               d = submit(*two, input(*two, 7));
  EXPECT_EQ(first(b), 6);
  EXPECT_EQ(first(c), 7);
  EXPECT_EQ(first(d), 8);
}

TEST_F(BatchTest, AnErrorHitsOnlyTheSampleThatCausesIt) {
  free_batch();
  auto one = stream(batching(3)), two = stream(batching(3));
  const Tensor good = submit(*one, input(*one, 1)), bad = submit(*two, input(*two, -1)),
               also_good = submit(*one, input(*one, 2));
  EXPECT_EQ(first(good), 2);
  EXPECT_EQ(first(also_good), 3);
  const auto failed = map(bad, Access::read);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "model.test: cannot take -1");
  // So does an input that is an error itself.
  const Tensor spoilt = submit(*one, bad), x = submit(*one, input(*one, 3)), y = submit(*two, input(*two, 4));
  EXPECT_FALSE(map(spoilt, Access::read));
  EXPECT_EQ(first(x), 4);
  EXPECT_EQ(first(y), 5);
}

TEST_F(BatchTest, ARunIsGivenUpOnlyWhenNobodyWantsAnyOfIt) {
  free_batch();
  engine.can_be_interrupted = true;
  auto one = stream(batching(2)), two = stream(batching(2));
  const Tensor a = submit(*one, input(*one, -2)), b = submit(*two, input(*two, 5));
  engine.wait_until_waiting(1);
  one->cancel();
  two->cancel();
  EXPECT_EQ(map(a, Access::read).error().code, ErrorCode::cancelled);
  EXPECT_EQ(map(b, Access::read).error().code, ErrorCode::cancelled);
  one->resume();
  two->resume();
  const Tensor c = submit(*one, input(*one, -2)), d = submit(*two, input(*two, 6));
  engine.wait_until_waiting(2);
  one->cancel();
  engine.open_gate();
  EXPECT_EQ(first(d), 7);
}

TEST_F(BatchTest, AFixedBatchIsPaddedAndThePaddingDropped) {
  engine.parallel = 1;
  engine.signature.inputs[0].shape = engine.signature.outputs[0].shape = {4, 4};
  const auto opened = open_session(batching(4));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->warnings.empty());
  EXPECT_EQ(opened->session->signature().inputs[0].shape, (Shape{1, 4}));
  EXPECT_EQ(opened->session->signature().outputs[0].shape, (Shape{1, 4}));
  EXPECT_EQ(opened->session->batch_size(), 4u);
  auto one = stream(batching(4));
  runs();
  const Tensor a = submit(*one, input(*one, 1)), b = submit(*one, input(*one, 2));
  one->drain();
  EXPECT_EQ(first(a), 2);
  EXPECT_EQ(first(b), 3);
  EXPECT_EQ(runs(), std::vector<int64_t>{4});
}

TEST_F(BatchTest, AnotherSizeThanTheFixedOneIsOneWarning) {
  engine.signature.inputs[0].shape = engine.signature.outputs[0].shape = {4, 3, 2, 2};
  EXPECT_EQ(open_session(batching(0))->session->batch_size(), 4u);
  const auto other = open_session(batching(8));
  EXPECT_EQ(other->session->batch_size(), 4u);
  EXPECT_EQ(other->warnings,
            std::vector<std::string>{"batch-size=8: the batch of model.test is fixed at 4, so that is used"});
  engine.signature.inputs[0].shape = engine.signature.outputs[0].shape = {1, 3, 2, 2};
  SessionOptions another = batching(8);
  another.config = "x=1";
  const auto single = open_session(another);
  EXPECT_EQ(single->session->batch_size(), 1u);
  ASSERT_EQ(single->warnings.size(), 1u);
  EXPECT_NE(single->warnings[0].find("its batch is fixed at 1"), std::string::npos) << single->warnings[0];
}

TEST_F(BatchTest, OutputsWithoutARowPerSampleAreRunOneByOne) {
  free_batch();
  engine.rows_depend_on_data = true;
  engine.signature.outputs[0].shape = {-1, 2};
  const auto opened = open_session(batching(4));
  ASSERT_EQ(opened->warnings.size(), 1u);
  EXPECT_NE(opened->warnings[0].find("not every output has one row per sample"), std::string::npos);
  auto one = stream(batching(4));
  EXPECT_FALSE(one->note().empty());
  EXPECT_EQ(submit(*one, input(*one, 3)).shape, (Shape{3, 2}));
}

TEST_F(BatchTest, TensorsThatHoldABatchRunAsTheyAre) {
  free_batch();
  const TensorInfo three{.type = DataType::f32, .shape = {3, 4}};
  auto whole = stream(batching(4), three), single = stream(batching(4));
  EXPECT_EQ(whole->outputs()[0].shape, (Shape{3, 4}));
  runs();
  const Tensor alone = submit(*single, input(*single, 1));
  Tensor in = *allocate_tensor(three);
  std::ranges::fill(map(in, Access::write)->as<float>(), 7.f);
  const Tensor out = submit(*whole, in);
  EXPECT_EQ(out.shape, (Shape{3, 4}));
  EXPECT_EQ(map(out, Access::read)->as<const float>()[11], 8);
  single->drain();
  EXPECT_EQ(first(alone), 2);
  auto sizes = runs();
  std::ranges::sort(sizes);
  EXPECT_EQ(sizes, (std::vector<int64_t>{1, 3}));  // not together with those of the other kind
}

TEST_F(BatchTest, AModelMayRunOnItsOwnResultsInOneBatch) {
  free_batch();
  auto one = stream(batching(2)), two = stream(batching(2));
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(first(submit(*two, submit(*one, input(*one, float(i))))), float(i) + 2);
}

TEST_F(BatchTest, ConstantInputsAreGivenWithEveryRun) {
  free_batch();
  engine.signature.inputs.push_back({.type = DataType::f32, .shape = {-1, 3}, .name = "image_info"});
  SessionOptions wanted = batching(2);
  wanted.constants = {{"image_info", {64, 96, 1}}};
  auto one = stream(wanted);
  const Tensor a = submit(*one, input(*one, 1)), b = submit(*one, input(*one, 2));
  EXPECT_EQ(first(a), 2);
  EXPECT_EQ(first(b), 3);
  const Binding info = engine.last_inputs[1];
  EXPECT_EQ(info.shape, (Shape{2, 3}));
  const auto* values = static_cast<const float*>(info.data);
  EXPECT_EQ((std::vector<float>(values, values + 6)), (std::vector<float>{64, 96, 1, 64, 96, 1}));

  wanted.constants = {{"image_info", {64, 96}}};
  EXPECT_EQ(open_session(wanted).error().message,
            "input 'image_info' of model.test takes 1x3, for which 2 values are given");
  wanted.constants = {{"other", {1}}};
  EXPECT_EQ(open_session(wanted).error().code, ErrorCode::not_found);
}

TEST_F(BatchTest, ABatchLargerThanTheLimitOfRequestsLeavesWithWhatThereIs) {
  free_batch();
  SessionOptions wanted = batching(64);
  wanted.requests = 1;
  auto one = stream(wanted), two = stream(wanted);
  two->drain();
  runs();
  std::vector<Tensor> outputs;
  for (int i = 0; i < 100; ++i) outputs.push_back(submit(*one, input(*one, float(i))));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(first(outputs[size_t(i)]), float(i) + 1);
  int64_t all = 0;
  for (int64_t rows : runs()) all += rows;
  EXPECT_EQ(all, 100);
}

TEST_F(BatchTest, ABatchDoesNotAllocateOnceWarm) {
  free_batch();
  auto one = stream(batching(4));
  std::vector<Tensor> outputs[8];
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
  // What the engine counts for these tests is one list per run; beyond that see the test of single requests.
  EXPECT_LE(allocation_count() - before, 24u);
}

}  // namespace
}  // namespace sightglass
