// What elements do in the pipeline of a stream, and with which parameters.
#include <gst/app/gstappsink.h>

#include <algorithm>

#include "sightglass/gst/results.h"
#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

TEST_F(ElementsTest, ResultsAreThoseOfTheSamePipelineByHand) {
  prepare(detecting(R"({"threshold": 0.4})"));
  start();
  const auto units = encode(h264, width, height, 30, walking);
  run(tickets_of(units));
  ASSERT_EQ(count(FrameOutcome::stored), 30u);

  const std::string text =
      "appsrc name=in format=time caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate=25/1 ! "
      "h264parse ! avdec_h264 max-threads=1 ! videoconvert ! object_detect threshold=0.4 model=" +
      test_model("det") + " ! appsink name=out sync=false";
  const gst::ElementPtr byhand(gst_parse_launch(text.c_str(), nullptr));
  gst_object_ref_sink(byhand.get());
  const gst::ElementPtr in(gst_bin_get_by_name(GST_BIN(byhand.get()), "in")),
      out(gst_bin_get_by_name(GST_BIN(byhand.get()), "out"));
  gst_element_set_state(byhand.get(), GST_STATE_PLAYING);
  for (const Unit& unit : units) {
    auto* buffer = gst_buffer_new_allocate(nullptr, unit.bytes.size(), nullptr);
    gst_buffer_fill(buffer, 0, unit.bytes.data(), unit.bytes.size());
    GST_BUFFER_PTS(buffer) = GstClockTime(unit.pts);
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
  for (size_t i = 0; i < units.size(); ++i) {
    auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(out.get()), 60 * GST_SECOND);
    ASSERT_TRUE(sample);
    Frame frame;
    gst::read_results(gst_sample_get_buffer(sample), {width, height}, frame);
    const auto& regions = recorder.results[i].results.regions;
    ASSERT_EQ(regions.size(), 1u) << i;
    ASSERT_EQ(frame.regions.size(), 1u) << i;
    EXPECT_EQ(regions[0].box, frame.regions[0].box) << i;
    EXPECT_EQ(regions[0].confidence, frame.regions[0].confidence);
    EXPECT_EQ(regions[0].label, Label("person"));
    EXPECT_EQ(regions[0].model, Label("finder"));  // the element's name, whatever the model's
    gst_sample_unref(sample);
  }
  gst_element_set_state(byhand.get(), GST_STATE_NULL);

  const auto states = pipeline->elements();
  ASSERT_EQ(states.size(), 1u);
  EXPECT_EQ(states[0].frames, 30u);
  EXPECT_GT(states[0].seconds, 0);
  EXPECT_EQ(pipeline->models().at(0).name, "objects");
}

TEST_F(ElementsTest, F18EachFrameIsMadeWithTheRevisionThatItNames) {
  ModuleSpec spec = detecting(R"({"threshold": "${parameters.least}"})");
  spec.parameters = {{"least", {.type = ParameterType::number, .default_value = 0.5}}};
  prepare(spec);
  EXPECT_EQ(pipeline->effect_of("least"), ParameterEffect::live);
  EXPECT_EQ(pipeline->effect_of("other"), ParameterEffect::none);
  const auto with = [](uint64_t revision, double least) {
    return std::make_shared<Parameters>(revision,
                                        std::map<std::string, Value, std::less<>>{{"least", least}});
  };
  start("h264", with(1, 0.9));
  // A dull person, whose score lies between the two thresholds.
  const auto tickets = tickets_of(
      encode(h264, width, height, 100, [](int n) { return std::vector{pale_person_at(40 + n, 60)}; }));
  for (size_t i = 0; i < tickets.size(); ++i) {
    if (i % 10 == 9) {
      const uint64_t revision = 2 + i / 10;
      ASSERT_TRUE(instance->set_parameters(with(revision, revision % 2 ? 0.9 : 0.1)));
    }
    ASSERT_TRUE(feed(*instance, recorder, {tickets[i]}));
  }
  run({});
  ASSERT_EQ(recorder.results.size(), 100u);
  uint64_t last = 0;
  std::vector<uint64_t> seen;
  for (const InstanceResult& result : recorder.results) {
    const uint64_t revision = result.ticket->param_revision;
    EXPECT_GE(revision, last);
    if (revision != last) seen.push_back(revision);
    last = revision;
    EXPECT_EQ(result.results.regions.size(), revision % 2 ? 0u : 1u) << "revision " << revision;
  }
  EXPECT_GT(seen.size(), 1u);
  EXPECT_EQ(pipeline->elements()[0].dropped, 0u);
}

TEST_F(ElementsTest, F18AnInvalidSetChangesNothing) {
  ModuleSpec spec = detecting(R"({"threshold": "${parameters.least}"})");
  spec.parameters = {{"least", {.type = ParameterType::number, .default_value = 0.5}}};
  prepare(spec);
  start();
  const auto wrong =
      std::make_shared<Parameters>(2, std::map<std::string, Value, std::less<>>{{"least", 7.0}});
  const auto errors = pipeline->check(wrong, "cam-1");
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].path, "finder.threshold");
  EXPECT_FALSE(instance->set_parameters(wrong));
  run(tickets_of(encode(h264, width, height, 5, walking)));
  for (const InstanceResult& result : recorder.results) {
    EXPECT_EQ(result.results.regions.size(), 1u);
    EXPECT_EQ(result.ticket->param_revision, 0u);
  }
}

TEST_F(ElementsTest, APropertyFollowsAnAttributeOfItsVeryFrame) {
  prepare(
      detecting(R"({"threshold": {"from": "sensor.lux", "map": [[0, 0.1], [100, 0.9]], "default": 0.9}})"));
  start();
  auto tickets = tickets_of(
      encode(h264, width, height, 40, [](int n) { return std::vector{pale_person_at(40 + n, 60)}; }));
  for (size_t i = 0; i < tickets.size(); ++i) {
    if (i % 4 == 3) continue;  // no reading: the default
    stream::Attribute lux;
    lux.namespace_ = "sensor", lux.name = "lux";
    lux.values.push_back({.value = i % 2 ? 100.0 : 0.0});
    frame_of(*tickets[i]).attributes.push_back(lux);
  }
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 40u);
  for (size_t i = 0; i < tickets.size(); ++i)
    EXPECT_EQ(recorder.results[i].results.regions.size(), i % 2 ? 0u : 1u) << i;
  EXPECT_EQ(pipeline->elements()[0].binding_defaults, 10u);
}

TEST_F(ElementsTest, ATagSkipsInference) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements[0].when = json(R"({"not": {"frame": {"tag": "skip"}}})");
  prepare(spec);
  start();
  auto tickets = tickets_of(encode(h264, width, height, 20, walking));
  for (size_t i = 5; i < 15; ++i) frame_of(*tickets[i]).tags = {"skip"};
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(recorder.results[i].results.regions.size(), i >= 5 && i < 15 ? 0u : 1u) << i;
    EXPECT_EQ(has_tag(recorder.results[i].results, "skip"), i >= 5 && i < 15);
  }
}

TEST_F(ElementsTest, ConditionsMayAskForWhatTheStreamKnows) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements[0].when = json(R"({"frame": {"keyframe": true}})");
  prepare(spec);
  start();
  run(tickets_of(encode(h264, width, height, 50, walking)));
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(recorder.results[i].results.regions.size(), i % 25 ? 0u : 1u) << i;
    EXPECT_FALSE(recorder.results[i].results.attributes) << "facts of the stream are no results";
  }
}

TEST_F(ElementsTest, KeepRemovesWhatItDoesNotSelect) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements[0].keep = json(R"({"label": "car"})");
  prepare(spec);
  start();
  const auto scene = [](int n) {
    return std::vector<Square>{person_at(40 + n, 40), {220 - n, 150, 44, 30, 220, 40}};
  };
  auto tickets = tickets_of(encode(h264, width, height, 10, scene));
  stream::Object foreign;  // of others, which `keep` leaves alone
  foreign.namespace_ = "camera", foreign.label = "person";
  foreign.detection_box = {.xc = 80, .yc = 60, .width = 40, .height = 20};
  frame_of(*tickets[3]).objects.push_back(foreign);
  run(tickets);
  for (size_t i = 0; i < 10; ++i) {
    const auto& regions = recorder.results[i].results.regions;
    ASSERT_EQ(regions.size(), i == 3 ? 2u : 1u) << i;
    EXPECT_EQ(std::ranges::count(regions, Label("car"), &Region::label), 1);
  }
}

TEST_F(ElementsTest, LinesCountAndSetTheirTag) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements.push_back(
      {.name = "tracks", .type = "tracker", .properties = json(R"({"min_hits": 1})")});
  spec.pipeline.elements.push_back({.name = "gate",
                                    .type = "lines",
                                    .tag = "crossing",
                                    .properties = json(R"({"lines": {"main": [[160, 0], [160, 240]]}})")});
  prepare(spec);
  start();
  run(tickets_of(encode(h264, width, height, 50, walking)));
  size_t tagged = 0;
  for (const InstanceResult& result : recorder.results) {
    ASSERT_EQ(result.results.regions.size(), 1u);
    tagged += has_tag(result.results, "crossing");
    for (const Attribute& attribute :
         result.results.attributes ? result.results.attributes->items() : std::vector<Attribute>{})
      EXPECT_TRUE(attribute.model == Label("gate") || attribute.model == Label("tag"));
  }
  EXPECT_EQ(tagged, 1u);
}

TEST_F(ElementsTest, ElementsOfOthersStandInTheChain) {
  ModuleSpec spec = detecting();
  spec.pipeline.elements.insert(
      spec.pipeline.elements.begin(),
      {.name = "mirror", .type = "gst:videoflip", .properties = json(R"({"method": "horizontal-flip"})")});
  prepare(spec);
  start();
  run(tickets_of(encode(h264, width, height, 5, walking)));
  ASSERT_EQ(count(FrameOutcome::stored), 5u);
  EXPECT_GT(recorder.results[0].results.regions.at(0).box.x, 0.5f);

  for (const char* type : {"gst:decodebin", "gst:tee", "gst:no_such_element", "detectr"}) {
    spec.pipeline.elements[0].type = type;
    spec.pipeline.elements[0].properties = {};
    EXPECT_FALSE(prepare_template(spec)) << type;
  }
}

TEST_F(ElementsTest, AGroupThatIsOffLeavesItsElementsOut) {
  ModuleSpec spec = detecting();
  spec.groups = {{"finding", {.enabled = "${parameters.on}"}}};
  spec.parameters = {{"on", {.type = ParameterType::boolean, .default_value = true}}};
  spec.pipeline.elements[0].group = "finding";
  prepare(spec);
  EXPECT_EQ(pipeline->effect_of("on"), ParameterEffect::recycle);
  start("h264",
        std::make_shared<Parameters>(1, std::map<std::string, Value, std::less<>>{{"on", Value(false)}}));
  run(tickets_of(encode(h264, width, height, 3, walking)));
  for (const InstanceResult& result : recorder.results) EXPECT_TRUE(result.results.regions.empty());
}

TEST_F(ElementsTest, StopDoesNotWaitForASlowModel) {
  prepare(detecting("{}", "det_slow"));
  start();
  const auto tickets = tickets_of(encode(h264, width, height, 30, walking));
  size_t pushed = 0;
  while (pushed < tickets.size() && instance->push(tickets[pushed]) == StreamInstance::Push::ok) ++pushed;
  ASSERT_TRUE(instance->stop(20'000'000'000));
  EXPECT_EQ(recorder.results.size(), pushed);
}

// A batch that waits for more frames than come: nothing but the flush lets it go.
TEST_F(ElementsTest, L14WhatWaitsForAFullBatchRunsWhenTheStreamHasStalled) {
  prepare(detecting(R"({"batch_size": 4, "batch_timeout": 600000})", "det_batch"));
  start("jpeg");
  const auto units = encode("jpegenc", width, height, 6, walking);
  const auto tickets = tickets_of(units, "jpeg");
  const auto results = [&] {
    const std::lock_guard lock(recorder.mutex);
    return recorder.results.size();
  };
  ASSERT_TRUE(feed(*instance, recorder, {tickets.begin(), tickets.begin() + 5}));
  ASSERT_TRUE(recorder.wait_for_results(4));
  // The fifth has come as far as the element, and no further.
  ASSERT_TRUE(recorder.wait([&] { return pipeline->elements()[0].frames == 5; }));
  EXPECT_EQ(results(), 4u);
  instance->flush_batches();
  ASSERT_TRUE(recorder.wait_for_results(5));
  EXPECT_EQ(recorder.results[4].results.regions.size(), 1u);
  // And goes on afterwards as before.
  run({tickets[5]});
  EXPECT_EQ(recorder.results.size(), 6u);
}

TEST_F(ElementsTest, AModelThatDoesNotFitIsAnErrorBeforeAnyStream) {
  auto made = prepare_template(detecting("{}", "det_misfit"));
  EXPECT_FALSE(made);
  ModuleSpec spec = detecting();
  spec.models[0].second.path = "/no/such/model.onnx";
  EXPECT_FALSE(prepare_template(spec));
  spec = detecting(R"({"treshold": 0.5})");
  made = prepare_template(spec);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("did you mean 'threshold'"), std::string::npos) << made.error().message;
}

TEST_F(ElementsTest, ExplainShowsBoundPropertiesAndCopies) {
  ModuleSpec spec = detecting(R"({"threshold": "${parameters.least}"})");
  spec.parameters = {{"least", {.type = ParameterType::number, .default_value = 0.5}}};
  auto made = prepare_template(spec, {.on_progress = {}, .load_models = false});
  ASSERT_TRUE(made) << made.error().to_string();
  const auto steps = explain(**made);
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[2].bound, "threshold ← parameters.least");
  EXPECT_EQ(steps[2].copied_bytes, 0u);
}

}  // namespace
}  // namespace sightglass::module
