#include "sightglass/model/spread_session.h"

#include <gtest/gtest.h>

#include <map>

#include "sightglass/memory/context.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// ---- an engine with devices that do not exist: its models run on the CPU and say which device they are on

class DevicesEngine final : public Engine {
 public:
  std::vector<std::string> names = {"CUDA:0", "CUDA:1", "CUDA:2"};
  std::string broken;  // the device that cannot be used

  std::string_view name() const override { return "devices"; }
  bool reads(const std::filesystem::path&) const override { return true; }
  Result<EngineInfo> info() override { return EngineInfo{}; }
  Status check_device(std::string_view) override { return {}; }
  Result<std::vector<std::string>> devices(std::string_view pattern) override {
    if (names.empty()) return fail(ErrorCode::unavailable, "device={} is not usable: no device", pattern);
    return names;
  }
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path&,
                                            const LoadOptions& options) override {
    if (options.device == broken) return fail(ErrorCode::exhausted, "not enough memory");
    const auto found = std::ranges::find(names, options.device);
    if (found == names.end()) return fail(ErrorCode::invalid_argument, "one device, not {}", options.device);
    ++loads[options.device];
    return std::make_unique<Model>(float(found - names.begin()));
  }
  std::map<std::string, int> loads;

 private:
  // Gives the number of its device.
  class Model final : public LoadedModel {
   public:
    explicit Model(float number) : number_(number) {}
    const ModelSignature& signature() const override { return signature_; }
    std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(number_); }
    unsigned parallel_requests() const override { return 1; }

   private:
    struct Request final : ModelRequest {
      explicit Request(float of_device) : number(of_device) {}
      Status run(std::span<const Binding>, std::span<Binding> outputs) override {
        if (!outputs[0].data) {
          auto block = *allocate_memory(sizeof(float));
          outputs[0] = {.data = block->data(), .shape = {1, 1}, .memory = block};
        }
        *static_cast<float*>(outputs[0].data) = number;
        return {};
      }
      const float number;
    };
    const float number_;
    const ModelSignature signature_{.inputs = {{.type = DataType::f32, .shape = {1, 1}, .name = "in"}},
                                    .outputs = {{.type = DataType::f32, .shape = {1, 1}, .name = "out"}}};
  };
};

const TensorInfo one_float{.type = DataType::f32, .shape = {1, 1}};

class SpreadTest : public testing::Test {
 protected:
  SessionOptions options() {
    SessionOptions made;
    made.model = "model.spread";
    made.device = "CUDA:*";
    made.engine = &engine;
    return made;
  }
  static size_t device_of(SessionStream& stream) {
    Tensor tensor = tensor_in(*stream.input_pool(0)->acquire(), one_float);
    std::vector<Tensor> outputs;
    EXPECT_TRUE(stream.submit({&tensor, 1}, 0, outputs));
    const auto mapped = map(outputs.at(0), Access::read);
    EXPECT_TRUE(mapped);
    return mapped ? size_t(mapped->as<float>()[0]) : 99;
  }
  static std::vector<size_t> streams_of(const Session& session) {
    std::vector<size_t> counts;
    for (const DeviceLoad& load : session.loads()) counts.push_back(load.streams);
    return counts;
  }

  DevicesEngine engine;
};

TEST_F(SpreadTest, StreamsGoWhereLeastIsToDo) {
  const auto opened = open_session(options());
  ASSERT_TRUE(opened) << opened.error().message;
  Session& session = *opened->session;
  std::vector<std::unique_ptr<SessionStream>> streams;
  for (size_t i = 0; i < 6; ++i) {
    streams.push_back(*session.open_stream({&one_float, 1}));
    EXPECT_EQ(device_of(*streams.back()), i % 3);
  }
  EXPECT_EQ(streams_of(session), (std::vector<size_t>{2, 2, 2}));
  streams.erase(streams.begin() + 1);  // of the second device
  EXPECT_EQ(streams_of(session), (std::vector<size_t>{2, 1, 2}));
  streams.push_back(*session.open_stream({&one_float, 1}));
  EXPECT_EQ(device_of(*streams.back()), 1u);
}

TEST_F(SpreadTest, AFastStreamCountsForSeveralSlowOnes) {
  const auto opened = open_session(options());
  ASSERT_TRUE(opened);
  Session& session = *opened->session;
  const auto fast = *session.open_stream({&one_float, 1});
  fast->set_frame_period(10'000'000);  // 100 per second
  std::vector<std::unique_ptr<SessionStream>> slow;
  for (int i = 0; i < 5; ++i) {
    slow.push_back(*session.open_stream({&one_float, 1}));
    slow.back()->set_frame_period(100'000'000);
  }
  const auto loads = session.loads();
  ASSERT_EQ(loads.size(), 3u);
  EXPECT_EQ(loads[0].device, "CUDA:0");
  EXPECT_EQ(streams_of(session), (std::vector<size_t>{1, 3, 2}));
  EXPECT_DOUBLE_EQ(loads[0].frames_per_second, 100);
  EXPECT_DOUBLE_EQ(loads[1].frames_per_second, 30);
  EXPECT_DOUBLE_EQ(loads[2].frames_per_second, 20);
  slow.clear();
  EXPECT_EQ(session.loads()[1].frames_per_second, 0);
}

TEST_F(SpreadTest, TheTotalsAreThoseOfAllDevices) {
  const auto opened = open_session(options());
  ASSERT_TRUE(opened);
  std::vector<std::unique_ptr<SessionStream>> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(*opened->session->open_stream({&one_float, 1}));
    (void)device_of(*streams.back());
  }
  EXPECT_EQ(opened->session->totals().samples, 3u);
  EXPECT_EQ(opened->session->totals().runs.count(), 3u);
  for (const DeviceLoad& load : opened->session->loads()) EXPECT_EQ(load.totals.samples, 1u);
}

TEST_F(SpreadTest, TheModelIsLoadedOncePerDeviceForAllThatUseIt) {
  const auto all = open_session(options());
  ASSERT_TRUE(all);
  SessionOptions second = options();
  second.device = "cuda.1";
  engine.names[1] = "CUDA:1";
  const auto alone = open_session(second);
  ASSERT_TRUE(alone);
  EXPECT_TRUE(alone->joined);
  EXPECT_TRUE(open_session(options())->joined);
  SessionOptions by_id = options();
  by_id.shared_id = "spread";
  EXPECT_FALSE(open_session(by_id)->joined);  // a session of its own over the same models
  for (const auto& [device, count] : engine.loads) EXPECT_EQ(count, 1) << device;
}

TEST_F(SpreadTest, ADeviceThatCannotBeUsedIsLeftOutAndNamed) {
  engine.broken = "CUDA:1";
  const auto opened = open_session(options());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->warnings,
            std::vector<std::string>{"device=CUDA:*: CUDA:1 is left out: not enough memory"});
  EXPECT_EQ(opened->session->loads().size(), 2u);
}

TEST_F(SpreadTest, WithoutAnyDeviceTheReasonIsGiven) {
  engine.names.clear();
  const auto none = open_session(options());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "device=CUDA:* is not usable: no device");
  engine.names = {"CUDA:0"};
  engine.broken = "CUDA:0";
  const auto broken = open_session(options());
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::exhausted);
}

// ---- tensors in the memory of a device, over sessions that only note what they get

class Card final : public Context {
 public:
  Card() : Context(MemoryKind::cuda) {}
  std::string description() const override { return "a card"; }
  void* handle(std::string_view) const override { return nullptr; }
};

class CardMemory final : public Memory {
 public:
  explicit CardMemory(ContextRef card) : Memory(MemoryKind::cuda, 4), card_(std::move(card)) {}
  const Context* context() const override { return card_.get(); }
  Result<std::byte*> map(Access) override { return fail(ErrorCode::unsupported, "on a card"); }
  void unmap(Access) override {}

 private:
  const ContextRef card_;
};

class CardPool final : public MemoryPool {
 public:
  explicit CardPool(ContextRef card) : card_(std::move(card)) {}
  size_t block_size() const override { return 4; }
  Result<MemoryRef> acquire() override { return MemoryRef(make_ref<CardMemory>(card_)); }

 private:
  const ContextRef card_;
};

class CardSession final : public Session {
 public:
  ContextRef card = make_ref<Card>();
  std::vector<std::string> seen;  // what its streams were told

  const ModelSignature& signature() const override { return signature_; }
  const ModelSignature& signature_with_constants() const override { return signature_; }
  const std::string& model() const override { return model_; }
  ContextRef device() const override { return card; }
  size_t batch_size() const override { return 1; }
  void set_batch_timeout(int milliseconds) override {
    seen.push_back(std::format("timeout {}", milliseconds));
  }
  SessionTotals totals() const override { return made; }
  SessionTotals made;
  Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape>) override { return signature_.outputs; }
  Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo>, MemoryKind) override {
    seen.emplace_back("open");
    return std::make_unique<Stream>(*this);
  }

 private:
  class Stream final : public SessionStream {
   public:
    explicit Stream(CardSession& session) : session_(session), pool_(make_ref<CardPool>(session.card)) {}
    ~Stream() override { session_.seen.emplace_back("close"); }
    const std::vector<TensorInfo>& outputs() const override { return session_.signature_.outputs; }
    const std::string& note() const override { return session_.model_; }
    Ref<MemoryPool> input_pool(size_t) const override { return pool_; }
    Status submit(std::span<const Tensor>, Time pts, std::vector<Tensor>&) override {
      session_.seen.push_back(std::format("submit {}", pts));
      return {};
    }
    void drain() override { session_.seen.emplace_back("drain"); }
    void set_frame_period(Time period) override { session_.seen.push_back(std::format("period {}", period)); }
    void cancel() override { session_.seen.emplace_back("cancel"); }
    void resume() override { session_.seen.emplace_back("resume"); }

   private:
    CardSession& session_;
    const Ref<MemoryPool> pool_;
  };
  const std::string model_ = "model.cards";
  const ModelSignature signature_{.inputs = {one_float}, .outputs = {one_float}};
};

class CardsTest : public testing::Test {
 protected:
  static Tensor tensor_on(const ContextRef& card) {
    return tensor_in(MemoryRef(make_ref<CardMemory>(card)), one_float);
  }
  static Status submit(SessionStream& stream, const Tensor& tensor, Time pts) {
    std::vector<Tensor> outputs;
    return stream.submit({&tensor, 1}, pts, outputs);
  }
  using Seen = std::vector<std::string>;

  std::shared_ptr<CardSession> first = std::make_shared<CardSession>(),
                               second = std::make_shared<CardSession>();
  std::shared_ptr<Session> both = spread_session({{"CUDA:0", first}, {"CUDA:1", second}});
};

TEST_F(CardsTest, TensorsGoToTheDeviceThatTheyLieOn) {
  const auto stream = *both->open_stream({&one_float, 1}, MemoryKind::cuda);
  stream->set_frame_period(40'000'000);
  const auto pool = stream->input_pool(0);
  ASSERT_TRUE(submit(*stream, tensor_on(second->card), 1));
  ASSERT_TRUE(submit(*stream, tensor_on(second->card), 2));
  EXPECT_EQ(first->seen, (Seen{"open", "period 40000000", "close"}));
  EXPECT_EQ(second->seen, (Seen{"open", "period 40000000", "submit 1", "submit 2"}));
  EXPECT_EQ(both->loads()[0].streams, 0u);
  EXPECT_EQ(both->loads()[1].streams, 1u);
  EXPECT_DOUBLE_EQ(both->loads()[1].frames_per_second, 25);
  // Blocks come from the device that it is bound to.
  EXPECT_EQ((*pool->acquire())->context(), second->card.get());
  // The decoder was changed for one of the other device.
  ASSERT_TRUE(submit(*stream, tensor_on(first->card), 3));
  EXPECT_EQ(second->seen.back(), "close");
  EXPECT_EQ(first->seen.back(), "submit 3");
  EXPECT_EQ((*pool->acquire())->context(), first->card.get());
}

TEST_F(CardsTest, FailuresOfOneDeviceAreNotHiddenByTheOthers) {
  first->made = {
      .batches = 9, .failed = 1, .failed_in_a_row = 0, .last_failure = "old", .last_failed_ns = 10};
  second->made = {
      .batches = 4, .failed = 6, .failed_in_a_row = 5, .last_failure = "gone", .last_failed_ns = 20};
  const SessionTotals sum = both->totals();
  EXPECT_EQ(sum.batches, 13u);
  EXPECT_EQ(sum.failed, 7u);
  EXPECT_EQ(sum.failed_in_a_row, 5u);
  EXPECT_EQ(sum.last_failure, "gone");
}

TEST_F(CardsTest, TensorsOfADeviceWithoutTheModelAreRefused) {
  const auto stream = *both->open_stream({&one_float, 1}, MemoryKind::cuda);
  const Status refused = submit(*stream, tensor_on(make_ref<Card>()), 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "model.cards: tensors lie on a card, where the model is not loaded");
}

TEST_F(CardsTest, WhatIsCancelledStaysSoOnTheNewDevice) {
  const auto stream = *both->open_stream({&one_float, 1}, MemoryKind::cuda);
  stream->cancel();
  (void)submit(*stream, tensor_on(second->card), 1);
  EXPECT_EQ(second->seen, (Seen{"open", "cancel", "submit 1"}));
  stream->resume();
  EXPECT_EQ(second->seen.back(), "resume");
  both->set_batch_timeout(5);
  EXPECT_EQ(first->seen.back(), "timeout 5");
  EXPECT_EQ(second->seen.back(), "timeout 5");
}

}  // namespace
}  // namespace sightglass
