// Functions of the user's own in the pipeline of a stream: as elements, in front of models, behind them.
#include <algorithm>

#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

TEST_F(InstanceTest, FunctionsChangeAndDropFrames) {
  ModuleSpec spec = plain();
  spec.pipeline.elements = {{.name = "report", .type = "cppfunc"}};
  spec.pipeline.elements[0].function = {
      .language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "marks"};
  prepare(spec);
  start();
  auto tickets = tickets_of(encode(h264, width, height, 12, walking));
  const auto add = [&](size_t i, const char* label) {
    stream::Object object;
    object.namespace_ = "camera", object.label = label;
    object.id = int64_t(frame_of(*tickets[i]).objects.size());
    object.detection_box = {.xc = 80, .yc = 60, .width = 40, .height = 20};
    frame_of(*tickets[i]).objects.push_back(object);
  };
  add(2, "remove"), add(2, "stays"), add(5, "drop");
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 12u);
  for (size_t i = 0; i < 12; ++i) {
    const InstanceResult& result = recorder.results[i];
    EXPECT_EQ(result.ticket, tickets[i]);
    if (i == 5) {
      EXPECT_EQ(result.outcome, FrameOutcome::dropped);
      EXPECT_EQ(result.reason, "function");
      continue;
    }
    EXPECT_EQ(result.outcome, FrameOutcome::stored);
    EXPECT_TRUE(has_tag(result.results, "marked")) << i;
    EXPECT_EQ(std::ranges::count(result.results.regions, Label("added"), &Region::label), 1);
    EXPECT_EQ(std::ranges::count(result.results.regions, Label("report"), &Region::model), 1);
    EXPECT_EQ(std::ranges::count(result.results.regions, Label("remove"), &Region::label), 0);
    EXPECT_EQ(std::ranges::count(result.results.regions, Label("stays"), &Region::label), i == 2 ? 1 : 0);
  }
  EXPECT_EQ(pipeline->elements()[0].frames, 12u);
  EXPECT_EQ(pipeline->elements()[0].dropped, 1u);
  EXPECT_EQ(pipeline->elements()[0].times.count(), 11u);
}

TEST_F(InstanceTest, L23AFunctionThatDoesNotStopHoldsUpNobody) {
  ModuleSpec spec = plain();
  spec.pipeline.elements = {{.name = "late", .type = "cppfunc"}};
  spec.pipeline.elements[0].function = {
      .language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "stops_late"};
  prepare(spec);
  start();
  ASSERT_TRUE(feed(*instance, recorder, tickets_of(encode(h264, width, height, 3, walking))));
  ASSERT_TRUE(recorder.wait_for_results(1));  // it has been started
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(instance->stop(50'000'000));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
  EXPECT_TRUE(instance->stop(20'000'000'000));
  EXPECT_EQ(recorder.results.size(), 3u);
}

TEST_F(InstanceTest, AFunctionSeesOnlyWhatIsSelected) {
  ModuleSpec spec = plain();
  spec.pipeline.elements = {{.name = "report", .type = "cppfunc", .select = json(R"({"label": "remove"})")}};
  spec.pipeline.elements[0].function = {
      .language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "marks"};
  prepare(spec);
  start();
  auto tickets = tickets_of(encode(h264, width, height, 4, walking));
  for (size_t i = 0; i < 4; ++i)
    for (const char* label : {"drop", "remove"}) {
      if (i != 1 && label == std::string_view("remove")) continue;
      stream::Object object;
      object.namespace_ = "camera", object.label = label;
      object.id = int64_t(frame_of(*tickets[i]).objects.size());
      object.detection_box = {.xc = 80, .yc = 60, .width = 40, .height = 20};
      frame_of(*tickets[i]).objects.push_back(object);
    }
  run(tickets);
  ASSERT_EQ(count(FrameOutcome::stored), 4u);  // what would have dropped it was not there for the function
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(has_tag(recorder.results[i].results, "marked"), i == 1);
    const auto& regions = recorder.results[i].results.regions;
    EXPECT_EQ(regions.size(), i == 1 ? 2u : 1u);
    EXPECT_EQ(std::ranges::count(regions, Label("drop"), &Region::label), 1);
  }
}

// ---- around models

class ObjectFunctionsTest : public ElementsTest {
 protected:
  static Value of(const std::string& symbol, const std::string& args = "{}", const std::string& more = "") {
    return json(R"({"language": "cpp", "path": ")" + std::string(SIGHTGLASS_TEST_FUNCTIONS) +
                R"(", "symbol": ")" + symbol + R"(", "args": )" + args + more + "}");
  }
  // A red person, and a green car in the lower right; the person's mood is asked for.
  static std::vector<Square> scene(int n) { return {person_at(40 + n, 60), {220, 150, 44, 30, 220, 40}}; }
  static ModuleSpec feeling(std::vector<Value> preprocess) {
    ModuleSpec spec = detecting();
    spec.models.push_back({"mood", {.path = test_model("mood"), .device = "CPU"}});
    spec.pipeline.elements.push_back({.name = "feels",
                                      .type = "attribute_model",
                                      .model = "mood",
                                      .select = json(R"({"label": "person"})"),
                                      .preprocess = std::move(preprocess)});
    return spec;
  }
  // Moods of the persons, "none" where there is none.
  std::vector<std::string> moods(const ModuleSpec& spec, int frames = 6) {
    recorder.results.clear();
    recorder.has_ended = false;
    prepare(spec);
    if (HasFatalFailure()) return {};
    start();
    run(tickets_of(encode(h264, width, height, frames, scene)));
    std::vector<std::string> found;
    for (const InstanceResult& result : recorder.results)
      for (const Region& region : result.results.regions)
        if (region.label == Label("person")) {
          const Attribute* mood = region.attributes ? region.attributes->find("mood") : nullptr;
          found.push_back(mood ? mood->text : "none");
        }
    return found;
  }
  static std::vector<std::string> all(const std::string& mood, size_t frames = 6) {
    return std::vector<std::string>(frames, mood);
  }
};

TEST_F(ObjectFunctionsTest, PrepareChangesWhatTheModelSees) {
  EXPECT_EQ(moods(feeling({})), all("glad"));
  EXPECT_EQ(moods(feeling({of("swaps")})), all("sad"));
  EXPECT_EQ(pipeline->elements()[1].errors, 0u);
  // The frames go on as they were.
  for (const InstanceResult& result : recorder.results) EXPECT_FALSE(has_tag(result.results, "error.feels"));
}

TEST_F(ObjectFunctionsTest, PrepareStandsInChainsWithDeliveredFunctions) {
  const Value grow = json(R"({"crop_expand": {"factor": 1.1}})");
  const Value fit = json(R"({"letterbox": {"size": [40, 40]}})"), last = "letterbox";
  const Value square = of("swaps", R"({"square": true})");
  EXPECT_EQ(moods(feeling({grow, fit, square})), all("sad"));
  EXPECT_EQ(moods(feeling({grow, of("swaps", R"({"square": true})", R"(, "size": [40, 40])"), last})),
            all("sad"));
  EXPECT_EQ(moods(feeling({of("swaps"), of("swaps")})), all("glad"));
  const auto refused = prepare_template(feeling({of("swaps"), fit}));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("stands in front"), std::string::npos) << refused.error().message;
}

TEST_F(ObjectFunctionsTest, PrepareOfAWholePictureHasNoObject) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements[0].preprocess = {of("swaps")};
  prepare(spec);
  start();
  run(tickets_of(encode(h264, width, height, 4, [](int) { return std::vector{person_at(40, 60)}; })));
  ASSERT_EQ(recorder.results.size(), 4u);
  for (const InstanceResult& result : recorder.results) {
    ASSERT_EQ(result.results.regions.size(), 1u);
    EXPECT_EQ(result.results.regions[0].label, Label("bike"));  // which is blue
  }
}

TEST_F(ObjectFunctionsTest, RegionSaysWhereTheModelLooks) {
  EXPECT_EQ(moods(feeling({of("looks_away")})), all("calm"));
  for (const InstanceResult& result : recorder.results) {
    ASSERT_EQ(result.results.regions.size(), 2u);
    EXPECT_LT(result.results.regions[0].box.x, 0.5f);  // the object keeps its own box
  }
  EXPECT_EQ(moods(feeling({of("looks_away", R"({"nowhere": true})")})), all("none"));
  EXPECT_TRUE(has_tag(recorder.results[0].results, "error.feels"));
}

TEST_F(ObjectFunctionsTest, F14WhatPrepareDoesWrongIsOfTheFrame) {
  ModuleSpec spec = feeling({of("swaps", R"({"throw": true})")});
  spec.pipeline.elements[1].breaker.failures = 3;
  EXPECT_EQ(moods(spec), all("none"));
  for (const InstanceResult& result : recorder.results) {
    EXPECT_EQ(result.outcome, FrameOutcome::stored);
    EXPECT_TRUE(has_tag(result.results, "error.feels"));
  }
  ElementState state = pipeline->elements()[1];
  EXPECT_EQ(state.errors, 3u);  // then the breaker was open
  EXPECT_TRUE(state.is_open);
  EXPECT_EQ(state.last_error, "as ordered");

  spec.pipeline.elements[1].on_error = OnError::drop_frame;
  spec.pipeline.elements[1].breaker.failures = 100;
  EXPECT_EQ(moods(spec), std::vector<std::string>{});
  EXPECT_EQ(count(FrameOutcome::dropped), 6u);
  EXPECT_EQ(recorder.results[0].reason, "function");
  EXPECT_EQ(pipeline->elements()[1].dropped, 6u);
  EXPECT_EQ(pipeline->elements()[1].ended_behind, 6u);
}

TEST_F(ObjectFunctionsTest, F14PrepareHasABudget) {
  ModuleSpec spec = feeling({of("swaps", R"({"sleep": true})")});
  spec.pipeline.elements[1].budget = 10'000'000;
  EXPECT_EQ(moods(spec), all("sad"));  // late, but it counts
  for (const InstanceResult& result : recorder.results) EXPECT_TRUE(has_tag(result.results, "overrun.feels"));
  EXPECT_EQ(pipeline->elements()[1].overruns, 6u);
}

TEST_F(ObjectFunctionsTest, PrepareMayEndItsStream) {
  for (const OnError on_error : {OnError::stream, OnError::module}) {
    ModuleSpec spec = feeling({of("swaps", R"({"throw": true})")});
    spec.pipeline.elements[1].on_error = on_error;
    prepare(spec);
    start();
    (void)feed(*instance, recorder, tickets_of(encode(h264, width, height, 6, scene)));
    ASSERT_TRUE(recorder.wait([&] { return !recorder.failures.empty(); }));
    EXPECT_EQ(recorder.failures[0].kind,
              on_error == OnError::module ? FailureKind::module : FailureKind::element);
    EXPECT_NE(recorder.failures[0].text.find("as ordered"), std::string::npos) << recorder.failures[0].text;
    EXPECT_TRUE(instance->stop(10'000'000'000));
    recorder.failures.clear();
  }
}

TEST_F(ObjectFunctionsTest, FunctionsBehindAModelSeeWhatItHasWritten) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements[0].postprocess = {json(R"({"top_k": {"k": 1}})"), of("counts")};
  prepare(spec);
  start();
  run(tickets_of(
      encode(h264, width, height, 6, [](int n) { return n == 3 ? std::vector<Square>{} : scene(n); })));
  ASSERT_EQ(recorder.results.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    const InstanceResult& result = recorder.results[i];
    EXPECT_EQ(result.outcome, i == 3 ? FrameOutcome::dropped : FrameOutcome::stored) << i;
    if (i == 3) continue;
    ASSERT_TRUE(result.results.attributes);
    EXPECT_EQ(result.results.attributes->find("objects")->number, 1);
    EXPECT_EQ(result.results.attributes->find("objects")->model, Label("finder"));
  }
  spec.pipeline.elements[0].postprocess = {of("counts"), "top_k"};
  EXPECT_FALSE(prepare_template(spec));
}

TEST_F(ObjectFunctionsTest, FunctionsThatAreNoneAreErrorsBeforeAnyStream) {
  EXPECT_FALSE(prepare_template(feeling({of("marks")})));  // neither region nor prepare
  EXPECT_FALSE(prepare_template(feeling({of("no_such_symbol")})));
  ModuleSpec spec = plain();
  spec.pipeline.elements = {{.name = "report", .type = "cppfunc"}};
  spec.pipeline.elements[0].function = {
      .language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "marks"};
  spec.pipeline.elements[0].preprocess = {of("swaps")};
  EXPECT_FALSE(prepare_template(spec));
}

}  // namespace
}  // namespace sightglass::module
