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
    register_meta_aggregate(nullptr);
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
  g_object_set(find("agg").get(), "attach-tensor-data", FALSE, nullptr);
  end("b");
  frame(0);
  push("a", result(0, "a0"));
  EXPECT_EQ(next(), Labels{"a0"});
  EXPECT_FALSE(last.attributes);
  g_object_set(find("agg").get(), "attach-tensor-data", TRUE, nullptr);
  frame(second);
  push("a", result(second, "a1"));
  EXPECT_EQ(next(), Labels{"a1"});
  ASSERT_TRUE(last.attributes);
  EXPECT_NE(last.attributes->find("net-a/output0"), nullptr);
}

}  // namespace
}  // namespace sightglass::gst
