// For tests of sessions: an engine that can be told to fail and to wait, and streams of sessions that use it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/loaded_session.h"
#include "sightglass/model/session.h"

namespace sightglass {

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

inline const TensorInfo floats{.type = DataType::f32, .shape = {1, 4}};

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

}  // namespace sightglass
