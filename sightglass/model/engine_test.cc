#include "sightglass/model/engine.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(Engine, IsChosenByTheKindOfFile) {
  auto engine = engine_for("folder/yolox.onnx");
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->name(), "onnxruntime");
  auto none = engine_for("mood.json");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("mood.json"), std::string::npos);
}

TEST(Engine, OneFromOutsideIsAskedBeforeThoseOfThisBuild) {
  class Added final : public Engine {
   public:
    std::string_view name() const override { return "added"; }
    bool reads(const std::filesystem::path& model) const override { return model.stem() == "for_added"; }
    Result<EngineInfo> info() override { return EngineInfo{}; }
    Status check_device(std::string_view) override { return {}; }
    Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path&, const LoadOptions&) override {
      return fail(ErrorCode::unsupported, "only a test");
    }
  };
  static Added engine;
  EXPECT_EQ(added_engine_for("for_added.onnx"), nullptr);
  const EngineRegistration registration(engine);
  EXPECT_EQ(added_engine_for("for_added.onnx"), &engine);
  EXPECT_EQ(added_engine_for("yolox.onnx"), nullptr);
  EXPECT_EQ(*engine_for("for_added.onnx"), &engine);
  EXPECT_EQ((*engine_for("yolox.onnx"))->name(), "onnxruntime");
  EXPECT_EQ(find_engine("added"), &engine);
  EXPECT_EQ(engines().front(), &engine);
}

TEST(EngineDevice, CaseAndKindOfPointDoNotMatter) {
  for (const char* text : {"cuda:1", "GPU.1", " Gpu:1 "}) {
    const auto device = parse_device(text);
    ASSERT_TRUE(device) << text;
    EXPECT_EQ(device->kind, DeviceName::Kind::gpu);
    EXPECT_EQ(device->index, 1);
  }
  EXPECT_EQ(parse_device("cpu")->kind, DeviceName::Kind::cpu);
  EXPECT_EQ(parse_device("auto")->kind, DeviceName::Kind::automatic);
}

TEST(EngineDevice, UnknownOnesAreErrors) {
  for (const char* text : {"NPU", "", "CPU:", "GPU:x", "GPU:-1", "GPU:1:2"})
    EXPECT_FALSE(parse_device(text)) << text;
  EXPECT_EQ(parse_device("NPU").error().code, ErrorCode::unavailable);
}

TEST(EngineConfig, IsAListOfPairs) {
  const auto entries = parse_config(" a=1, session.x = 2=3 ");
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0], std::pair(std::string("a"), std::string("1")));
  EXPECT_EQ((*entries)[1], std::pair(std::string("session.x"), std::string("2=3")));
  EXPECT_TRUE(parse_config("")->empty());
  for (const char* text : {"a", "=1", "a=1,,b=2"}) EXPECT_FALSE(parse_config(text)) << text;
}

TEST(EngineInputShapes, AreInnermostFirstAndZeroIsFree) {
  const auto shapes = parse_input_shapes("416:320:3:1, 7:0");
  ASSERT_TRUE(shapes);
  ASSERT_EQ(shapes->size(), 2u);
  EXPECT_EQ((*shapes)[0], (Shape{1, 3, 320, 416}));
  EXPECT_EQ((*shapes)[1], (Shape{-1, 7}));
  const auto wrong = parse_input_shapes("416x416");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("416x416"), std::string::npos);
}

TEST(EngineLayout, FollowsFromTheChannelsWhereThatIsClear) {
  EXPECT_EQ(layout_of({1, 3, 416, 416}), Layout::nchw);
  EXPECT_EQ(layout_of({1, 416, 416, 3}), Layout::nhwc);
  EXPECT_EQ(layout_of({1, 3, -1, -1}), Layout::nchw);
  EXPECT_EQ(layout_of({3, 64, 96}), Layout::chw);
  EXPECT_EQ(layout_of({64, 96, 4}), Layout::hwc);
  EXPECT_EQ(layout_of({1, 3, 5, 3}), Layout::any);
  EXPECT_EQ(layout_of({1, 512}), Layout::any);
}

}  // namespace
}  // namespace sightglass
