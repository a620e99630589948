// Pictures that are put out: encoded, passed on, drawn into.
#include <gst/app/gstappsink.h>

#include <algorithm>

#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

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
