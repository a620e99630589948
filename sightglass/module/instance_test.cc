// One life of a stream: what goes in, what comes out and in which order.
#include <algorithm>
#include <filesystem>

#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

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
  more.reserve(large.size());
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
  units.reserve(5);
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
  units.reserve(lies.size() + 1);
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
  units.reserve(600);
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

}  // namespace
}  // namespace sightglass::module
