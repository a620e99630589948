// Streams for tests of instances: pictures with coloured squares, which the test models take for objects
// (tests/models/make.py), as access units of a codec; tickets for them, and somebody who keeps the results.
#pragma once

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/memory/gst/handles.h"
#include "sightglass/module/parameters.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/stream_instance.h"

namespace sightglass::module {

using Bytes = std::vector<uint8_t>;
constexpr std::chrono::seconds test_patience{60};

struct Square {
  int x, y, size;
  uint8_t r, g, b;
};
constexpr Square person_at(int x, int y) { return {x, y, 44, 235, 30, 30}; }
constexpr Square pale_person_at(int x, int y) { return {x, y, 44, 150, 60, 60}; }

// RGB, rows padded to 4 bytes.
inline Bytes picture(int width, int height, const std::vector<Square>& squares) {
  const size_t stride = (size_t(width) * 3 + 3) / 4 * 4;
  Bytes bytes(stride * size_t(height), 48);
  for (const Square& square : squares)
    for (int y = std::max(square.y, 0); y < std::min(square.y + square.size, height); ++y)
      for (int x = std::max(square.x, 0); x < std::min(square.x + square.size, width); ++x) {
        uint8_t* pixel = &bytes[size_t(y) * stride + size_t(x) * 3];
        pixel[0] = square.r, pixel[1] = square.g, pixel[2] = square.b;
      }
  return bytes;
}

struct Unit {
  Bytes bytes;
  bool keyframe = false;
  Time pts = 0;
};

// What `encoder` makes of the pictures, in the order in which it gives them, 25 a second.
inline std::vector<Unit> encode(const std::string& encoder, int width, int height, int frames,
                                const std::function<std::vector<Square>(int)>& scene) {
  gst_init(nullptr, nullptr);
  const std::string text =
      "appsrc name=in format=time caps=video/x-raw,format=RGB,framerate=25/1,width=" + std::to_string(width) +
      ",height=" + std::to_string(height) + " ! videoconvert ! video/x-raw,format=I420 ! " + encoder +
      " ! appsink name=out sync=false";
  const gst::ElementPtr pipeline(gst_parse_launch(text.c_str(), nullptr));
  gst_object_ref_sink(pipeline.get());
  const gst::ElementPtr in(gst_bin_get_by_name(GST_BIN(pipeline.get()), "in")),
      out(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  for (int i = 0; i < frames; ++i) {
    const Bytes pixels = picture(width, height, scene(i));
    auto* buffer = gst_buffer_new_allocate(nullptr, pixels.size(), nullptr);
    gst_buffer_fill(buffer, 0, pixels.data(), pixels.size());
    GST_BUFFER_PTS(buffer) = GstClockTime(i) * 40 * GST_MSECOND;
    GST_BUFFER_DURATION(buffer) = 40 * GST_MSECOND;
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer);
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
  std::vector<Unit> units;
  while (auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(out.get()), 60 * GST_SECOND)) {
    auto* buffer = gst_sample_get_buffer(sample);
    Unit unit;
    unit.bytes.resize(gst_buffer_get_size(buffer));
    gst_buffer_extract(buffer, 0, unit.bytes.data(), unit.bytes.size());
    unit.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
    unit.pts = Time(
        gst_segment_to_running_time(gst_sample_get_segment(sample), GST_FORMAT_TIME, GST_BUFFER_PTS(buffer)));
    units.push_back(std::move(unit));
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return units;
}

inline constexpr const char* h264 =
    "x264enc threads=1 tune=zerolatency quantizer=18 pass=quant key-int-max=25 ! h264parse "
    "config-interval=-1 ! "
    "video/x-h264,stream-format=byte-stream,alignment=au";
// Two reordered pictures between the others.
inline constexpr const char* h264_reordered =
    "x264enc threads=1 bframes=2 b-adapt=false quantizer=18 pass=quant key-int-max=25 ! h264parse "
    "config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";

inline TicketRef ticket_of(const Unit& unit, const std::string& codec, int width, int height, int64_t seq) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame;
  message->source_id = "cam-1";
  message->seq = seq;
  stream::VideoFrame& frame = message->frame.emplace();
  frame.uuid[0] = 1, frame.uuid[15] = uint8_t(seq), frame.uuid[14] = uint8_t(seq >> 8);
  frame.width = width, frame.height = height;
  frame.codec = codec;
  frame.keyframe = unit.keyframe;
  frame.pts = unit.pts;
  auto ticket = std::make_shared<Ticket>();
  if (!unit.bytes.empty()) {
    frame.content = stream::Part{0, int64_t(unit.bytes.size())};
    ticket->delivery.payloads = {stream::own(unit.bytes)};
  }
  ticket->delivery.message = std::move(message);
  ticket->original_pts = unit.pts;
  return ticket;
}
// The message of a ticket that nobody else has yet.
inline stream::VideoFrame& frame_of(Ticket& ticket) {
  return *const_cast<stream::Message&>(*ticket.delivery.message).frame;
}

class Recorder final : public InstanceEvents {
 public:
  void first_frame() override {
    change([&] { ++first_frames; });
  }
  void result(InstanceResult result) override {
    change([&] { results.push_back(std::move(result)); });
  }
  void room() override {
    change([&] { ++rooms; });
  }
  void ended() override {
    change([&] { has_ended = true; });
  }
  void failed(FailureKind kind, std::string text, std::string element) override {
    change([&] { failures.push_back({kind, std::move(text), std::move(element)}); });
  }
  // False: it has not come to that.
  bool wait(const std::function<bool()>& until) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, test_patience, until);
  }
  bool wait_for_end() {
    return wait([&] { return has_ended || !failures.empty(); }) && has_ended;
  }
  bool wait_for_results(size_t count) {
    return wait([&] { return results.size() >= count || !failures.empty(); }) && results.size() >= count;
  }

  struct Failure {
    FailureKind kind;
    std::string text, element;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<InstanceResult> results;
  std::vector<Failure> failures;
  int first_frames = 0, rooms = 0;
  bool has_ended = false;

 private:
  template <class F>
  void change(F&& f) {
    const std::lock_guard lock(mutex);
    f();
    changed.notify_all();
  }
};

// Pushes, waiting for room.
inline bool feed(StreamInstance& instance, Recorder& recorder, const std::vector<TicketRef>& tickets) {
  for (const TicketRef& ticket : tickets) {
    while (true) {
      const int rooms = [&] {
        const std::lock_guard lock(recorder.mutex);
        return recorder.rooms;
      }();
      const auto pushed = instance.push(ticket);
      if (pushed == StreamInstance::Push::ok) break;
      if (pushed == StreamInstance::Push::failed) return false;
      if (!recorder.wait([&] { return recorder.rooms > rooms || !recorder.failures.empty(); })) return false;
    }
  }
  return true;
}

class Parameters final : public ParameterSet {
 public:
  Parameters(uint64_t revision, const std::map<std::string, Value, std::less<>>& values)
      : revision_(revision) {
    for (const auto& [name, value] : values) values_[name] = {value, Layer::http};
  }
  uint64_t revision() const override { return revision_; }
  const ParameterValue* find(std::string_view name, std::string_view) const override {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }

 private:
  uint64_t revision_;
  std::map<std::string, ParameterValue, std::less<>> values_;
};

// A test model, or an empty path where there are none.
inline std::string test_model(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_MODELS");
  return folder ? std::string(folder) + "/" + name + ".onnx" : "";
}

inline Value json(const std::string& text) { return value_from_json_or_null(text); }

inline constexpr int width = 320, height = 240;

inline std::vector<Square> walking(int n) { return {person_at(40 + 4 * n, 60)}; }

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
    tickets.reserve(units.size());
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

class ElementsTest : public InstanceTest {
 protected:
  void SetUp() override {
    if (test_model("det").empty()) GTEST_SKIP() << "SIGHTGLASS_TEST_MODELS is not set";
  }
};

}  // namespace sightglass::module
