#include "sightglass/gst/meta_aggregate.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gtest/gtest.h>

#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr GstClockTime second = GST_SECOND;
constexpr unsigned second_id = 2;  // of the second object: each takes two entries

// A main pad and two result branches, fed by hand.
class MetaAggregate : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    if (!g_type_from_name("Gstmeta_aggregate")) register_meta_aggregate(nullptr);
  }
  void SetUp() override {
    GError* error = nullptr;
    pipeline.reset(gst_parse_launch(
        "meta_aggregate name=agg ! appsink name=out sync=false "
        "appsrc name=main format=time caps=video/x-raw,format=GRAY8,width=100,height=100,framerate=1/1 ! "
        "agg.sink "
        "appsrc name=a format=time "
        "caps=other/tensors,num_tensors=(uint)1,types=float32,dimensions=(string)1:1,model=net-a ! "
        "agg.tensor_0 "
        "appsrc name=b format=time "
        "caps=other/tensors,num_tensors=(uint)1,types=float32,dimensions=(string)1:1,model=net-b ! "
        "agg.tensor_1",
        &error));
    ASSERT_EQ(error, nullptr) << error->message;
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  }
  void TearDown() override { gst_element_set_state(pipeline.get(), GST_STATE_NULL); }

  ElementPtr find(const char* name) const {
    return ElementPtr(gst_bin_get_by_name(GST_BIN(pipeline.get()), name));
  }
  void push(const char* name, GstBuffer* buffer) {
    gst_app_src_push_buffer(GST_APP_SRC(find(name).get()), buffer);
  }
  // Starts anew with this value.
  void set(const char* property, gboolean value) {
    gst_element_set_state(pipeline.get(), GST_STATE_READY);
    g_object_set(find("agg").get(), property, value, nullptr);
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  }
  void end(const char* name) { gst_app_src_end_of_stream(GST_APP_SRC(find(name).get())); }
  void frame(GstClockTime pts, std::vector<Region> regions = {}) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 100 * 100, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    Frame with_regions{.regions = std::move(regions)};
    ResultWriter().write(buffer, {100, 100}, {}, nullptr, with_regions);
    push("main", buffer);
  }
  static GstBuffer* result(GstClockTime pts, const char* label, std::optional<SourceId> source = {}) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 4, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    Frame found{.source = source};
    Region region;
    region.label = Label(label);
    region.box = {0.5f, 0.5f, 0.25f, 0.25f};
    found.regions = {region};
    write_frame_metas(found, buffer);
    ResultWriter().write(buffer, {}, {}, nullptr, found);
    return buffer;
  }
  // The labels on the next frame, in order; "end" at the end.
  std::vector<std::string> next() {
    auto* sample = gst_app_sink_pull_sample(GST_APP_SINK(find("out").get()));
    if (!sample) return {"end"};
    Frame out;
    read_results(gst_sample_get_buffer(sample), {100, 100}, out);
    gst_sample_unref(sample);
    std::vector<std::string> labels;
    for (const auto& region : out.regions) labels.emplace_back(region.label.view());
    last = out;
    return labels;
  }
  using Labels = std::vector<std::string>;
  ElementPtr pipeline;
  Frame last;
};

TEST_F(MetaAggregate, JoinsTheResultsOfAllBranchesByTime) {
  frame(0);
  frame(second);
  push("a", result(0, "a0"));
  push("a", result(second, "a1"));
  push("b", result(0, "b0"));
  push("b", result(second, "b1"));
  EXPECT_EQ(next(), (Labels{"a0", "b0"}));
  EXPECT_EQ(last.regions.at(0).model.view(), "net-a");
  EXPECT_EQ(next(), (Labels{"a1", "b1"}));
  end("main"), end("a"), end("b");
  EXPECT_EQ(next(), Labels{"end"});
}

TEST_F(MetaAggregate, DoesNotWaitForABranchThatSkipsTheFrame) {
  frame(0);
  frame(second);
  push("a", to_buffer({0, 0, {}}));
  push("a", result(second, "a1"));
  push("b", result(second, "b1"));  // a later result closes the earlier frame
  EXPECT_EQ(next(), Labels{});
  EXPECT_EQ(next(), (Labels{"a1", "b1"}));
}

TEST_F(MetaAggregate, WaitsForTheLastRegionOfAFrame) {
  Region region;
  region.box = {0, 0, 0.5f, 0.5f};
  region.label = Label("face");
  frame(0, {region, region});
  end("b");
  push("a", result(0, "first", SourceId{.roi = 0}));
  push("a", result(0, "second", SourceId{.roi = second_id, .last_roi = true}));
  EXPECT_EQ(next(), (Labels{"face", "face", "first", "second"}));
  EXPECT_EQ(last.regions[2].parent, 0);
  EXPECT_EQ(last.regions[3].parent, int(second_id));
}

TEST_F(MetaAggregate, AnEndRightBehindTheLastRegionTakesNothingAway) {
  Region region;
  region.label = Label("face");
  end("b");
  push("a", result(0, "first", SourceId{.roi = 0}));
  push("a", result(0, "second", SourceId{.roi = second_id, .last_roi = true}));
  end("a");
  frame(0, {region, region});
  EXPECT_EQ(next(), (Labels{"face", "face", "first", "second"}));
}

TEST_F(MetaAggregate, RegionsOfTheNextSegmentWaitForTheirFrame) {
  // As a loop does it: time begins anew, and running time goes on.
  GstSegment segments[2];
  for (auto& segment : segments) gst_segment_init(&segment, GST_FORMAT_TIME);
  segments[1].base = 10 * second;
  end("b");
  const auto send = [&](const char* name, const GstSegment& segment, GstBuffer* given) {
    const BufferPtr buffer(given);
    g_object_set(find(name).get(), "handle-segment-change", TRUE, nullptr);
    GstCaps* own = nullptr;
    g_object_get(find(name).get(), "caps", &own, nullptr);
    const CapsPtr caps(own);
    auto* sample = gst_sample_new(buffer.get(), caps.get(), &segment, nullptr);
    gst_app_src_push_sample(GST_APP_SRC(find(name).get()), sample);
    gst_sample_unref(sample);
  };
  // appsrc sends the segment that it was given last, so one at a time.
  const auto wait_until_sent = [&](const char* name) {
    guint64 waiting = 1;
    while (waiting > 0) {
      g_object_get(find(name).get(), "current-level-buffers", &waiting, nullptr);
      g_thread_yield();
    }
  };
  for (const auto& segment : segments) {
    send("a", segment, result(0, "first", SourceId{.roi = 0}));
    send("a", segment, result(0, "second", SourceId{.roi = second_id, .last_roi = true}));
    wait_until_sent("a");
  }
  Region region;
  region.label = Label("face");
  for (const auto& segment : segments) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 100 * 100, nullptr);
    GST_BUFFER_PTS(buffer) = 0;
    Frame with_regions{.regions = {region, region}};
    ResultWriter().write(buffer, {100, 100}, {}, nullptr, with_regions);
    send("main", segment, buffer);
    EXPECT_EQ(next(), (Labels{"face", "face", "first", "second"}));
  }
}

TEST_F(MetaAggregate, ALaterFrameClosesOneWhoseLastRegionNeverComes) {
  Region region;
  region.label = Label("face");
  frame(0, {region, region});
  frame(second, {region});
  end("b");
  push("a", result(0, "first", SourceId{.roi = 0}));
  push("a", result(second, "late", SourceId{.roi = 0, .last_roi = true}));
  EXPECT_EQ(next(), (Labels{"face", "face", "first"}));
  EXPECT_EQ(next(), (Labels{"face", "late"}));
}

TEST_F(MetaAggregate, LetsARegionGapCloseThatRegionOnly) {
  Region region;
  region.label = Label("face");
  frame(0, {region, region});
  end("b");
  push("a", to_buffer({0, 0, SourceId{.roi = 0}}));
  push("a", result(0, "second", SourceId{.roi = second_id, .last_roi = true}));
  EXPECT_EQ(next(), (Labels{"face", "face", "second"}));
}

TEST_F(MetaAggregate, DropsResultsOfFramesThatAreGone) {
  frame(second);
  end("b");
  push("a", result(0, "late"));
  push("a", result(second, "a1"));
  EXPECT_EQ(next(), Labels{"a1"});
}

TEST_F(MetaAggregate, SendsTheRestWhenABranchEnds) {
  end("a"), end("b");
  frame(0);
  frame(second);
  end("main");
  EXPECT_EQ(next(), Labels{});
  EXPECT_EQ(next(), Labels{});
  EXPECT_EQ(next(), Labels{"end"});
}

TEST_F(MetaAggregate, KeepsRawTensorsOnlyWhenAskedTo) {
  set("attach-tensor-data", FALSE);
  end("b");
  frame(0);
  push("a", result(0, "a0"));
  EXPECT_EQ(next(), Labels{"a0"});
  EXPECT_FALSE(last.attributes);
  set("attach-tensor-data", TRUE);
  end("b");
  frame(second);
  push("a", result(second, "a1"));
  EXPECT_EQ(next(), Labels{"a1"});
  ASSERT_TRUE(last.attributes);
  EXPECT_NE(last.attributes->find("net-a/output0"), nullptr);
}

TEST_F(MetaAggregate, MatchesByArrivalWithoutTimesAndWarnsOnce) {
  for (int i = 0; i < 3; ++i) {
    frame(GST_CLOCK_TIME_NONE);
    push("a", result(GST_CLOCK_TIME_NONE, "a"));
    push("b", result(GST_CLOCK_TIME_NONE, "b"));
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(next(), (Labels{"a", "b"}));
  auto* bus = gst_element_get_bus(pipeline.get());
  int warnings = 0;
  while (auto* message = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING)) {
    ++warnings;
    gst_message_unref(message);
  }
  EXPECT_EQ(warnings, 1);
  gst_object_unref(bus);
}

TEST_F(MetaAggregate, JoinsBeyondTheStopOfTheSegment) {
  int sent_regions = 0;
  PadPtr src(gst_element_get_static_pad(find("agg").get(), "src"));
  gst_pad_add_probe(
      src.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo* info, gpointer count) {
        Frame out;
        read_results(GST_PAD_PROBE_INFO_BUFFER(info), {100, 100}, out);
        *static_cast<int*>(count) += int(out.regions.size());
        return GST_PAD_PROBE_OK;
      },
      &sent_regions, nullptr);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = 5 * second, segment.stop = 6 * second;
  for (const char* name : {"main", "a", "b"}) {
    g_object_set(find(name).get(), "handle-segment-change", TRUE, nullptr);
    for (const GstClockTime pts : {4 * second, 8 * second}) {  // before its start and behind its stop
      auto* buffer = g_str_equal(name, "main") ? gst_buffer_new_allocate(nullptr, 100 * 100, nullptr)
                                               : result(pts, name);
      GST_BUFFER_PTS(buffer) = pts;
      GstCaps* own = nullptr;
      g_object_get(find(name).get(), "caps", &own, nullptr);
      CapsPtr caps(own);
      auto* sample = gst_sample_new(buffer, caps.get(), &segment, nullptr);
      gst_app_src_push_sample(GST_APP_SRC(find(name).get()), sample);
      gst_sample_unref(sample);
      gst_buffer_unref(buffer);
    }
  }
  for (const char* name : {"main", "a", "b"}) end(name);
  while (next() != Labels{"end"}) {  // what the sink makes of them is its affair
  }
  EXPECT_EQ(sent_regions, 4);
}

TEST_F(MetaAggregate, ClosesAFrameAtAGapOfTheWholeFrame) {
  frame(0);
  push("a", result(0, "child", SourceId{.roi = 0, .pts = 0}));
  push("a", to_buffer({0, 0, SourceId{.pts = 0}}));
  push("b", to_buffer({0, 0, SourceId{.roi = 3, .last_roi = true, .pts = 0}}));
  EXPECT_EQ(next().size(), 0u);  // there is no such region on the frame; but it did not wait
}

TEST_F(MetaAggregate, ChangesOfPropertiesWhileItRunsAreRefused) {
  auto agg = find("agg");
  g_object_set(agg.get(), "max-wait", 5, nullptr);
  gint wait = 0;
  g_object_get(agg.get(), "max-wait", &wait, nullptr);
  EXPECT_EQ(wait, -1);
  for (const char* inherited :
       {"latency", "min-upstream-latency", "start-time-selection", "start-time", "emit-signals"})
    EXPECT_TRUE(g_object_class_find_property(G_OBJECT_GET_CLASS(agg.get()), inherited)) << inherited;
}

// By the name of the element alone, before and after the main pad is linked.
TEST_F(MetaAggregate, LinksTensorsToATensorPadWhateverTheOrder) {
  const std::string tensors =
      " appsrc caps=other/tensors,num_tensors=(uint)1,types=float32,dimensions=(string)1:1 name=t ! "
      "capsfilter caps=other/tensors ! agg. ";
  const std::string video = " videotestsrc name=v ! capsfilter caps=video/x-raw ! agg. ";
  for (const auto& text : {tensors + video, video + tensors}) {
    GError* error = nullptr;
    ElementPtr made(gst_parse_launch(("meta_aggregate name=agg ! fakesink " + text).c_str(), &error));
    ASSERT_EQ(error, nullptr) << error->message;
    ElementPtr agg(gst_bin_get_by_name(GST_BIN(made.get()), "agg"));
    PadPtr main(gst_element_get_static_pad(agg.get(), "sink")),
        tensor(gst_element_get_static_pad(agg.get(), "tensor_0"));
    ASSERT_TRUE(main && tensor) << text;
    EXPECT_TRUE(gst_pad_is_linked(main.get())) << text;
    EXPECT_TRUE(gst_pad_is_linked(tensor.get())) << text;
  }
}

TEST_F(MetaAggregate, PassesSoundWithTheResultsOfItsBranch) {
  GError* error = nullptr;
  ElementPtr made(
      gst_parse_launch("meta_aggregate name=agg ! appsink name=out sync=false "
                       "audiotestsrc num-buffers=3 samplesperbuffer=100 ! tee name=t t. ! queue ! agg.sink "
                       "t. ! queue ! agg.meta_0",
                       &error));
  ASSERT_EQ(error, nullptr) << error->message;
  gst_element_set_state(made.get(), GST_STATE_PLAYING);
  ElementPtr out(gst_bin_get_by_name(GST_BIN(made.get()), "out"));
  int count = 0;
  while (auto* sample = gst_app_sink_pull_sample(GST_APP_SINK(out.get()))) {
    ++count;
    gst_sample_unref(sample);
  }
  EXPECT_EQ(count, 3);
  gst_element_set_state(made.get(), GST_STATE_NULL);
}

TEST_F(MetaAggregate, SurvivesAHundredStateChanges) {
  for (int i = 0; i < 100; ++i) {
    if (i % 4 == 0) {
      frame(0);
      push("a", result(0, "a0"));
    }
    gst_element_set_state(pipeline.get(), i % 3 == 0   ? GST_STATE_NULL
                                          : i % 3 == 1 ? GST_STATE_READY
                                                       : GST_STATE_PLAYING);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  frame(0);
  push("a", result(0, "a0"));
  push("b", result(0, "b0"));
  EXPECT_EQ(next(), (Labels{"a0", "b0"}));
}

}  // namespace
}  // namespace sightglass::gst
