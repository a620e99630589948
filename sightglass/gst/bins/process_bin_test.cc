#include "sightglass/gst/bins/process_bin.h"

#include <gmock/gmock.h>
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gtest/gtest.h>

#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/meta_aggregate.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

using testing::HasSubstr;

// Three stages of one identity each; frames in CUDA memory have two in the first.
const BinDesc& by_memory() {
  struct None {};
  static const BinDesc desc{"by_memory",
                            "Test bin",
                            "Bin",
                            "Test",
                            ParamTable::of<None>({}),
                            [](const ParamSet&) -> Result<Stages> {
                              Stages stages;
                              const ElementSettings pass{"identity", {{"silent", "true"}}};
                              stages.stages[preprocess] = stages.stages[process] =
                                  stages.stages[postprocess] = {pass};
                              stages.queues[preprocess] = 2;
                              stages.preprocess_for = [pass](MemoryKind memory) -> Result<MemoryStage> {
                                if (memory == MemoryKind::cuda) return MemoryStage{{pass, pass}, {}};
                                if (memory == MemoryKind::va)
                                  return MemoryStage{{{"no_such_element", {}}}, {"x=va", {"no VA"}, {"y"}}};
                                return MemoryStage{{pass}, {}};
                              };
                              return stages;
                            },
                            nullptr};
  return desc;
}

// Joins the frames with what was made of them. Frames in VA memory stay there, those in CUDA memory are
// brought down by its first stage.
const BinDesc& joining() {
  struct None {};
  static const BinDesc desc{"joining",
                            "Test bin",
                            "Bin",
                            "Test",
                            ParamTable::of<None>({}),
                            [](const ParamSet&) -> Result<Stages> {
                              Stages stages;
                              const ElementSettings pass{"identity", {{"silent", "true"}}};
                              stages.stages[preprocess] = {caps_filter("video/x-raw")};
                              stages.stages[process] = stages.stages[postprocess] = {pass};
                              stages.stages[aggregate] = {{"meta_aggregate", {}}};
                              stages.preprocess_for = [pass](MemoryKind memory) -> Result<MemoryStage> {
                                return MemoryStage{{pass}, {}, memory == MemoryKind::cuda};
                              };
                              return stages;
                            },
                            nullptr};
  return desc;
}

class ProcessBin : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    register_meta_aggregate(nullptr);
    register_bin(nullptr, processbin_desc());
    register_bin(nullptr, by_memory());
    register_bin(nullptr, joining());
  }
  // Whether upstream is told that it may give this, where it could give system memory as well.
  bool offers(const char* text) const {
    PadPtr sink(gst_element_get_static_pad(find("bin").get(), "sink"));
    CapsPtr caps(gst_caps_from_string(text));
    CapsPtr either(gst_caps_merge(gst_caps_from_string("video/x-raw"), gst_caps_copy(caps.get())));
    CapsPtr offered(gst_pad_query_caps(sink.get(), either.get()));
    return gst_caps_can_intersect(offered.get(), caps.get());
  }
  void make(const std::string& bin, const std::string& behind = "") {
    GError* error = nullptr;
    pipeline.reset(gst_parse_launch(("appsrc name=in format=time ! " + bin + " name=bin ! " + behind +
                                     "appsink name=out sync=false async=false")
                                        .c_str(),
                                    &error));
    ASSERT_EQ(error, nullptr) << error->message;
  }
  void TearDown() override {
    if (pipeline) gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }
  ElementPtr find(const char* name) const {
    return ElementPtr(gst_bin_get_by_name(GST_BIN(pipeline.get()), name));
  }
  void set_caps(const char* text) {
    CapsPtr caps(gst_caps_from_string(text));
    gst_app_src_set_caps(GST_APP_SRC(find("in").get()), caps.get());
  }
  // Pushes a buffer and waits for it; false at an error.
  bool passes(GstClockTime pts) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 4 * 4, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    gst_app_src_push_buffer(GST_APP_SRC(find("in").get()), buffer);
    auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(find("out").get()), 10 * GST_SECOND);
    const bool came = sample && GST_BUFFER_PTS(gst_sample_get_buffer(sample)) == pts;
    if (sample) gst_sample_unref(sample);
    return came;
  }
  // How many elements of that kind the bin has.
  int count(const char* factory) const {
    int found = 0;
    const auto bin = find("bin");
    for (GList* item = GST_BIN(bin.get())->children; item; item = item->next)
      found += std::string(GST_OBJECT_NAME(gst_element_get_factory(GST_ELEMENT(item->data)))) == factory;
    return found;
  }
  std::string message(GstMessageType type) const {
    auto* bus = gst_element_get_bus(pipeline.get());
    auto* found = gst_bus_timed_pop_filtered(bus, 10 * GST_SECOND, type);
    gst_object_unref(bus);
    if (!found) return "";
    GError* error = nullptr;
    if (type == GST_MESSAGE_ERROR)
      gst_message_parse_error(found, &error, nullptr);
    else
      gst_message_parse_warning(found, &error, nullptr);
    std::string text = error->message;
    g_error_free(error);
    gst_message_unref(found);
    return text;
  }
  ElementPtr pipeline;
};

constexpr const char* gray = "video/x-raw,format=GRAY8,width=4,height=4,framerate=1/1";
constexpr const char* cuda_gray =
    "video/x-raw(memory:CUDAMemory),format=GRAY8,width=4,height=4,framerate=1/1";
constexpr const char* va_gray = "video/x-raw(memory:VAMemory),format=GRAY8,width=4,height=4,framerate=1/1";

TEST_F(ProcessBin, TheFirstStageGoesByTheMemoryOfTheFrames) {
  make("by_memory");
  set_caps(cuda_gray);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  EXPECT_TRUE(passes(0));
  EXPECT_EQ(count("identity"), 4);
  EXPECT_TRUE(passes(GST_SECOND));
  set_caps(gray);  // in mid-stream, and back
  EXPECT_TRUE(passes(2 * GST_SECOND));
  EXPECT_EQ(count("identity"), 3);
}

TEST_F(ProcessBin, FramesInMemoryThatNothingCanUseAreOneClearError) {
  make("by_memory");
  set_caps(va_gray);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  gst_app_src_push_buffer(GST_APP_SRC(find("in").get()), gst_buffer_new_allocate(nullptr, 16, nullptr));
  EXPECT_THAT(message(GST_MESSAGE_ERROR),
              HasSubstr("x=va is not usable: no VA, no element no_such_element; usable: y"));
}

TEST_F(ProcessBin, OffersUpstreamTheMemoryThatItHasAStageFor) {
  make("by_memory");
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  PadPtr sink(gst_element_get_static_pad(find("bin").get(), "sink"));
  CapsPtr filter(gst_caps_from_string(cuda_gray)), answer(gst_pad_query_caps(sink.get(), filter.get()));
  EXPECT_FALSE(gst_caps_is_empty(answer.get()));
}

TEST_F(ProcessBin, OffersNoMemoryThatWhatFollowsDoesNotTake) {
  make("joining");
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  EXPECT_TRUE(offers("video/x-raw(memory:VAMemory)")) << "the sink takes anything";
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  make("joining", "video/x-raw ! ");
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  EXPECT_FALSE(offers("video/x-raw(memory:VAMemory)")) << "as a decoder in front of videoconvert would ask";
  EXPECT_TRUE(offers("video/x-raw"));
}

TEST_F(ProcessBin, OffersNoMemoryThatItWouldOnlyBringDown) {
  make("joining");
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  EXPECT_FALSE(offers("video/x-raw(memory:CUDAMemory)")) << "as a decoder that can give both would ask";
  PadPtr sink(gst_element_get_static_pad(find("bin").get(), "sink"));
  CapsPtr filter(gst_caps_from_string(cuda_gray)), answer(gst_pad_query_caps(sink.get(), filter.get()));
  EXPECT_FALSE(gst_caps_is_empty(answer.get())) << "who has nothing else may come";
  CapsPtr all(gst_pad_query_caps(sink.get(), nullptr));
  EXPECT_TRUE(gst_caps_can_intersect(all.get(), filter.get())) << "as a demuxer asks, whose pad comes late";
}

TEST_F(ProcessBin, StagesThatAreSetLateCountFromTheFirstFrameOn) {
  make("processbin");
  set_caps(gray);
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  for (const char* stage : {"preprocess", "process", "postprocess"})
    g_object_set(find("bin").get(), stage, gst_element_factory_make("identity", nullptr), nullptr);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  EXPECT_TRUE(passes(0));
  EXPECT_EQ(count("identity"), 3);
}

TEST_F(ProcessBin, ABranchOfPicturesIsJoinedAsOneOfTensorsIs) {
  make(
      "processbin preprocess=identity process=identity postprocess=identity aggregate=meta_aggregate "
      "postaggregate=identity");
  set_caps(gray);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  gst_app_src_push_buffer(GST_APP_SRC(find("in").get()), gst_buffer_new_allocate(nullptr, 16, nullptr));
  gst_app_src_end_of_stream(GST_APP_SRC(find("in").get()));
  auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(find("out").get()), 10 * GST_SECOND);
  ASSERT_TRUE(sample) << message(GST_MESSAGE_ERROR);
  gst_sample_unref(sample);
}

// The frames wait in the join, without a queue and its thread in front of it.
TEST_F(ProcessBin, FramesWaitForTheirResultsInTheAggregateWhereItIsOurs) {
  const auto limits = [&] {
    guint buffers = 0;
    gint64 time = 0;
    g_object_get(find("join").get(), "max-size-buffers", &buffers, "max-size-time", &time, nullptr);
    return std::pair(buffers, time);
  };
  const std::string stages = "processbin preprocess=identity process=identity postprocess=identity ";
  const std::string sizes = "preprocess-queue-size=-1 process-queue-size=-1 postprocess-queue-size=-1 ";
  for (const char* join : {"meta_aggregate", "gvametaaggregate"}) {
    make(stages + sizes + "aggregate=\"" + join + " name=join\" aggregate-queue-size=7");
    gst_element_set_state(pipeline.get(), GST_STATE_READY);
    EXPECT_EQ(count("queue"), 0);
    EXPECT_EQ(limits(), std::pair(7u, gint64(0)));
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }
  make(stages + sizes + "aggregate=\"meta_aggregate name=join\"");
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  EXPECT_EQ(count("queue"), 0);
  EXPECT_EQ(limits(), std::pair(0u, gint64(2 * GST_SECOND)));
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  // What a user has written stays, but for what he has told the bin.
  const std::string bounded = stages + sizes + "aggregate=\"meta_aggregate name=join max-size-buffers=4\"";
  make(bounded);
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  EXPECT_EQ(limits(), std::pair(4u, gint64(0)));
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  make(bounded + " aggregate-queue-size=7");
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  EXPECT_EQ(limits(), std::pair(7u, gint64(0)));
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  make(stages + sizes + "aggregate=funnel aggregate-queue-size=7");
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  EXPECT_EQ(count("queue"), 1);
}

TEST_F(ProcessBin, StagesOfARunningBinStayAsTheyAre) {
  make("processbin preprocess=identity process=identity postprocess=identity");
  set_caps(gray);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  EXPECT_TRUE(passes(0));
  g_object_set(find("bin").get(), "process-queue-size", 7, nullptr);
  EXPECT_THAT(message(GST_MESSAGE_WARNING), HasSubstr("can only be set before the pipeline starts"));
  EXPECT_TRUE(passes(GST_SECOND));
}

TEST_F(ProcessBin, StartsAndStopsOverAndOver) {
  make("processbin preprocess=identity process=identity postprocess=identity postaggregate=identity");
  set_caps(gray);
  for (int round = 0; round < 100; ++round) {
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    if (round % 10 == 0) {
      EXPECT_TRUE(passes(0)) << round;
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    ASSERT_EQ(count("identity"), 0) << round;
  }
}

}  // namespace
}  // namespace sightglass::gst
