// One life of a stream: what goes in, what comes out, in which order and with which parameters.
#include <gst/app/gstappsink.h>

#include <algorithm>
#include <filesystem>

#include "sightglass/gst/results.h"
#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

constexpr int width = 320, height = 240;

std::vector<Square> walking(int n) { return {person_at(40 + 4 * n, 60)}; }

class InstanceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
  // A module without elements.
  static ModuleSpec plain(std::string codec = "none") {
    ModuleSpec spec;
    spec.output_frame.codec = std::move(codec);
    return spec;
  }
  static ModuleSpec detecting(const std::string& properties = "{}", const std::string& model = "det") {
    ModuleSpec spec;
    spec.models = {{"objects", {.path = test_model(model), .device = "CPU"}}};
    spec.pipeline.elements = {
        {.name = "finder", .type = "detector", .model = "objects", .properties = json(properties)}};
    return spec;
  }
  void prepare(const ModuleSpec& spec) {
    auto made = prepare_template(spec);
    ASSERT_TRUE(made) << made.error().to_string();
    pipeline = *made;
  }
  void start(const std::string& codec = "h264", std::shared_ptr<const ParameterSet> parameters = nullptr) {
    InstanceOptions options{.source_id = "cam-1", .epoch = 1, .parameters = std::move(parameters)};
    options.format = {.codec = codec, .width = width, .height = height, .framerate = {25, 1}};
    if (codec == "raw") options.format.raw_format = "RGB";
    auto made = start_instance(*pipeline, options, recorder);
    ASSERT_TRUE(made) << made.error().to_string();
    instance = std::move(*made);
    EXPECT_EQ(instance->unbounded_queues(), std::vector<std::string>{});  // F23
  }
  static std::vector<TicketRef> tickets_of(const std::vector<Unit>& units,
                                           const std::string& codec = "h264") {
    std::vector<TicketRef> tickets;
    for (const Unit& unit : units)
      tickets.push_back(ticket_of(unit, codec, width, height, int64_t(tickets.size())));
    return tickets;
  }
  // All of them, to the end.
  void run(const std::vector<TicketRef>& tickets) {
    ASSERT_TRUE(feed(*instance, recorder, tickets));
    instance->end();
    ASSERT_TRUE(recorder.wait_for_end()) << (recorder.failures.empty() ? "" : recorder.failures[0].text);
    EXPECT_TRUE(instance->stop(10'000'000'000));
  }
  size_t count(FrameOutcome outcome) const {
    return size_t(std::ranges::count(recorder.results, outcome, &InstanceResult::outcome));
  }
  static bool has_tag(const Frame& frame, std::string_view tag) {
    if (!frame.attributes) return false;
    return std::ranges::any_of(frame.attributes->items(), [&](const Attribute& attribute) {
      return attribute.model.view() == "tag" && attribute.name.view() == tag;
    });
  }

  Recorder recorder;
  std::shared_ptr<PipelineTemplate> pipeline;
  std::unique_ptr<StreamInstance> instance;
};

TEST_F(InstanceTest, EveryTicketHasOneResultInOrder) {
  prepare(plain());
  start();
  const auto tickets = tickets_of(encode(h264, width, height, 60, walking));
  ASSERT_EQ(tickets.size(), 60u);
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 60u);
  EXPECT_EQ(recorder.first_frames, 1);
  for (size_t i = 0; i < 60; ++i) {
    const InstanceResult& result = recorder.results[i];
    EXPECT_EQ(result.ticket, tickets[i]);
    EXPECT_EQ(result.outcome, FrameOutcome::stored) << i << ": " << result.reason;
    EXPECT_EQ(result.results.pts, tickets[i]->original_pts);
    ASSERT_TRUE(result.results.video);
    EXPECT_EQ(result.results.video->width, width);
    EXPECT_TRUE(result.results.tensors.empty());
  }
}

TEST_F(InstanceTest, ReorderedPicturesKeepTheirTickets) {
  prepare(plain());
  start();
  const auto tickets = tickets_of(encode(h264_reordered, width, height, 50, walking));
  ASSERT_FALSE(std::ranges::is_sorted(tickets, {}, [](const TicketRef& t) { return t->original_pts; }));
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 50u);
  EXPECT_EQ(count(FrameOutcome::stored), 50u);
  EXPECT_TRUE(std::ranges::is_sorted(recorder.results, {},
                                     [](const InstanceResult& r) { return r.ticket->original_pts; }));
}

TEST_F(InstanceTest, TheBitstreamThatIsPassedOnKeepsItsBytesAndItsOrder) {
  prepare(plain("copy"));
  start();
  const auto units = encode(h264_reordered, width, height, 50, walking);
  const auto tickets = tickets_of(units);
  run(tickets);
  ASSERT_EQ(recorder.results.size(), units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    const InstanceResult& result = recorder.results[i];
    EXPECT_EQ(result.ticket, tickets[i]);
    EXPECT_TRUE(std::ranges::equal(result.payload.bytes, units[i].bytes));
    EXPECT_EQ(result.codec, "h264");
    EXPECT_EQ(result.keyframe, units[i].keyframe);
  }
}

TEST_F(InstanceTest, L10TimeThatGoesBackAtAKeyframeGoesOnInside) {
  prepare(plain());
  start();
  auto units = encode(h264, width, height, 50, walking);  // keyframes at 0 and 25
  for (size_t i = 25; i < units.size(); ++i) units[i].pts -= 24 * 40'000'000;
  const auto tickets = tickets_of(units);
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 50u);
  EXPECT_EQ(count(FrameOutcome::stored), 50u);
  for (size_t i = 0; i < tickets.size(); ++i) EXPECT_EQ(recorder.results[i].ticket, tickets[i]);
  EXPECT_TRUE(std::ranges::is_sorted(tickets, std::less_equal(), &Ticket::pts) ||
              std::ranges::adjacent_find(tickets, std::greater_equal(), &Ticket::pts) == tickets.end());
}

TEST_F(InstanceTest, FramesWithoutTimestampsGetTheirOwn) {
  prepare(plain());
  start();
  auto units = encode(h264, width, height, 10, walking);
  for (Unit& unit : units) unit.pts = 0;
  auto tickets = tickets_of(units);
  for (size_t i = 5; i < tickets.size(); ++i) tickets[i]->original_pts = no_time;
  run(tickets);
  EXPECT_EQ(count(FrameOutcome::stored), 10u);
}

TEST_F(InstanceTest, ReplayedFramesYieldNoResult) {
  prepare(plain());
  start();
  const auto tickets = tickets_of(encode(h264, width, height, 20, walking));
  for (size_t i = 0; i < 10; ++i) tickets[i]->replay = true;
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(recorder.results[i].outcome, i < 10 ? FrameOutcome::no_picture : FrameOutcome::stored);
    EXPECT_EQ(recorder.results[i].reason, i < 10 ? "replay" : "");
  }
}

TEST_F(InstanceTest, AFrameThatIsMetadataOnlyHasItsMetadataAsResult) {
  prepare(plain());
  start();
  auto tickets = tickets_of(encode(h264, width, height, 6, walking));
  TicketRef note = ticket_of({{}, false, 6 * 40'000'000}, "h264", width, height, 6);
  frame_of(*note).tags = {"note"};
  tickets.push_back(note);
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 7u);
  EXPECT_EQ(recorder.results[6].ticket, note);
  EXPECT_TRUE(has_tag(recorder.results[6].results, "note"));
}

TEST_F(InstanceTest, ObjectsOfTheMessageAreAmongTheResults) {
  prepare(plain());
  start();
  auto tickets = tickets_of(encode(h264, width, height, 3, walking));
  stream::VideoFrame& frame = frame_of(*tickets[1]);
  for (int64_t id : {70, 80}) {
    stream::Object object;
    object.id = id;
    if (id == 70) object.parent_id = 80;  // comes behind it
    object.namespace_ = "camera";
    object.label = id == 80 ? "car" : "plate";
    object.detection_box = {.xc = 80, .yc = 60, .width = 40, .height = 20};
    frame.objects.push_back(object);
  }
  run(tickets);
  const Frame& results = recorder.results[1].results;
  ASSERT_EQ(results.regions.size(), 2u);
  const auto plate = std::ranges::find(results.regions, Label("plate"), &Region::label),
             car = std::ranges::find(results.regions, Label("car"), &Region::label);
  EXPECT_EQ(plate->parent, car->id);
  EXPECT_EQ(car->model, Label("camera"));
  EXPECT_NEAR(car->box.x, 60.f / width, 1e-5);
  EXPECT_TRUE(recorder.results[0].results.regions.empty());
}

// ---- broken streams

TEST_F(InstanceTest, F05ABrokenStreamEndsWithoutHurtingAnybody) {
  prepare(plain());
  const auto good = encode(h264, width, height, 30, walking);
  struct Case {
    const char* name;
    std::function<void(std::vector<Unit>&)> spoil;
  };
  const Case cases[] = {
      {"truncated",
       [](auto& units) {
         for (auto& unit : units) unit.bytes.resize(unit.bytes.size() / 2 + 1);
       }},
      {"noise",
       [](auto& units) {
         for (auto& unit : units)
           for (auto& byte : unit.bytes) byte = uint8_t(byte * 31 + 7);
       }},
      {"zeros",
       [](auto& units) {
         for (auto& unit : units) std::ranges::fill(unit.bytes, uint8_t(0));
       }},
      {"no keyframe", [](auto& units) { units.erase(units.begin()); }},
      {"one frame lost", [](auto& units) { units.erase(units.begin() + 7); }},
      {"bits flipped",
       [](auto& units) {
         for (size_t i = 0; i < units.size(); ++i) units[i].bytes[units[i].bytes.size() / 2] ^= 0x55;
       }},
      {"other codec",
       [](auto& units) {
         for (auto& unit : units) unit.bytes = {0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0};
       }},
      {"one byte each",
       [](auto& units) {
         for (auto& unit : units) unit.bytes.resize(1);
       }},
  };
  for (const Case& broken : cases) {
    SCOPED_TRACE(broken.name);
    auto units = good;
    broken.spoil(units);
    Recorder events;
    InstanceOptions options{.source_id = "cam-1"};
    options.format = {.codec = "h264", .width = width, .height = height, .framerate = {25, 1}};
    auto made = start_instance(*pipeline, options, events);
    ASSERT_TRUE(made);
    const auto tickets = tickets_of(units);
    size_t taken = 0;
    for (const TicketRef& ticket : tickets) {
      if (!feed(**made, events, {ticket})) break;
      ++taken;
    }
    (*made)->end();
    ASSERT_TRUE(events.wait([&] { return events.has_ended || !events.failures.empty(); }));
    ASSERT_TRUE((*made)->stop(10'000'000'000));
    EXPECT_EQ(events.results.size(), taken);
    for (const auto& failure : events.failures) EXPECT_EQ(failure.kind, FailureKind::decoder) << failure.text;
  }
}

TEST_F(InstanceTest, L06WithoutADecoderItDoesNotStart) {
  prepare(plain());
  InstanceOptions options{.source_id = "cam-1"};
  options.format.codec = "theora";
  auto made = start_instance(*pipeline, options, recorder);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unsupported);
  options.format.codec = "h264";
  options.decoder_choice = decoder_choices("h264");
  made = start_instance(*pipeline, options, recorder);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unavailable);
  EXPECT_EQ(decoder_choices("theora"), 0u);
  EXPECT_GE(decoder_choices("h264"), 1u);
}

TEST_F(InstanceTest, EveryDecoderOfTheTableGivesAPicture) {
  prepare(plain());
  const std::map<std::string, std::string> encoders = {
      {"h264", h264},
      {"hevc",
       "x265enc tune=zerolatency speed-preset=ultrafast option-string=pools=1:log-level=none ! h265parse "
       "config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au"},
      {"vp8", "vp8enc deadline=1 threads=1"},
      {"vp9", "vp9enc deadline=1 threads=1"},
      {"jpeg", "jpegenc"},
      {"mjpeg", "jpegenc"},
      {"png", "videoconvert ! pngenc snapshot=false"}};
  for (const auto& [codec, encoder] : encoders) {
    SCOPED_TRACE(codec);
    auto units = encode(encoder, width, height, 8, walking);
    ASSERT_EQ(units.size(), 8u);
    if (codec == "jpeg" || codec == "png" || codec == "mjpeg")
      for (Unit& unit : units) unit.keyframe = true;
    for (unsigned choice = 0; choice < decoder_choices(codec); ++choice) {
      Recorder events;
      InstanceOptions options{.source_id = "cam-1", .decoder_choice = choice};
      options.format = {.codec = codec, .width = width, .height = height, .framerate = {25, 1}};
      auto made = start_instance(*pipeline, options, events);
      ASSERT_TRUE(made) << made.error().to_string();
      ASSERT_TRUE(feed(**made, events, tickets_of(units, codec)))
          << choice << ": " << (events.failures.empty() ? "" : events.failures[0].text);
      (*made)->end();
      ASSERT_TRUE(events.wait_for_end()) << (events.failures.empty() ? "" : events.failures[0].text);
      ASSERT_TRUE((*made)->stop(10'000'000'000));
      EXPECT_EQ(std::ranges::count(events.results, FrameOutcome::stored, &InstanceResult::outcome), 8)
          << choice;
    }
  }
}

TEST_F(InstanceTest, L12PicturesMayChangeTheirSize) {
  prepare(plain());
  start("jpeg");
  auto small = encode("jpegenc", width, height, 3, walking), large = encode("jpegenc", 640, 480, 3, walking);
  for (size_t i = 0; i < 3; ++i) small[i].keyframe = large[i].keyframe = true, large[i].pts += 120'000'000;
  std::vector<TicketRef> tickets = tickets_of(small, "jpeg");
  ASSERT_TRUE(feed(*instance, recorder, tickets));
  StreamFormat format{.codec = "jpeg", .width = 640, .height = 480, .framerate = {25, 1}};
  ASSERT_TRUE(instance->set_format(format));
  std::vector<TicketRef> more;
  for (const Unit& unit : large) more.push_back(ticket_of(unit, "jpeg", 640, 480, 3 + int64_t(more.size())));
  run(more);
  ASSERT_EQ(recorder.results.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(recorder.results[i].outcome, FrameOutcome::stored);
    EXPECT_EQ(recorder.results[i].results.video->width, i < 3 ? width : 640);
  }
  EXPECT_FALSE(instance->set_format({.codec = "h264", .width = 1, .height = 1}));
}

TEST_F(InstanceTest, RawPicturesComeAndGoUnchanged) {
  prepare(plain("raw"));
  start("raw");
  std::vector<Unit> units;
  for (int i = 0; i < 5; ++i)
    units.push_back({picture(width, height, walking(i)), true, Time(i) * 40'000'000});
  run(tickets_of(units, "raw"));
  ASSERT_EQ(recorder.results.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    const InstanceResult& result = recorder.results[i];
    ASSERT_TRUE(result.raw);
    EXPECT_EQ(result.raw->format, "RGB");
    EXPECT_EQ(result.width, width);
    EXPECT_TRUE(std::ranges::equal(result.payload.bytes, units[i].bytes));  // 960 bytes a row: no padding
  }
}

TEST_F(InstanceTest, W08RawPicturesThatLieAboutTheirPlanesGetNowhereNearAnElement) {
  prepare(plain("raw"));
  start("raw");
  const std::vector<std::vector<stream::Plane>> lies = {
      {{.offset = 0, .stride = 1 << 30, .size = 1}},
      {{.offset = 1 << 30, .stride = 960, .size = 1}},
      {{.offset = -8, .stride = 960, .size = 1}},
      {{.offset = 0, .stride = -960, .size = 1}},
      {{.offset = 0, .stride = 1, .size = 1}},
      {{.offset = 960, .stride = 960, .size = 1}},
      {{.offset = 0, .stride = 960, .size = 1}, {.offset = 0, .stride = 960, .size = 1}}};
  std::vector<Unit> units;
  for (size_t i = 0; i < lies.size() + 1; ++i)
    units.push_back({picture(width, height, walking(int(i))), true, Time(i) * 40'000'000});
  auto tickets = tickets_of(units, "raw");
  for (size_t i = 0; i < lies.size(); ++i) {
    auto message = std::make_shared<stream::Message>(*tickets[i]->delivery.message);
    message->frame->raw = stream::RawLayout{.format = "RGB", .planes = lies[i]};
    tickets[i]->delivery.message = std::move(message);
  }
  run(tickets);
  ASSERT_EQ(recorder.results.size(), lies.size() + 1);
  for (size_t i = 0; i < lies.size(); ++i) {
    EXPECT_EQ(recorder.results[i].outcome, FrameOutcome::dropped) << i;
    EXPECT_EQ(recorder.results[i].reason, "payload") << i;
  }
  EXPECT_EQ(recorder.results.back().outcome, FrameOutcome::stored);
}

// ---- the end

TEST_F(InstanceTest, L18StopSettlesWhatIsInFlight) {
  prepare(plain());
  start();
  const auto tickets = tickets_of(encode(h264, width, height, 12, walking));
  ASSERT_TRUE(feed(*instance, recorder, tickets));
  ASSERT_TRUE(instance->stop(10'000'000'000));
  ASSERT_EQ(recorder.results.size(), tickets.size());
  for (const InstanceResult& result : recorder.results) {
    if (result.outcome == FrameOutcome::dropped) {
      EXPECT_EQ(result.reason, "stopped");
    }
  }
  EXPECT_EQ(instance->in_flight(), 0u);
  EXPECT_EQ(instance->push(tickets[0]), StreamInstance::Push::failed);
  EXPECT_TRUE(instance->stop(0));  // again
}

TEST_F(InstanceTest, PushSaysFullInsteadOfWaitingAndTellsOfRoom) {
  prepare(plain());
  start();
  const auto units = encode(h264, width, height, 200, walking);
  bool was_full = false;
  for (size_t i = 0; i < units.size(); ++i) {
    const TicketRef ticket = ticket_of(units[i], "h264", width, height, int64_t(i));
    const int rooms = [&] {
      const std::lock_guard lock(recorder.mutex);
      return recorder.rooms;
    }();
    if (instance->push(ticket) == StreamInstance::Push::full) {
      was_full = true;
      ASSERT_TRUE(recorder.wait([&] { return recorder.rooms > rooms; }));
      ASSERT_TRUE(feed(*instance, recorder, {ticket}));
    }
  }
  instance->end();
  ASSERT_TRUE(recorder.wait_for_end());
  EXPECT_TRUE(was_full);
  EXPECT_EQ(recorder.results.size(), 200u);
}

TEST_F(InstanceTest, F23FramesThatADecoderSwallowsAreGivenUp) {
  prepare(plain());
  start();
  auto units = encode(h264, width, height, 1, walking);
  for (int i = 1; i < 1000; ++i) units.push_back({Bytes(64, uint8_t(0xff)), false, Time(i) * 40'000'000});
  const auto tickets = tickets_of(units);
  for (const TicketRef& ticket : tickets) {
    if (!feed(*instance, recorder, {ticket})) break;
    ASSERT_LE(instance->in_flight(), 256u);
  }
  EXPECT_TRUE(instance->stop(10'000'000'000));
  if (recorder.failures.empty()) {
    EXPECT_GE(count(FrameOutcome::no_picture), 700u);
  }
  for (size_t i = 0; i < recorder.results.size(); ++i) ASSERT_EQ(recorder.results[i].ticket, tickets[i]);
}

TEST_F(InstanceTest, F23FramesThatAnElementSwallowsAreGivenUp) {
  ModuleSpec spec = plain();
  spec.pipeline.elements = {{.name = "valve", .type = "gst:valve", .properties = json(R"({"drop": true})")}};
  prepare(spec);
  start("raw");
  std::vector<Unit> units;
  for (int i = 0; i < 600; ++i) units.push_back({picture(width, height, {}), true, Time(i) * 40'000'000});
  const auto tickets = tickets_of(units, "raw");
  for (const TicketRef& ticket : tickets) {
    ASSERT_TRUE(feed(*instance, recorder, {ticket}));
    ASSERT_LE(instance->in_flight(), 256u);
  }
  EXPECT_TRUE(instance->stop(10'000'000'000));
  ASSERT_EQ(recorder.results.size(), 600u);
  EXPECT_EQ(std::ranges::count(recorder.results, "element", &InstanceResult::reason), 344);
}

TEST_F(InstanceTest, L17AnInstanceWithoutFramesEnds) {
  prepare(plain());
  start();
  instance->end();
  EXPECT_TRUE(recorder.wait_for_end());
}

size_t open_files() {
  return size_t(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST_F(InstanceTest, F02LivesLeaveNothingBehind) {
  prepare(test_model("det").empty() ? plain() : detecting());
  const auto units = encode(h264, width, height, 3, walking);
  size_t files = 0;
  for (int life = 0; life < 200; ++life) {
    if (life == 20) files = open_files();
    Recorder events;
    InstanceOptions options{.source_id = "cam-1", .epoch = life};
    options.format = {.codec = "h264", .width = width, .height = height, .framerate = {25, 1}};
    auto made = start_instance(*pipeline, options, events);
    ASSERT_TRUE(made) << made.error().to_string();
    const auto tickets = tickets_of(units);
    ASSERT_TRUE(feed(**made, events, tickets));
    if (life % 2) {
      (*made)->end();
      ASSERT_TRUE(events.wait_for_end());
    }
    ASSERT_TRUE((*made)->stop(10'000'000'000));
    ASSERT_EQ(events.results.size(), 3u);
    made->reset();
    events.results.clear();
    for (const TicketRef& ticket : tickets) ASSERT_EQ(ticket.use_count(), 1) << life;
  }
  EXPECT_LE(open_files(), files);
}

// ---- elements

class ElementsTest : public InstanceTest {
 protected:
  void SetUp() override {
    if (test_model("det").empty()) GTEST_SKIP() << "SIGHTGLASS_TEST_MODELS is not set";
  }
};

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

// ---- functions

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

// ---- pictures that are put out

// Decodes them all; how many pictures came out.
int decoded_pictures(const std::vector<Bytes>& units) {
  const gst::ElementPtr pipeline(gst_parse_launch(
      "appsrc name=in format=time caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate=25/1 ! "
      "h264parse ! avdec_h264 max-threads=1 ! appsink name=out sync=false",
      nullptr));
  gst_object_ref_sink(pipeline.get());
  const gst::ElementPtr in(gst_bin_get_by_name(GST_BIN(pipeline.get()), "in")),
      out(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  for (size_t i = 0; i < units.size(); ++i) {
    auto* buffer = gst_buffer_new_allocate(nullptr, units[i].size(), nullptr);
    gst_buffer_fill(buffer, 0, units[i].data(), units[i].size());
    GST_BUFFER_PTS(buffer) = i * 40 * GST_MSECOND;
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
  int pictures = 0;
  while (auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(out.get()), 60 * GST_SECOND)) {
    ++pictures;
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return pictures;
}

TEST_F(InstanceTest, FramesLeftOutPassTheEncoderAndTheNextIsAKeyframe) {
  ModuleSpec spec = plain("h264");
  spec.output_frame.encoder = "software";
  spec.output_frame.when = json(R"({"frame": {"tag": "film"}})");
  spec.output_frame.gop = 100;
  prepare(spec);
  start();
  auto tickets = tickets_of(encode(h264, width, height, 60, walking));
  const auto filmed = [](size_t i) { return i % 20 >= 10; };
  for (size_t i = 0; i < tickets.size(); ++i)
    if (filmed(i)) frame_of(*tickets[i]).tags = {"film"};
  run(tickets);
  ASSERT_EQ(recorder.results.size(), 60u);
  std::vector<Bytes> units;
  for (size_t i = 0; i < tickets.size(); ++i) {
    const InstanceResult& result = recorder.results[i];
    EXPECT_EQ(result.ticket, tickets[i]);
    ASSERT_EQ(!result.payload.bytes.empty(), filmed(i)) << i;
    if (!filmed(i)) continue;
    EXPECT_EQ(result.keyframe, i % 20 == 10) << i;
    units.emplace_back(result.payload.bytes.begin(), result.payload.bytes.end());
  }
  EXPECT_EQ(decoded_pictures(units), 30);
}

TEST_F(InstanceTest, EveryCodecOfTheOutputGivesAPictureForEveryFrame) {
  const auto units = encode(h264, width, height, 12, walking);
  for (const char* codec : {"h264", "hevc", "jpeg", "png"}) {
    SCOPED_TRACE(codec);
    ModuleSpec spec = plain(codec);
    spec.output_frame.width = 160, spec.output_frame.height = 120;
    spec.output_frame.encoder = "software";
    auto made = prepare_template(spec);
    if (!made && made.error().code == ErrorCode::unavailable) continue;
    ASSERT_TRUE(made) << made.error().to_string();
    Recorder events;
    InstanceOptions options{.source_id = "cam-1"};
    options.format = {.codec = "h264", .width = width, .height = height, .framerate = {25, 1}};
    auto one = start_instance(**made, options, events);
    ASSERT_TRUE(one) << one.error().to_string();
    EXPECT_EQ((*one)->unbounded_queues(), std::vector<std::string>{});
    ASSERT_TRUE(feed(**one, events, tickets_of(units)));
    (*one)->end();
    ASSERT_TRUE(events.wait_for_end()) << (events.failures.empty() ? "" : events.failures[0].text);
    ASSERT_TRUE((*one)->stop(10'000'000'000));
    ASSERT_EQ(events.results.size(), 12u);
    for (const InstanceResult& result : events.results) {
      EXPECT_FALSE(result.payload.bytes.empty());
      EXPECT_EQ(result.codec, codec);
      EXPECT_EQ(result.width, 160);
    }
    EXPECT_TRUE(events.results[0].keyframe);
  }
}

TEST_F(InstanceTest, F15WithoutHardwareAutoFallsBackAndSaysSo) {
  ModuleSpec spec = plain("h264");
  spec.output_frame.encoder = "hardware";
  auto made = prepare_template(spec);
  if (made) GTEST_SKIP() << "there is an encoder in hardware";
  EXPECT_EQ(made.error().code, ErrorCode::unavailable);
  spec.output_frame.encoder = "auto";
  made = prepare_template(spec);
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_FALSE((*made)->encoder().empty());
  ASSERT_EQ((*made)->warnings().size(), 1u);
  EXPECT_NE((*made)->warnings()[0].find("no hardware encoder"), std::string::npos);
}

TEST_F(ElementsTest, ObjectsAreDrawnIntoEncodedPictures) {
  const auto average_of = [&](const Value& draw) {
    ModuleSpec spec = detecting();
    spec.output_frame.codec = "png";
    spec.draw = draw;
    prepare(spec);
    start();
    run(tickets_of(encode(h264, width, height, 2, walking)));
    EXPECT_EQ(recorder.results.size(), 2u);
    EXPECT_EQ(recorder.results[0].results.regions.size(), 1u);
    Bytes bytes(recorder.results[0].payload.bytes.begin(), recorder.results[0].payload.bytes.end());
    recorder.results.clear();
    recorder.has_ended = false;
    return bytes;
  };
  const Bytes bare = average_of({}),
              drawn = average_of(json(R"([{"match": {"label": "person"}, "box": "lime"}])")),
              missed = average_of(json(R"([{"match": {"label": "car"}, "box": "lime"}])"));
  EXPECT_NE(bare, drawn);
  EXPECT_EQ(bare, missed);
}

}  // namespace
}  // namespace sightglass::module
