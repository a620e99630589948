// Real models in a flow: the results are those that the elements give when they are called one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <map>
#include <thread>

#include "sightglass/bins/bin.h"
#include "sightglass/core/frame_join.h"
#include "sightglass/core/registry.h"
#include "sightglass/flow/flow_test_support.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

constexpr VideoInfo video{.format = PixelFormat::bgr, .width = 192, .height = 128};

struct Square {
  int x, y, channel;
};
// Black with squares of pure colours, which move with n. The test models find them by their colour.
Frame picture(int n) {
  Frame frame = *allocate_frame(video);
  auto pixels = map(frame.tensors[0], Access::write);
  for (int y = 0; y < video.height; ++y)
    std::ranges::fill_n(pixels->row<uint8_t>(y), 3 * video.width, uint8_t(0));
  for (const auto& [x0, y0, channel] : {Square{20 + n, 24, 2}, Square{120, 70 - n, 0}})
    for (int y = y0; y < y0 + 24; ++y)
      for (int x = x0; x < x0 + 24; ++x) pixels->row<uint8_t>(y)[3 * x + channel] = 255;
  frame.pts = n * 40'000'000;
  return frame;
}

class FlowModelTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!folder) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
    if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  }
  std::string model(const std::string& name) const { return std::string(folder) + "/" + name + ".onnx"; }

  // Pushes that many pictures and gives what comes out.
  static std::vector<Frame> run(Flow& flow, int frames) {
    std::vector<Frame> seen;
    flow.on_frame([&](const Frame& frame) -> Status {
      seen.push_back(frame);
      return {};
    });
    const Status started = flow.start();
    EXPECT_EQ(text_of(started), "");
    if (!started) return {};
    for (int n = 0; n < frames; ++n) EXPECT_EQ(text_of(flow.push("in", picture(n))), "");
    EXPECT_TRUE(flow.end("in"));
    EXPECT_EQ(text_of(flow.wait()), "");
    return seen;
  }
  std::vector<Frame> run(const std::string& pipeline, int frames) {
    auto flow = Flow::parse("frame_source name=in ! " + pipeline);
    EXPECT_TRUE(flow) << flow.error().to_string();
    if (!flow) return {};
    auto seen = run(*flow, frames);
    copied = flow->ledger().total().bytes_copied;
    explained = flow->explain();
    return seen;
  }

  const char* folder = nullptr;
  size_t copied = 0;
  std::string explained;
};

// Calls elements one by one, without any runtime.
class OneByOne {
 public:
  explicit OneByOne(const Stages& stages) {
    for (StageIndex index : {preprocess, process, postprocess})
      for (const auto& settings : stages.stages[index]) add(settings);
  }

  Frame operator()(const Frame& frame) {
    Format format{.media = video};
    std::vector<Frame> frames{frame};
    for (const auto& element : elements_) {
      if (auto* inplace = dynamic_cast<TransformInplace*>(element.get())) {
        EXPECT_TRUE(inplace->configure(format, format));
        EXPECT_TRUE(inplace->process(frames.at(0)));
        continue;
      }
      auto& transform = dynamic_cast<Transform&>(*element);
      Collected out;
      out.format = format;
      FormatSpec spec{format.video() ? FormatSpec{VideoSpec{{PixelFormat::bgr},
                                                            IntRange::exactly(video.width),
                                                            IntRange::exactly(video.height)}}
                                     : FormatSpec{TensorsSpec{{{{format.tensors()->tensors[0].type},
                                                                format.tensors()->tensors[0].shape}}}}};
      TensorsInfo info;
      for (const auto& set : transform.transform_format(Direction::input, spec)) {
        const auto& tensors = std::get<TensorsSpec>(set.media);
        for (const auto& tensor : tensors.tensors)
          info.tensors.push_back({tensor.types[0], tensor.shape, {}, tensor.layout, tensor.name});
        info.model = tensors.model;
        break;
      }
      out.format.media = info;
      EXPECT_TRUE(transform.configure(format, out.format));
      EXPECT_TRUE(transform.process(frames.at(0), out));
      frames = std::move(out.frames);
      format = out.format;
      if (info.model.size()) model_ = Label(info.model);
    }
    Frame joined = frame;
    join(frames.at(0), model_, {}, joined);
    return joined;
  }

 private:
  struct Collected final : Output {
    Format format;
    std::vector<Frame> frames;
    Status allocate(Frame& frame) override {
      frame.video.reset();
      frame.tensors.clear();
      for (const auto& info : format.tensors()->tensors) frame.tensors.push_back(*allocate_tensor(info));
      return {};
    }
    Status push(const Frame& frame) override {
      frames.push_back(frame);
      return {};
    }
    Status gap(const Gap&) override { return {}; }
  };

  void add(const ElementSettings& settings) {
    const auto* desc = find_element(settings.element);
    ParamSet params(desc->params);
    for (const auto& [name, text] : settings.params) EXPECT_TRUE(params.set_text(name, text));
    elements_.push_back(*desc->create(params));
    EXPECT_TRUE(elements_.back()->start());
  }

  std::vector<std::unique_ptr<Element>> elements_;
  Label model_;
};

TEST_F(FlowModelTest, ADetectorFindsWhatItsElementsFindOneByOne) {
  const auto found = run("object_detect model=" + model("det"), 20);
  ASSERT_EQ(found.size(), 20u);
  const auto* bin = find_bin("object_detect");
  ParamSet params(bin->params);
  ASSERT_TRUE(params.set_text("model", model("det")));
  const auto stages = bin->build(params);
  ASSERT_TRUE(stages) << stages.error().message;
  OneByOne one_by_one(*stages);
  for (int n = 0; n < 20; ++n) {
    const Frame expected = one_by_one(picture(n));
    const Frame& frame = found[size_t(n)];
    EXPECT_EQ(frame.pts, n * 40'000'000);
    EXPECT_EQ(frame.tensors[0].memory->kind(), MemoryKind::system);
    ASSERT_EQ(frame.regions.size(), 2u);
    ASSERT_EQ(expected.regions.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(frame.regions[i].box, expected.regions[i].box);
      EXPECT_EQ(frame.regions[i].label, expected.regions[i].label);
      EXPECT_EQ(frame.regions[i].confidence, expected.regions[i].confidence);
      EXPECT_EQ(frame.regions[i].model, expected.regions[i].model);
      EXPECT_EQ(frame.regions[i].id, int(i));
    }
  }
}

TEST_F(FlowModelTest, PicturesBecomeTensorsWhereTheModelReadsThem) {
  CopyLedger::process().reset();
  run("object_detect name=d model=" + model("det"), 5);
  EXPECT_EQ(copied, 0u);
  EXPECT_EQ(CopyLedger::process().total().bytes_copied, 0u);
  EXPECT_GT(CopyLedger::process().total().bytes_shared, 0u);
  EXPECT_THAT(explained, testing::HasSubstr("d/video_to_tensor → d/onnx_tensor_inference: "));
}

TEST_F(FlowModelTest, EveryRegionGetsItsOwnClass) {
  const auto found =
      run("object_detect model=" + model("det") + " ! object_classify model=" + model("mood"), 12);
  ASSERT_EQ(found.size(), 12u);
  for (const auto& frame : found) {
    ASSERT_EQ(frame.regions.size(), 2u);
    for (const auto& region : frame.regions) {
      ASSERT_TRUE(region.attributes);
      const auto* mood = region.attributes->find("mood");
      ASSERT_TRUE(mood);
      EXPECT_EQ(mood->text, region.label == Label("person") ? "glad" : "sad");
    }
  }
}

TEST_F(FlowModelTest, AModelOnPartOfTheFramesAndNoneOnTheRest) {
  const auto found = run("object_detect inference-interval=3 model=" + model("det"), 9);
  ASSERT_EQ(found.size(), 9u);
  for (size_t n = 0; n < 9; ++n) EXPECT_EQ(found[n].regions.size(), n % 3 ? 0u : 2u);
}

TEST_F(FlowModelTest, AChainOfSingleElementsIsTheSame) {
  const auto bin = run("object_detect model=" + model("det"), 3);
  const auto* desc = find_bin("object_detect");
  ParamSet params(desc->params);
  ASSERT_TRUE(params.set_text("model", model("det")));
  const auto stages = desc->build(params);
  ASSERT_TRUE(stages);
  std::string branch = "tee name=t  t. ! meta_aggregate name=m  t.";
  for (StageIndex index : {preprocess, process, postprocess})
    for (const auto& element : stages->stages[index]) {
      branch += " ! " + element.element;
      for (const auto& [name, text] : element.params)
        if (!text.empty()) branch += " " + name + "=\"" + text + "\"";
    }
  const auto by_hand = run(branch + " ! m.", 3);
  ASSERT_EQ(by_hand.size(), 3u);
  for (size_t n = 0; n < 3; ++n) {
    ASSERT_EQ(by_hand[n].regions.size(), 2u);
    EXPECT_EQ(by_hand[n].regions[0].box, bin[n].regions[0].box);
  }
}

TEST_F(FlowModelTest, AFailingModelNamesTheElementThatMetIt) {
  auto flow = Flow::parse("frame_source name=in ! object_detect name=d model=" + model("det_trap"));
  ASSERT_TRUE(flow) << flow.error().to_string();
  ASSERT_TRUE(flow->start());
  Frame white = picture(0);
  {
    auto pixels = map(white.tensors[0], Access::write);
    for (int y = 0; y < video.height; ++y)
      std::ranges::fill_n(pixels->row<uint8_t>(y), 3 * video.width, uint8_t(255));
  }
  ASSERT_TRUE(flow->push("in", white));
  (void)flow->end("in");
  EXPECT_THAT(text_of(flow->wait()), testing::HasSubstr("d/tensor_postproc"));
}

// Milliseconds from cancel() until all has ended, while as many requests are under way as there may be.
double milliseconds_to_cancel(const std::string& model) {
  auto flow = Flow::parse("frame_source name=in ! object_detect model=" + model + " ! fakesink");
  EXPECT_TRUE(flow && flow->start());
  auto full = std::async(std::launch::async, [&] {
    for (int n = 0; flow->push("in", picture(n % 20)); ++n) {
    }
  });
  const auto requests = [&] {
    for (const auto& node : flow->stats())
      if (node.element == "onnx_tensor_inference") return node.frames_in;
    return uint64_t(0);
  };
  while (requests() < 4) std::this_thread::yield();
  const auto start = std::chrono::steady_clock::now();
  flow->cancel();
  const Status status = flow->wait();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  full.wait();
  EXPECT_FALSE(status);
  if (!status) {
    EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  }
  return taken.count();
}

// One run of this model takes half of that time, on a processor of its own; several are under way.
TEST_F(FlowModelTest, EndsWithin100MillisecondsWhileAModelRuns) {
  double least = milliseconds_to_cancel(model("det_slow"));
  for (int i = 0; i < 9 && least >= 100; ++i)
    least = std::min(least, milliseconds_to_cancel(model("det_slow")));
  EXPECT_LT(least, 100);
}

TEST_F(FlowModelTest, StreamsShareTheModelAndKeepTheirResults) {
  Flow flow;
  const auto meeting = flow.add("funnel");
  for (const char* name : {"in", "also"}) {
    const auto source = flow.add("frame_source", {}, name);
    ASSERT_TRUE(source);
    ASSERT_TRUE(flow.link(*source, *meeting));
  }
  const auto detect = flow.add("object_detect", {{"model", model("det")}});
  ASSERT_TRUE(detect);
  ASSERT_TRUE(flow.link(*meeting, *detect));
  std::vector<Frame> seen;
  flow.on_frame([&](const Frame& frame) -> Status {
    seen.push_back(frame);
    return {};
  });
  ASSERT_TRUE(flow.start());
  for (int n = 0; n < 10; ++n) {
    ASSERT_TRUE(flow.push("in", picture(n)));
    ASSERT_TRUE(flow.push("also", picture(n + 20)));
  }
  ASSERT_TRUE(flow.end("in"));
  ASSERT_TRUE(flow.end("also"));
  EXPECT_EQ(text_of(flow.wait()), "");
  ASSERT_EQ(seen.size(), 20u);
  std::map<uint64_t, Time> last{{1, no_time}, {2, no_time}};
  for (const auto& frame : seen) {
    const uint64_t stream = frame.source->stream;
    ASSERT_EQ(frame.regions.size(), 2u);
    const auto person = std::ranges::find(frame.regions, Label("person"), &Region::label);
    ASSERT_NE(person, frame.regions.end());
    const double x = 20 + double(frame.pts) / 40e6;  // where this very frame has it
    EXPECT_NEAR(person->box.x * video.width, x, 4);
    EXPECT_EQ(stream == 2, frame.pts >= 20 * 40'000'000);
    EXPECT_GT(frame.pts, last.at(stream));
    last[stream] = frame.pts;
  }
}

// The text of the boxes of all frames, for comparison.
std::vector<std::string> found(const std::vector<Frame>& frames) {
  std::vector<std::string> all;
  for (const Frame& frame : frames)
    for (const Region& region : frame.regions)
      all.push_back(
          std::format("{} {} {:.3f} {:.3f}", frame.pts, region.label.view(), region.box.x, region.box.y));
  return all;
}

TEST_F(FlowModelTest, StagesOfTheUserReplaceGeneratedOnes) {
  const auto usual = run("object_detect model=" + model("det"), 3);
  ASSERT_EQ(found(usual).size(), 6u);
  const auto own = run("object_detect model=" + model("det") +
                           " preprocess=\"video_to_tensor color=bgr\" preprocess-queue-size=2 "
                           "postprocess-queue-size=-1 aggregate-queue-size=4",
                       3);
  EXPECT_EQ(found(own), found(usual));
}

TEST_F(FlowModelTest, ProcessbinIsTheGraphOfItsStages) {
  const auto usual = run("object_detect model=" + model("det"), 3);
  const auto own =
      run("processbin preprocess=\"video_to_tensor color=bgr\" process=\"onnx_tensor_inference model=" +
              model("det") +
              "\" postprocess=\"tensor_postproc_detection labels=<person,car,bike>\" "
              "aggregate=meta_aggregate",
          3);
  EXPECT_EQ(found(own), found(usual));
}

TEST(FlowBins, SayWhatIsWrongWithTheirStages) {
  const auto text = [](const std::string& bin) {
    auto flow = Flow::parse("frame_source name=in ! " + bin + " ! frame_sink");
    if (!flow) return flow.error().to_string();
    const auto started = flow->start();
    return started ? std::string() : started.error().to_string();
  };
  EXPECT_THAT(text("processbin preprocess=video_to_tensor"), testing::HasSubstr("incomplete"));
  EXPECT_THAT(text("object_detect process-queue-size=-2"), testing::HasSubstr("process-queue-size=-2"));
  EXPECT_THAT(text("processbin postaggregate=no_such_element"), testing::HasSubstr("no_such_element"));
}

}  // namespace
}  // namespace sightglass
