#include "sightglass/gst/batch/batch_split.h"

#include <atomic>

#include "sightglass/gst/batch/batch_test_support.h"

namespace sightglass::gst {
namespace {

class BatchSplit : public testing::Test {
 protected:
  static void SetUpTestSuite() { register_all(); }
  void SetUp() override { seen.clear(); }
};

TEST_F(BatchSplit, CutsABatchIntoItsSamples) {
  Pipeline p("batch_create batch-size=3 batch-timeout=100000 ! test_stack ! batch_split");
  for (int i = 0; i < 6; ++i) p.push(i, i / 10.0);
  const guint8* first = nullptr;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(p.pull(), i);
    if (i % 3 == 0) first = p.address;
    EXPECT_EQ(p.address - first, i % 3 * 4) << "the memory of the batch";
    EXPECT_EQ(p.last.affine.value_or(Affine{}).m[2], i / 10.0);
    EXPECT_EQ(p.last.source->batch_index, 0) << "it is on its own now";
  }
  EXPECT_NE(p.caps.find("dimensions=(string)4:1"), std::string::npos) << p.caps;
  EXPECT_EQ(seen.count(3), 2);
}

TEST_F(BatchSplit, PassesResultsThatComeOneByOne) {
  Pipeline p("batch_create batch-size=3 batch-timeout=100000 ! test_single ! batch_split");
  p.plus = 0;
  for (int i = 0; i < 7; ++i) p.push(i);
  p.end();
  EXPECT_EQ(p.pull(7), range(0, 7));
  EXPECT_EQ(p.last.source->batch_index, 0);
  EXPECT_EQ(p.pull(), -1);
}

TEST_F(BatchSplit, ThePartialBatchAtTheEndComesBeforeTheEnd) {
  Pipeline p("batch_create batch-size=4 batch-timeout=100000 ! test_stack ! batch_split");
  for (int i = 0; i < 6; ++i) p.push(i);
  p.end();
  EXPECT_EQ(p.pull(7), std::vector<int>({0, 1, 2, 3, 4, 5, -1}));
  EXPECT_EQ(seen.count(4), 1);
  EXPECT_EQ(seen.count(2), 1);
}

TEST_F(BatchSplit, GapsStayWhereTheyWere) {
  for (const char* engine : {"test_stack", "test_single", "queue ! test_stack ! queue"}) {
    Pipeline p(std::string("batch_create batch-size=3 batch-timeout=100000 ! ") + engine + " ! batch_split");
    p.plus = std::string(engine) == "test_single" ? 0 : 1;
    p.gap(0);
    p.push(1);
    p.gap(2);
    p.push(3);
    p.gap(4);
    p.gap(5);
    p.push(6);
    p.gap(7);
    p.push(8);
    p.end();
    EXPECT_EQ(p.pull(5), std::vector<int>({1, 3, 6, 8, -1})) << engine;
    EXPECT_EQ(p.noted(), "0- 1 2- 3 4- 5- 6 7- 8 ") << engine;
  }
}

TEST_F(BatchSplit, StandsAloneToo) {
  Pipeline p("test_single ! identity ! batch_split");
  p.plus = 0;
  auto* buffer = sample(3);
  set_stream(buffer, 99);
  gst_app_src_push_buffer(GST_APP_SRC(p.in.get()), buffer);
  p.end();
  EXPECT_EQ(p.pull(), 3);
  EXPECT_EQ(p.pull(), -1);
}

TEST_F(BatchSplit, AFlushInTheMiddleOfABatchLosesOnlyThat) {
  std::atomic<int> arrived{0};
  Pipeline p("batch_create batch-size=4 batch-timeout=100000 ! test_stack ! batch_split");
  PadPtr pad(gst_element_get_static_pad(p.in.get(), "src"));
  PadPtr sink(gst_pad_get_peer(pad.get()));
  gst_pad_add_probe(
      sink.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo*, gpointer count) {
        ++*static_cast<std::atomic<int>*>(count);
        static_cast<std::atomic<int>*>(count)->notify_all();
        return GST_PAD_PROBE_OK;
      },
      &arrived, nullptr);
  for (int i = 0; i < 5; ++i) p.push(i);
  EXPECT_EQ(p.pull(4), range(0, 4));
  for (int now = arrived; now < 5; now = arrived) arrived.wait(now);
  GST_PAD_STREAM_LOCK(sink.get());  // the fifth lies in the batch
  GST_PAD_STREAM_UNLOCK(sink.get());
  gst_element_seek_simple(p.pipeline.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0);  // appsrc refuses
  gst_pad_send_event(sink.get(), gst_event_new_flush_start());
  gst_pad_send_event(sink.get(), gst_event_new_flush_stop(FALSE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_send_event(sink.get(), gst_event_new_segment(&segment));
  for (int i = 10; i < 14; ++i) p.push(i);
  EXPECT_EQ(p.pull(4), range(10, 14));
}

// ---- several streams

constexpr const char* shared_text = "batch_create batch-size=4 batch-timeout=20 shared-instance-id=";

class SharedBatches : public BatchSplit {
 protected:
  // Each test has an id of its own.
  std::string text(const char* engine = "test_stack") const {
    return std::string(shared_text) + testing::UnitTest::GetInstance()->current_test_info()->name() + " ! " +
           engine + " ! batch_split";
  }
};

TEST_F(SharedBatches, AreFilledByAllStreamsAndComeBackToEach) {
  Pipeline a(text()), b(text());
  for (int i = 0; i < 40; ++i) {
    a.push(i);
    b.push(100 + i);
  }
  EXPECT_EQ(a.pull(40), range(0, 40));
  EXPECT_EQ(b.pull(40), range(100, 140));
  EXPECT_GT(seen.count(4), 0);
}

TEST_F(SharedBatches, HoldSamplesOfSeveralStreams) {
  const std::string slow =
      "batch_create batch-size=4 batch-timeout=100000000 shared-instance-id=several ! test_stack ! "
      "batch_split";
  Pipeline a(slow), b(slow);
  for (int i = 0; i < 2; ++i) a.push(i), b.push(100 + i);
  EXPECT_EQ(a.pull(2), range(0, 2));
  EXPECT_EQ(b.pull(2), range(100, 102));
  EXPECT_EQ(seen.count(4), 1);
}

TEST_F(SharedBatches, TheEndOfOneComesBehindItsResultsAndTheOtherGoesOn) {
  Pipeline a(text("queue ! test_stack ! queue")), b(text("queue ! test_stack ! queue"));
  for (int i = 0; i < 7; ++i) a.push(i), b.push(100 + i);
  a.end();
  EXPECT_EQ(a.pull(8), std::vector<int>({0, 1, 2, 3, 4, 5, 6, -1}));
  for (int i = 7; i < 30; ++i) b.push(100 + i);
  b.end();
  EXPECT_EQ(b.pull(30), range(100, 130));
  EXPECT_EQ(b.pull(), -1);
}

TEST_F(SharedBatches, OneThatStopsHoldsNobodyUp) {
  for (bool first : {true, false}) {
    auto a = std::make_unique<Pipeline>(text("queue ! test_stack")),
         b = std::make_unique<Pipeline>(text("queue ! test_stack"));
    for (int i = 0; i < 10; ++i) a->push(i), b->push(100 + i);
    auto& stops = first ? a : b;
    auto& stays = first ? b : a;
    const int base = first ? 100 : 0;
    stops.reset();
    for (int i = 10; i < 20; ++i) stays->push(base + i);
    stays->end();
    EXPECT_EQ(stays->pull(20), range(base, base + 20)) << first;
    EXPECT_EQ(stays->pull(), -1);
  }
}

TEST_F(SharedBatches, OneThatPausesHoldsNobodyUp) {
  Pipeline a(text()), b(text());
  for (int i = 0; i < 3; ++i) a.push(i), b.push(100 + i);
  EXPECT_EQ(a.pull(3), range(0, 3));
  a.state(GST_STATE_PAUSED);
  for (int i = 3; i < 100; ++i) a.push(i), b.push(100 + i);
  EXPECT_EQ(b.pull(100), range(100, 200));
  a.state(GST_STATE_PLAYING);
  EXPECT_EQ(a.pull(97), range(3, 100));
}

TEST_F(SharedBatches, OneThatIsNotReadHoldsNobodyUp) {
  Pipeline a(text()), b(text());
  g_object_set(a.out.get(), "max-buffers", 1, nullptr);
  for (int i = 0; i < 120; ++i) a.push(i), b.push(100 + i);
  EXPECT_EQ(b.pull(120), range(100, 220));
  EXPECT_EQ(a.pull(120), range(0, 120));
}

TEST_F(SharedBatches, OneThatFlushesLosesItsOwnOnly) {
  Pipeline a(text("queue ! test_stack")), b(text("queue ! test_stack"));
  for (int i = 0; i < 5; ++i) a.push(i), b.push(100 + i);
  for (int round = 0; round < 10; ++round) {
    for (Pipeline* which : {&a, &b}) {
      while (gst_app_src_get_current_level_buffers(GST_APP_SRC(which->in.get())) > 0)
        std::this_thread::yield();
    }
    // By way of the source, whose thread ends when a push of it is flushed, and goes on only then.
    gst_element_send_event(a.in.get(), gst_event_new_flush_start());
    gst_element_send_event(a.in.get(), gst_event_new_flush_stop(TRUE));
    for (int i = 0; i < 5; ++i) a.push(10 * (round + 1) + i), b.push(105 + 5 * round + i);
  }
  a.end();
  b.end();
  EXPECT_EQ(b.pull(55), range(100, 155));
  EXPECT_EQ(b.pull(), -1);
  std::vector<int> of_a;
  for (int value = a.pull(); value >= 0; value = a.pull()) of_a.push_back(value);
  EXPECT_TRUE(std::ranges::is_sorted(of_a));
  ASSERT_GE(of_a.size(), 5u);
  EXPECT_EQ(std::vector<int>(of_a.end() - 5, of_a.end()), range(100, 105));
}

TEST_F(SharedBatches, GapsStayOnTheirStreamInOrder) {
  Pipeline a(text()), b(text());
  for (int i = 0; i < 30; ++i) {
    if (i % 3 == 1)
      a.gap(i);
    else
      a.push(i);
    b.push(100 + i);
  }
  a.end();
  b.end();
  EXPECT_EQ(b.pull(30), range(100, 130));
  for (int i = 0; i < 20; ++i) EXPECT_GE(a.pull(), 0);
  EXPECT_EQ(a.pull(), -1);
  std::string expected;
  for (int i = 0; i < 30; ++i) expected += std::to_string(i) + (i % 3 == 1 ? "- " : " ");
  EXPECT_EQ(a.noted(), expected);
}

TEST_F(SharedBatches, WorkForAStreamWithOtherTensorsToo) {
  Pipeline a(text("test_single")), b(text("test_single"));
  a.plus = b.plus = 0;
  CapsPtr other(gst_caps_from_string(
      "other/tensors,num_tensors=(uint)1,types=uint8,dimensions=(string)2:2:1,framerate=(fraction)30/1"));
  g_object_set(b.in.get(), "caps", other.get(), nullptr);
  for (int i = 0; i < 20; ++i) a.push(i), b.push(100 + i);
  EXPECT_EQ(a.pull(20), range(0, 20));
  EXPECT_EQ(b.pull(20), range(100, 120));
  EXPECT_NE(a.caps.find("4:1"), std::string::npos);
  EXPECT_NE(b.caps.find("2:2:1"), std::string::npos) << b.caps;
}

TEST_F(SharedBatches, TheFirstSetsThePropertiesAndOthersAreWarned) {
  Pipeline a("batch_create batch-size=4 shared-instance-id=differs ! test_stack ! batch_split");
  ElementPtr other(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("batch_create", nullptr))));
  g_object_set(other.get(), "batch-size", 5, "shared-instance-id", "differs", nullptr);
  auto* bus = gst_bus_new();
  gst_element_set_bus(other.get(), bus);
  gst_element_set_state(other.get(), GST_STATE_PAUSED);
  auto* message = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING);
  ASSERT_NE(message, nullptr);
  GError* warning = nullptr;
  gst_message_parse_warning(message, &warning, nullptr);
  EXPECT_NE(std::string(warning->message).find("batch-size=4"), std::string::npos) << warning->message;
  g_error_free(warning);
  gst_message_unref(message);
  gst_element_set_state(other.get(), GST_STATE_NULL);
  gst_element_set_bus(other.get(), nullptr);
  gst_object_unref(bus);
}

TEST_F(SharedBatches, SurviveStreamsThatComeAndGoAHundredTimes) {
  Pipeline stays(text("queue ! test_stack ! queue"));
  std::atomic<bool> stop = false;
  auto feeding = std::async(std::launch::async, [&] {
    int count = 0;
    for (; !stop || count < 100; ++count) {
      stays.push(count % 250);
      if (stays.pull() != count % 250) return -1;
    }
    return count;
  });
  for (int i = 0; i < 100; ++i) {
    Pipeline comes(text(i % 2 ? "queue ! test_stack" : "test_stack"));
    const int count = i % 5;
    for (int k = 0; k < count; ++k) comes.push(k);
    if (i % 3 == 0) {
      EXPECT_EQ(comes.pull(count), range(0, count));
    }
    if (i % 3 == 1) {
      comes.end();
      EXPECT_EQ(comes.pull(count), range(0, count));
      EXPECT_EQ(comes.pull(), -1);
    }
  }
  stop = true;
  EXPECT_GE(feeding.get(), 100);
}

TEST_F(SharedBatches, SurviveTheirLeaderAgainAndAgain) {
  auto leader = std::make_unique<Pipeline>(text("queue ! test_stack"));
  for (int i = 0; i < 10; ++i) {
    auto next = std::make_unique<Pipeline>(text("queue ! test_stack"));
    for (int k = 0; k < 6; ++k) leader->push(k), next->push(k);
    leader.reset();
    for (int k = 6; k < 9; ++k) next->push(k);
    EXPECT_EQ(next->pull(9), range(0, 9)) << i;
    leader = std::move(next);
  }
}

}  // namespace
}  // namespace sightglass::gst
