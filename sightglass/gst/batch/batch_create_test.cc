#include "sightglass/gst/batch/batch_create.h"

#include "sightglass/gst/batch/batch_test_support.h"

namespace sightglass::gst {
namespace {

class BatchCreate : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_all(); }
  void start(const char* launch) {
    harness = gst_harness_new_parse(launch);
    auto* element = gst_harness_find_element(harness, "batch_create");
    PadPtr src(gst_element_get_static_pad(element, "src"));
    gst_object_unref(element);
    gst_pad_add_probe(
        src.get(), GST_PAD_PROBE_TYPE_BUFFER_LIST,
        [](GstPad*, GstPadProbeInfo* info, gpointer data) {
          auto* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
          std::string text;
          for (guint i = 0; i < gst_buffer_list_length(list); ++i) {
            auto* buffer = gst_buffer_list_get(list, i);
            text += std::to_string(value_at(GST_BUFFER_PTS(buffer))) + (is_gap(buffer) ? "-" : "");
            text += ' ';
          }
          auto& self = *static_cast<BatchCreate*>(data);
          std::lock_guard lock(self.mutex);
          self.lists.push_back(text);
          self.changed.notify_all();
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
    gst_harness_set_src_caps_str(harness, caps_of_four);
  }
  void push(std::initializer_list<int> values) {
    for (int value : values) EXPECT_EQ(gst_harness_push(harness, sample(value)), GST_FLOW_OK);
  }
  // Waits until so many lists have left.
  std::vector<std::string> sent(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(30), [&] { return lists.size() >= count; });
    return lists;
  }
  void TearDown() override {
    if (harness) gst_harness_teardown(harness);
  }
  using Lists = std::vector<std::string>;
  GstHarness* harness = nullptr;
  std::mutex mutex;
  std::condition_variable changed;
  Lists lists;
};

TEST_F(BatchCreate, SendsFullBatchesAsLists) {
  start("batch_create batch-size=3 batch-timeout=1000000");
  push({0, 1, 2, 3, 4});
  EXPECT_EQ(sent(1), Lists({"0 1 2 "}));
  push({5});
  EXPECT_EQ(sent(2), Lists({"0 1 2 ", "3 4 5 "}));
}

TEST_F(BatchCreate, StampsTheStreamAndThePlaceInTheBatch) {
  start("batch_create batch-size=2 batch-timeout=1000000");
  push({7, 8});
  uint64_t stream = 0;
  for (int i = 0; i < 2; ++i) {
    BufferPtr out(gst_harness_pull(harness));
    Frame frame;
    read_frame_metas(out.get(), frame);
    ASSERT_TRUE(frame.source);
    EXPECT_GT(frame.source->stream, 0u);
    if (i) {
      EXPECT_EQ(frame.source->stream, stream);
    }
    stream = frame.source->stream;
    EXPECT_EQ(frame.source->batch_index, i);
    EXPECT_EQ(frame.source->pts, Time((7 + i) * 40 * GST_MSECOND));
  }
}

TEST_F(BatchCreate, AZeroSizeIsOne) {
  start("batch_create batch-size=0");
  push({0, 1});
  EXPECT_EQ(sent(2), Lists({"0 ", "1 "}));
}

TEST_F(BatchCreate, APartialBatchLeavesAtTheTimeOut) {
  start("batch_create batch-size=100 batch-timeout=1");
  push({0});
  EXPECT_EQ(sent(1), Lists({"0 "}));
}

TEST_F(BatchCreate, AutomaticTimeOutIsTwoFramePeriods) {
  start("batch_create batch-size=100");
  push({0});
  EXPECT_EQ(sent(1), Lists({"0 "}));
  EXPECT_EQ(gst_harness_query_latency(harness), 80 * GST_MSECOND);
}

TEST_F(BatchCreate, ZeroNeverWaits) {
  start("batch_create batch-size=100 batch-timeout=0");
  push({0, 1});
  EXPECT_EQ(sent(2), Lists({"0 ", "1 "}));
  EXPECT_EQ(gst_harness_query_latency(harness), 0u);
}

TEST_F(BatchCreate, TheTimeOutCanBeChangedWhileSamplesWait) {
  start("batch_create batch-size=100 batch-timeout=100000000");
  push({0});
  gst_harness_set(harness, "batch_create", "batch-timeout", 1, nullptr);
  EXPECT_EQ(sent(1), Lists({"0 "}));
}

TEST_F(BatchCreate, TheEndSendsWhatIsThere) {
  start("batch_create batch-size=4 batch-timeout=1000000");
  push({0, 1});
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_eos()));
  EXPECT_EQ(sent(1), Lists({"0 1 "}));
}

TEST_F(BatchCreate, TheEndSendsWhatIsThereOfASharedBatchToo) {
  start("batch_create batch-size=4 batch-timeout=1000000 shared-instance-id=alone");
  push({0, 1});
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_eos()));
  EXPECT_EQ(sent(1), Lists({"0 1 "}));
}

TEST_F(BatchCreate, GapsKeepTheirPlaceAndDoNotCount) {
  start("batch_create batch-size=3 batch-timeout=1000000");
  EXPECT_TRUE(gst_harness_push_event(harness, skipped(0)));  // nothing waits: it goes at once
  EXPECT_EQ(sent(1), Lists({"0- "}));
  push({1});
  EXPECT_TRUE(gst_harness_push_event(harness, skipped(2)));
  EXPECT_TRUE(gst_harness_push_event(harness, skipped(3)));
  push({4, 5});
  EXPECT_EQ(sent(2).back(), "1 2- 3- 4 5 ");
}

TEST_F(BatchCreate, NewCapsSendWhatIsThere) {
  start("batch_create batch-size=3 batch-timeout=1000000");
  push({0, 1});
  gst_harness_set_src_caps_str(
      harness,
      "other/tensors,num_tensors=(uint)1,types=uint8,dimensions=(string)2:2:1,framerate=(fraction)25/1");
  EXPECT_EQ(sent(1), Lists({"0 1 "}));
  push({2, 3, 4});
  EXPECT_EQ(sent(2).back(), "2 3 4 ");
}

TEST_F(BatchCreate, FlushForgetsWhatIsThere) {
  start("batch_create batch-size=3 batch-timeout=1000000");
  push({0, 1});
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_flush_start()));
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_flush_stop(TRUE)));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_segment(&segment)));
  push({5, 6, 7});
  EXPECT_EQ(sent(1), Lists({"5 6 7 "}));
}

TEST_F(BatchCreate, OtherEventsKeepTheirPlace) {
  start("batch_create batch-size=3 batch-timeout=1000000");
  push({0});
  EXPECT_TRUE(
      gst_harness_push_event(harness, gst_event_new_tag(gst_tag_list_new(GST_TAG_TITLE, "t", nullptr))));
  EXPECT_EQ(sent(1), Lists({"0 "}));
}

TEST_F(BatchCreate, QueriesPass) {
  start("batch_create batch-size=3");
  CapsPtr accepted(gst_caps_from_string(caps_of_four));
  gst_harness_set_sink_caps_str(harness, caps_of_four);
  EXPECT_TRUE(gst_pad_peer_query_accept_caps(harness->srcpad, accepted.get()));
  CapsPtr possible(gst_pad_peer_query_caps(harness->srcpad, nullptr));
  EXPECT_FALSE(gst_caps_is_any(possible.get()));
  CapsPtr other(gst_caps_from_string("video/x-raw"));
  EXPECT_FALSE(gst_caps_can_intersect(possible.get(), other.get()));
}

TEST_F(BatchCreate, AHundredStateChanges) {
  ElementPtr element(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("batch_create", nullptr))));
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(gst_element_set_state(element.get(), i % 2 ? GST_STATE_PAUSED : GST_STATE_PLAYING),
              GST_STATE_CHANGE_FAILURE);
    EXPECT_NE(gst_element_set_state(element.get(), i % 3 ? GST_STATE_READY : GST_STATE_NULL),
              GST_STATE_CHANGE_FAILURE);
  }
  gst_element_set_state(element.get(), GST_STATE_NULL);
}

}  // namespace
}  // namespace sightglass::gst
