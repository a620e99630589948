// Sessions of models that run on a device; with the driver of tests/cuda, whose calls fail when they are told
// to.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <vector>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/session.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using test::cuda_double;
using testing::HasSubstr;

// Its model gives back its input [N,4] of float32, which it reads on the device.
class EchoEngine final : public Engine {
 public:
  std::atomic<int> with_memory = 1000;  // requests for which there is memory
  std::atomic<bool> fails = false;      // with the inputs still on their way

  std::string_view name() const override { return "echo"; }
  bool reads(const std::filesystem::path&) const override { return true; }
  Result<EngineInfo> info() override { return EngineInfo{}; }
  Status check_device(std::string_view) override { return {}; }
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path&,
                                            const LoadOptions& wanted) override {
    if (wanted.device == "CPU" && !has_cpu) return fail(ErrorCode::unavailable, "needs a device");
    return std::make_unique<Model>(*this, wanted.device != "CPU");
  }
  bool has_cpu = true;

 private:
  class Request final : public ModelRequest {
   public:
    Request(EchoEngine& engine, bool has_memory) : engine_(engine) {
      if (!has_memory) return;
      stream_ = CudaStream::make(nullptr).value();
      block_ = allocate_cuda(nullptr, 4096).value();
    }
    CudaStream* stream() override { return stream_.get(); }
    Result<uint64_t> place(size_t, const Shape& shape) override {
      if (!stream_) return fail(ErrorCode::exhausted, "the GPU is full");
      const size_t bytes = size_t(shape.elements()) * sizeof(float);
      if (!block_ || block_->size() < bytes) {
        auto made = allocate_cuda(nullptr, bytes);
        if (!made) return forward_error(made);
        block_ = *std::move(made);
      }
      return static_cast<CudaMemory&>(*block_).address();
    }
    Status prepare(std::span<const Shape>, std::span<const Shape>) override {
      return stream_ ? Status() : fail(ErrorCode::exhausted, "the GPU is full");
    }
    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      if (engine_.fails) return fail(ErrorCode::internal, "fails");
      auto from = place(0, inputs[0].shape);
      if (!from) return forward_error(from);
      const size_t bytes = size_t(inputs[0].shape.elements()) * sizeof(float);
      Status status =
          inputs[0].is_placed ? Status() : stream_->copy(*from, address_of(inputs[0].data), bytes);
      Binding& output = outputs[0];
      if (status && !output.data) {
        auto block = allocate_memory(bytes);
        output = {.data = (*block)->data(), .shape = inputs[0].shape, .memory = *block};
      }
      if (status) status = stream_->copy(address_of(output.data), *from, bytes);
      const Status finished = stream_->finish();
      return status ? finished : status;
    }

   private:
    EchoEngine& engine_;
    std::unique_ptr<CudaStream> stream_;
    MemoryRef block_;
  };
  class CpuRequest final : public ModelRequest {
    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      const size_t bytes = size_t(inputs[0].shape.elements()) * sizeof(float);
      if (!outputs[0].data) {
        auto block = allocate_memory(bytes);
        outputs[0] = {.data = (*block)->data(), .shape = inputs[0].shape, .memory = *block};
      }
      std::memcpy(outputs[0].data, inputs[0].data, bytes);
      return {};
    }
  };
  class Model final : public LoadedModel {
   public:
    Model(EchoEngine& engine, bool on_device) : engine_(engine), on_device_(on_device) {}
    const ModelSignature& signature() const override { return signature_; }
    std::unique_ptr<ModelRequest> request() override {
      if (!on_device_) return std::make_unique<CpuRequest>();
      return std::make_unique<Request>(engine_, engine_.with_memory-- > 0);
    }
    unsigned parallel_requests() const override { return 2; }
    ContextRef device() const override { return on_device_ ? cuda_context(0).value() : nullptr; }

   private:
    EchoEngine& engine_;
    const bool on_device_;
    const ModelSignature signature_{.inputs = {{.type = DataType::f32, .shape = {-1, 4}, .name = "in"}},
                                    .outputs = {{.type = DataType::f32, .shape = {-1, 4}, .name = "out"}}};
  };
};

class SessionOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
  }
  void TearDown() override {
    cuda_double().heal();
    EXPECT_EQ(cuda_double().depth(), 0);
  }
  Result<OpenedSession> open(unsigned batch = 1, const std::string& device = "CUDA:0") {
    return open_session(
        {.model = "echo", .device = device, .batch_size = batch, .batch_timeout = 0, .engine = &engine_});
  }
  static Tensor sample(const Ref<MemoryPool>& pool, float value) {
    Tensor made = tensor_in(pool->acquire().value(), input());
    auto mapping = map(made, Access::write);
    for (float& one : mapping->as<float>()) one = value;
    return made;
  }
  static TensorInfo input() { return {.type = DataType::f32, .shape = {1, 4}}; }
  static std::unique_ptr<SessionStream> stream_of(const OpenedSession& opened, MemoryKind memory) {
    const TensorInfo info = input();
    auto stream = opened.session->open_stream({&info, 1}, memory);
    EXPECT_TRUE(stream) << stream.error().message;
    return stream ? *std::move(stream) : nullptr;
  }
  // What comes out for one sample.
  static Result<float> run(SessionStream& stream, const Tensor& sample) {
    std::vector<Tensor> outputs;
    if (auto sent = stream.submit({&sample, 1}, 0, outputs); !sent) return forward_error(sent);
    auto mapped = map(outputs.at(0), Access::read);
    if (!mapped) return forward_error(mapped);
    return mapped->as<const float>()[3];
  }

  EchoEngine engine_;
};

TEST_F(SessionOnDevice, RunsWithTheWorkersThatThereIsMemoryFor) {
  engine_.with_memory = 3;  // two trial runs, and one worker
  const auto opened = open(4);
  ASSERT_TRUE(opened) << opened.error().message;
  ASSERT_EQ(opened->warnings.size(), 1u);
  EXPECT_THAT(opened->warnings[0], HasSubstr("1 of 2 workers run it: the GPU is full"));
  for (const MemoryKind memory : {MemoryKind::system, MemoryKind::cuda}) {
    const auto stream = stream_of(*opened, memory);
    ASSERT_TRUE(stream);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(run(*stream, sample(stream->input_pool(0), float(i))).value(), i);
  }
}

// What the host does between two runs is hidden by a further one, which need not have room.
TEST_F(SessionOnDevice, RunsSamplesWithOneWorkerMoreWhereThereIsRoom) {
  const int before = engine_.with_memory;
  ASSERT_TRUE(open());
  const int all = before - engine_.with_memory;
  const auto warnings_with = [&](int memory) {
    engine_.with_memory = memory;
    const auto opened = open();
    return opened ? opened->warnings : std::vector{opened.error().message};
  };
  EXPECT_THAT(warnings_with(all - 1), testing::IsEmpty());
  EXPECT_THAT(warnings_with(all - 2), testing::ElementsAre(HasSubstr("1 of 2 workers run it")));
}

TEST_F(SessionOnDevice, WithoutMemoryForAnyWorkerDoesNotOpen) {
  engine_.with_memory = 2;
  const auto opened = open(4);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::exhausted);
  EXPECT_THAT(opened.error().message, HasSubstr("the GPU is full"));
}

TEST_F(SessionOnDevice, WithoutMemoryForAnyWorkerAutoTakesTheCpu) {
  for (const int with_memory : {0, 2}) {  // in the trial runs, and behind them
    engine_.with_memory = with_memory;
    const auto opened = open(4, "AUTO");
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_FALSE(opened->session->device());
    ASSERT_EQ(opened->warnings.size(), 1u);
    EXPECT_THAT(opened->warnings[0], HasSubstr("device=AUTO uses the CPU: "));
    EXPECT_THAT(opened->warnings[0], HasSubstr("the GPU is full"));
    const auto stream = stream_of(*opened, MemoryKind::system);
    ASSERT_TRUE(stream);
    EXPECT_EQ(run(*stream, sample(stream->input_pool(0), 3)).value(), 3);
  }
  engine_.with_memory = 0;
  engine_.has_cpu = false;
  const auto neither = open(4, "AUTO");
  ASSERT_FALSE(neither);
  EXPECT_EQ(neither.error().code, ErrorCode::exhausted);
}

// Whoever has sent the sample gets it back then.
TEST_F(SessionOnDevice, ARunThatFailsIsNotHandedBackBeforeTheDeviceIsDone) {
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  const auto stream = stream_of(*opened, MemoryKind::system);
  ASSERT_TRUE(stream);
  const Tensor one = sample(stream->input_pool(0), 3);
  ASSERT_EQ(run(*stream, one).value(), 3);
  const unsigned waits = cuda_double().calls("cuEventSynchronize");
  engine_.fails = true;
  EXPECT_FALSE(run(*stream, one));
  EXPECT_EQ(cuda_double().calls("cuEventSynchronize"), waits + 1);
  engine_.fails = false;
  EXPECT_EQ(run(*stream, one).value(), 3);
}

// At whatever call the memory runs out or the device goes away: the sample fails in one line, no other one is
// held up, and the session goes on when it is back.
TEST_F(SessionOnDevice, ASampleThatFailsOnTheDeviceFailsAlone) {
  const auto opened = open(4);
  ASSERT_TRUE(opened) << opened.error().message;
  for (const MemoryKind memory : {MemoryKind::system, MemoryKind::cuda}) {
    const auto stream = stream_of(*opened, memory);
    ASSERT_TRUE(stream);
    const Tensor one = sample(stream->input_pool(0), 7);
    ASSERT_EQ(run(*stream, one).value(), 7);
    int failures = 0;
    for (const int code : {test::out_of_memory, test::device_gone})
      for (unsigned call = 1; call < 40; ++call) {
        cuda_double().fail("", call, code);
        const auto result = run(*stream, one);
        cuda_double().heal();
        if (!result) {
          ++failures;
          EXPECT_EQ(result.error().code,
                    code == test::out_of_memory ? ErrorCode::exhausted : ErrorCode::unavailable)
              << result.error().message;
          EXPECT_THAT(result.error().message, testing::Not(HasSubstr("\n")));
        }
        ASSERT_EQ(run(*stream, one).value(), 7) << "after a failure from call " << call;
      }
    EXPECT_GT(failures, 4);
  }
}

// What a model's input is made of when its batch is known: here a number, which is written there.
class Number final : public DeferredWrite {
 public:
  struct Runs {
    std::atomic<size_t> count{0}, samples{0};
  };
  Number(float value, Runs& runs) : value_(value), runs_(runs) {}
  const void* kind() const override { return &runs_; }
  Status run(std::span<const Part> parts, CUstream_st*) override {
    ++runs_.count;
    runs_.samples += parts.size();
    for (const Part& part : parts) {
      const auto& number = static_cast<Number&>(*part.write);
      if (number.fails) return fail(ErrorCode::unavailable, "the picture is gone");
      std::fill_n(test::host_address(reinterpret_cast<float*>(part.to)), 4, number.value_);
    }
    return {};
  }
  bool fails = false;

 private:
  const float value_;
  Runs& runs_;
};

class DeferredSamples : public SessionOnDevice {
 protected:
  void SetUp() override {
    SessionOnDevice::SetUp();
    opened_ = open(4);
    ASSERT_TRUE(opened_) << opened_.error().message;
    stream_ = stream_of(*opened_, MemoryKind::cuda);
    ASSERT_TRUE(stream_);
  }
  // Samples of 1, 2, 3 and 4.
  void submit(std::optional<size_t> that_fails = {}) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor one = tensor_in(stream_->input_pool(0)->acquire().value(), input());
      auto number = make_ref<Number>(float(i + 1), runs);
      number->fails = i == that_fails;
      auto& block = static_cast<CudaMemory&>(*one.memory);
      ASSERT_TRUE(block.takes_deferred());
      block.defer(std::move(number));
      ASSERT_TRUE(stream_->submit({&one, 1}, Time(i), outputs[i]));
    }
  }
  Number::Runs runs;
  std::array<std::vector<Tensor>, 4> outputs;

 private:
  Result<OpenedSession> opened_;
  std::unique_ptr<SessionStream> stream_;
};

TEST_F(DeferredSamples, AreWrittenTogetherToWhereTheModelReadsThem) {
  const unsigned copies = cuda_double().calls("cuMemcpyAsync");
  submit();
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(map(outputs[i].at(0), Access::read)->as<const float>()[3], float(i + 1));
  EXPECT_EQ(runs.samples, 4u);
  EXPECT_EQ(cuda_double().calls("cuMemcpyAsync"), copies + runs.count)
      << "of the outputs of each batch alone";
}

TEST_F(DeferredSamples, OneThatCannotBeWrittenFailsAlone) {
  submit(2);
  for (size_t i = 0; i < 4; ++i) {
    const auto mapped = map(outputs[i].at(0), Access::read);
    ASSERT_EQ(bool(mapped), i != 2);
    if (mapped)
      EXPECT_EQ(mapped->as<const float>()[3], float(i + 1));
    else
      EXPECT_THAT(mapped.error().message, HasSubstr("the picture is gone"));
  }
}

TEST_F(SessionOnDevice, RunsThatFailAreCounted) {
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  const auto stream = stream_of(*opened, MemoryKind::cuda);
  ASSERT_TRUE(stream);
  const Tensor one = sample(stream->input_pool(0), 3);
  ASSERT_EQ(run(*stream, one).value(), 3);
  EXPECT_EQ(opened->session->totals().failed, 0u);
  cuda_double().fail("cuMemcpyAsync", 1, test::device_gone);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(run(*stream, one));
  SessionTotals totals = opened->session->totals();
  EXPECT_EQ(totals.failed, 3u);
  EXPECT_EQ(totals.failed_in_a_row, 3u);
  EXPECT_THAT(totals.last_failure, HasSubstr("busy or unavailable"));
  EXPECT_GT(totals.last_failed_ns, 0);
  cuda_double().heal();
  ASSERT_EQ(run(*stream, one).value(), 3);
  totals = opened->session->totals();
  EXPECT_EQ(totals.failed, 3u);
  EXPECT_EQ(totals.failed_in_a_row, 0u);
}

TEST_F(SessionOnDevice, StreamsThatCannotHaveABlockAreToldAndTheOthersGoOn) {
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  const auto first = stream_of(*opened, MemoryKind::cuda), second = stream_of(*opened, MemoryKind::cuda);
  ASSERT_TRUE(first && second);
  const Tensor one = sample(first->input_pool(0), 3);
  ASSERT_EQ(run(*first, one).value(), 3);
  cuda_double().fail("cuMemAlloc_v2", 1, test::out_of_memory);
  const auto none = second->input_pool(0)->acquire();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::exhausted);
  cuda_double().heal();  // the worker that takes the next one may be without its own block yet
  EXPECT_EQ(run(*first, one).value(), 3);
}

TEST_F(SessionOnDevice, TensorsOfAnotherDeviceAreRefused) {
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  const auto stream = stream_of(*opened, MemoryKind::cuda);
  ASSERT_TRUE(stream);
  const Tensor other = tensor_in(allocate_cuda(cuda_context(1).value(), input().bytes()).value(), input());
  const auto refused = run(*stream, other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_negotiated);
  EXPECT_THAT(refused.error().message, HasSubstr("device=CUDA:*"));
  EXPECT_EQ(run(*stream, sample(stream->input_pool(0), 5)).value(), 5);
}

}  // namespace
}  // namespace sightglass
