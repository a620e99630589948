// What bins build for models on a device; with the driver of tests/cuda.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <format>
#include <fstream>

#include "sightglass/bins/bin.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/model/engine.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const Stage& stage) {
  std::vector<std::string> list;
  for (const auto& element : stage) list.push_back(element.element);
  return list;
}

Result<Stages> build(const Settings& settings) {
  const auto* desc = find_bin("video_inference");
  ParamSet params(desc->params);
  for (const auto& [name, text] : settings)
    if (auto set = params.set_text(name, text); !set) return forward_error(set);
  return desc->build(params);
}

// An engine from outside whose models run on a device.
class CardEngine final : public Engine {
 public:
  std::string_view name() const override { return "card"; }
  bool reads(const std::filesystem::path& path) const override { return path.extension() == ".card"; }
  Result<EngineInfo> info() override { return EngineInfo{}; }
  Status check_device(std::string_view) override { return {}; }
  Result<std::vector<std::string>> devices(std::string_view) override {
    return std::vector<std::string>{"CUDA:0", "CUDA:1"};
  }
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path&, const LoadOptions&) override {
    return std::make_unique<Model>();
  }

 private:
  struct Model final : LoadedModel {
    struct Request final : ModelRequest {
      Status run(std::span<const Binding>, std::span<Binding>) override { return {}; }
      CudaStream* stream() override { return own.get(); }
      const std::unique_ptr<CudaStream> own = CudaStream::make(nullptr).value();
    };
    const ModelSignature& signature() const override { return made; }
    std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(); }
    unsigned parallel_requests() const override { return 1; }
    ContextRef device() const override { return cuda_context(0).value(); }
    const ModelSignature made{
        .inputs = {{.type = DataType::f32, .shape = {1, 3, 8, 8}, .layout = Layout::nchw, .name = "in"}},
        .outputs = {{.type = DataType::f32, .shape = {1, 4}, .name = "out"}}};
  };
};

TEST(BinsOnADevice, OneThreadDoesAllUpToTheModel) {
  ASSERT_NE(test::cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
  static CardEngine engine;
  static const EngineRegistration registration(engine);
  const auto file = std::filesystem::temp_directory_path() / std::format("sightglass-{}.card", getpid());
  std::ofstream(file) << "model";
  for (const char* device : {"CUDA:0", "CUDA:*"}) {
    const auto stages = build({{"model", file.string()}, {"device", device}});
    ASSERT_TRUE(stages) << stages.error().message;
    EXPECT_THAT(stages->queues, ElementsAre(std::nullopt, std::nullopt, 6u, 7u, std::nullopt)) << device;
    const auto cuda = stages->preprocess_for(MemoryKind::cuda);
    ASSERT_TRUE(cuda);
    EXPECT_THAT(names(cuda->stage), ElementsAre("capsrelax", "video_to_tensor"));
  }
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace sightglass
