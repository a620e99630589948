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

namespace sightglass {
namespace {

// An engine whose model adds 1 to its input [1,4] of float32, or to [N,4]. The first element of a row steers
// it: -1 fails, -2 waits for the gate.
class TestEngine final : public Engine {
 public:
  ModelSignature signature{.inputs = {{.type = DataType::f32, .shape = {1, 4}, .name = "in"}},
                           .outputs = {{.type = DataType::f32, .shape = {1, 4}, .name = "out"}}};
  unsigned parallel = 2;
  std::atomic<bool> broken = false;
  bool can_be_interrupted = false;
  bool rows_depend_on_data = false;  // as many rows come out as the first element says
  std::atomic<int> loads = 0;
  std::atomic<const void*> last_input = nullptr, last_output = nullptr;
  std::vector<int64_t> batches;  // rows of each run
  std::vector<Binding> last_inputs;

  std::mutex mutex;
  std::condition_variable changed;
  bool gate_open = false;
  int waiting = 0;

  void open_gate() {
    const std::lock_guard lock(mutex);
    gate_open = true;
    changed.notify_all();
  }
  void wait_until_waiting(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return waiting >= count; });
  }

  std::string_view name() const override { return "test"; }
  bool reads(const std::filesystem::path&) const override { return true; }
  Result<EngineInfo> info() override { return EngineInfo{}; }
  Status check_device(std::string_view) override { return {}; }
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path&, const LoadOptions&) override {
    ++loads;
    return std::make_unique<Model>(*this);
  }

 private:
  class Request final : public ModelRequest {
   public:
    explicit Request(TestEngine& engine) : engine_(engine) {}
    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      const auto* in = static_cast<const float*>(inputs[0].data);
      if (engine_.broken) return fail(ErrorCode::internal, "broken");
      bool waits = false;
      for (int64_t row = 0; row < inputs[0].shape[0]; ++row) {
        if (in[row * 4] == -1) return fail(ErrorCode::internal, "cannot take -1");
        waits = waits || in[row * 4] == -2;
      }
      {
        std::unique_lock lock(engine_.mutex);
        engine_.batches.push_back(inputs[0].shape[0]);
        engine_.last_inputs.assign(inputs.begin(), inputs.end());
        if (waits) {
          ++engine_.waiting;
          engine_.changed.notify_all();
          engine_.changed.wait(lock, [&] { return engine_.gate_open || gives_up(); });
          if (gives_up()) return fail(ErrorCode::internal, "interrupted");
        }
      }
      const int64_t elements = engine_.rows_depend_on_data ? int64_t(in[0]) * 2 : inputs[0].shape.elements();
      Binding& output = outputs[0];
      if (!output.data) {
        output.shape = engine_.rows_depend_on_data ? Shape{elements / 2, 2} : inputs[0].shape;
        auto block = *allocate_memory(size_t(std::max<int64_t>(elements, 1)) * sizeof(float));
        output.data = block->data();
        output.memory = block;
      }
      for (int64_t i = 0; i < elements; ++i)
        static_cast<float*>(output.data)[i] = in[i % inputs[0].shape.elements()] + 1;
      engine_.last_input = in;
      engine_.last_output = output.data;
      return {};
    }

    void set_interrupted(bool interrupted) override {
      const std::lock_guard lock(engine_.mutex);
      interrupted_ = interrupted;
      engine_.changed.notify_all();
    }

   private:
    bool gives_up() const { return engine_.can_be_interrupted && interrupted_; }

    TestEngine& engine_;
    bool interrupted_ = false;
  };
  class Model final : public LoadedModel {
   public:
    explicit Model(TestEngine& engine) : engine_(engine), signature_(engine.signature) {}
    const ModelSignature& signature() const override { return signature_; }
    std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(engine_); }
    unsigned parallel_requests() const override { return engine_.parallel; }

   private:
    TestEngine& engine_;
    const ModelSignature signature_;
  };
};

const TensorInfo floats{.type = DataType::f32, .shape = {1, 4}};

class SessionTest : public testing::Test {
 protected:
  SessionOptions options(unsigned requests = 0) {
    SessionOptions made;
    made.model = "model.test";
    made.requests = requests;
    made.engine = &engine;
    return made;
  }
  std::unique_ptr<SessionStream> stream(const SessionOptions& wanted, const TensorInfo& input = floats) {
    auto opened = open_session(wanted);
    EXPECT_TRUE(opened) << opened.error().message;
    auto made = opened->session->open_stream(std::span(&input, 1));
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }
  // A tensor in the stream's own pool.
  static Tensor input(SessionStream& to, float value) {
    Tensor tensor = tensor_in(*to.input_pool(0)->acquire(), floats);
    std::ranges::fill(map(tensor, Access::write)->as<float>(), value);
    return tensor;
  }
  static Tensor submit(SessionStream& to, const Tensor& tensor, Time pts = 0) {
    std::vector<Tensor> outputs;
    const Status status = to.submit(std::span(&tensor, 1), pts, outputs);
    EXPECT_TRUE(status) << status.error().message;
    return outputs[0];
  }
  static float first(const Tensor& tensor) { return map(tensor, Access::read)->as<const float>()[0]; }

  TestEngine engine;
};

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

// ---- batches

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
