// Which threads do the work of meta_aggregate, what holds them up and what lets them go.
#include <gmock/gmock.h>
#include <gst/check/gsttestclock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <semaphore>
#include <thread>

#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/meta_aggregate.h"
#include "sightglass/gst/meta_aggregate_join.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

using testing::ElementsAre;

constexpr GstClockTime second = GST_SECOND;
constexpr const char* video_caps = "video/x-raw,format=GRAY8,width=10,height=10,framerate=1/1";
constexpr const char* result_caps =
    "other/tensors,num_tensors=(uint)1,types=float32,dimensions=(string)1:1,model=net";

size_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return size_t(std::distance(begin(tasks), end(tasks)));
}

// One push in a thread of its own.
class Push {
 public:
  explicit Push(std::function<GstFlowReturn()> push)
      : thread_([this, push = std::move(push)] {
          id_ = pid_t(syscall(SYS_gettid));
          result_ = push();
        }) {}

  // Until the thread sleeps: it is held up.
  void wait_until_held() const {
    while (id_ == 0) std::this_thread::yield();
    for (char state = 0; state != 'S';) {
      std::this_thread::yield();
      std::ifstream stat("/proc/self/task/" + std::to_string(id_) + "/stat");
      std::string text;
      ASSERT_TRUE(std::getline(stat, text)) << "it was not held up";
      state = text.at(text.rfind(')') + 2);
    }
  }
  GstFlowReturn result() {
    if (thread_.joinable()) thread_.join();
    return result_;
  }
  std::thread::id thread() const { return thread_.get_id(); }

 private:
  std::atomic<pid_t> id_ = 0;
  GstFlowReturn result_ = GST_FLOW_CUSTOM_ERROR;
  std::jthread thread_;
};

// What comes out of the element.
struct Out {
  std::mutex mutex;
  std::vector<std::string> log;  // "0: a b" of a frame at second 0 with these labels; the names of events
  std::vector<std::thread::id> threads;  // of frames
  std::atomic<GstFlowReturn> answer = GST_FLOW_OK;
  std::counting_semaphore<> room{1'000'000};  // frames that it takes

  std::vector<std::string> taken() {
    std::lock_guard lock(mutex);
    return std::exchange(log, {});
  }
};

class AggregateThreads : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    if (!g_type_from_name("Gstmeta_aggregate")) register_meta_aggregate(nullptr);
  }

  void make(const char* factory, std::initializer_list<const char*> pads) {
    element.reset(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make(factory, nullptr))));
    for (const char* name : pads) {
      PadPtr to(gst_element_get_static_pad(element.get(), name));
      if (!to) to.reset(gst_element_request_pad_simple(element.get(), name));
      PadPtr src(GST_PAD(gst_object_ref_sink(gst_pad_new(name, GST_PAD_SRC))));
      gst_pad_set_query_function(src.get(), [](GstPad* pad, GstObject* parent, GstQuery* query) -> gboolean {
        if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
        gst_query_set_latency(query, TRUE, 20 * GST_MSECOND, GST_CLOCK_TIME_NONE);
        return TRUE;
      });
      gst_pad_set_active(src.get(), TRUE);
      ASSERT_EQ(gst_pad_link(src.get(), to.get()), GST_PAD_LINK_OK);
      inputs.emplace_back(std::move(src));
    }
    sink.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("out", GST_PAD_SINK))));
    gst_pad_set_element_private(sink.get(), &out);
    gst_pad_set_chain_function(sink.get(), [](GstPad* pad, GstObject*, GstBuffer* buffer) {
      auto& to = *static_cast<Out*>(gst_pad_get_element_private(pad));
      to.room.acquire();
      Frame frame;
      read_results(buffer, {10, 10}, frame);
      std::string text = std::to_string(GST_BUFFER_PTS(buffer) / second) + ":";
      for (const auto& region : frame.regions) text += " " + std::string(region.label.view());
      gst_buffer_unref(buffer);
      std::lock_guard lock(to.mutex);
      to.log.push_back(text);
      to.threads.push_back(std::this_thread::get_id());
      return to.answer.load();
    });
    gst_pad_set_event_function(sink.get(), [](GstPad* pad, GstObject*, GstEvent* event) -> gboolean {
      auto& to = *static_cast<Out*>(gst_pad_get_element_private(pad));
      std::lock_guard lock(to.mutex);
      to.log.emplace_back(GST_EVENT_TYPE_NAME(event));
      gst_event_unref(event);
      return TRUE;
    });
    gst_pad_set_query_function(sink.get(), [](GstPad* pad, GstObject* parent, GstQuery* query) -> gboolean {
      auto& to = *static_cast<Out*>(gst_pad_get_element_private(pad));
      if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
        gst_query_set_accept_caps_result(query, TRUE);
        return TRUE;
      }
      if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return gst_pad_query_default(pad, parent, query);
      std::lock_guard lock(to.mutex);
      to.log.emplace_back("allocation");
      return TRUE;
    });
    gst_pad_set_active(sink.get(), TRUE);
    PadPtr src(gst_element_get_static_pad(element.get(), "src"));
    ASSERT_EQ(gst_pad_link(src.get(), sink.get()), GST_PAD_LINK_OK);
  }
  void start(const char* factory = "meta_aggregate",
             std::initializer_list<const char*> pads = {"sink", "tensor_0", "tensor_1"}) {
    if (!element) make(factory, pads);
    gst_element_set_state(element.get(), GST_STATE_PLAYING);
    for (size_t i = 0; i < inputs.size(); ++i) begin(i);
    std::lock_guard lock(out.mutex);
    out.log.clear();
  }
  void begin(size_t input) {
    begin(input, EventPtr(gst_event_new_stream_start(GST_PAD_NAME(inputs[input].get()))));
  }
  void begin(size_t input, const EventPtr& stream_start) {
    auto* pad = inputs[input].get();
    gst_pad_push_event(pad, gst_event_ref(stream_start.get()));
    const CapsPtr caps(gst_caps_from_string(input == 0 ? video_caps : result_caps));
    gst_pad_push_event(pad, gst_event_new_caps(caps.get()));
    restart(input);
  }
  void restart(size_t input) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(inputs[input].get(), gst_event_new_segment(&segment));
  }
  void TearDown() override {
    gst_element_set_state(element.get(), GST_STATE_NULL);
    for (const auto& input : inputs) gst_pad_set_active(input.get(), FALSE);
    gst_pad_set_active(sink.get(), FALSE);
  }

  GstFlowReturn frame(GstClockTime pts) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 100, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    return gst_pad_push(inputs[0].get(), buffer);
  }
  GstFlowReturn result(size_t input, GstClockTime pts, const char* label) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 4, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    Frame found;
    Region region;
    region.label = Label(label);
    region.box = {0.5f, 0.5f, 0.25f, 0.25f};
    found.regions = {region};
    ResultWriter().write(buffer, {}, {}, nullptr, found);
    return gst_pad_push(inputs[input].get(), buffer);
  }
  bool send(size_t input, GstEvent* event) { return gst_pad_push_event(inputs[input].get(), event); }
  void flush(size_t input) {
    send(input, gst_event_new_flush_start());
    send(input, gst_event_new_flush_stop(TRUE));
    restart(input);
  }
  // Frames 0 and 1 wait for results; this one for a place.
  std::unique_ptr<Push> frame_too_many() {
    EXPECT_EQ(frame(0), GST_FLOW_OK);
    EXPECT_EQ(frame(second), GST_FLOW_OK);
    auto third = std::make_unique<Push>([this] { return frame(2 * second); });
    third->wait_until_held();
    return third;
  }
  // About allocation, in front of the main pad.
  std::unique_ptr<Push> query_that_waits() {
    auto query = std::make_unique<Push>([this] {
      const CapsPtr caps(gst_caps_from_string(video_caps));
      auto* asked = gst_query_new_allocation(caps.get(), FALSE);
      gst_pad_peer_query(inputs[0].get(), asked);
      gst_query_unref(asked);
      return GST_FLOW_OK;
    });
    query->wait_until_held();
    return query;
  }
  void release(size_t input) {
    PadPtr pad(gst_pad_get_peer(inputs[input].get()));
    gst_element_release_request_pad(element.get(), pad.get());
  }
  void wait_for(size_t entries) {
    for (bool there = false; !there; std::this_thread::yield()) {
      std::lock_guard lock(out.mutex);
      there = out.log.size() >= entries;
    }
  }

  Out out;
  ElementPtr element;
  std::vector<PadPtr> inputs;
  PadPtr sink;
};

TEST_F(AggregateThreads, WhoeverCompletesAFrameSendsIt) {
  make("meta_aggregate", {"sink", "tensor_0", "tensor_1"});
  const size_t before = threads();
  start();
  EXPECT_LE(threads(), before);
  Push main([this] { return frame(0); });
  EXPECT_EQ(main.result(), GST_FLOW_OK);
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre());
  std::thread::id completing;
  Push last([&] {
    completing = std::this_thread::get_id();
    return result(2, 0, "b");
  });
  EXPECT_EQ(last.result(), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("0: a b"));
  send(1, gst_event_new_eos());
  send(2, gst_event_new_eos());
  EXPECT_EQ(frame(second), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("1:"));
  EXPECT_THAT(out.threads, ElementsAre(completing, std::this_thread::get_id()));
}

TEST_F(AggregateThreads, EventsAndTheEndKeepTheirPlaceAmongTheFrames) {
  make("meta_aggregate", {"sink", "tensor_0", "tensor_1"});
  g_object_set(element.get(), "max-size-buffers", 3, nullptr);
  start();
  frame(0);
  send(0, gst_event_new_gap(second, second));
  send(0, gst_event_new_tag(gst_tag_list_new_empty()));
  frame(2 * second);
  send(0, gst_event_new_eos());
  send(1, gst_event_new_eos());
  EXPECT_THAT(out.taken(), ElementsAre());
  result(2, 0, "a");
  EXPECT_THAT(out.taken(), ElementsAre("0: a"));
  result(2, second, "of a gap");
  EXPECT_THAT(out.taken(), ElementsAre("gap", "tag"));
  result(2, 2 * second, "c");
  EXPECT_THAT(out.taken(), ElementsAre("2: c", "eos"));
  EXPECT_EQ(result(2, 3 * second, "late"), GST_FLOW_EOS);
}

TEST_F(AggregateThreads, AQueryAboutAllocationWaitsForTheFramesBeforeIt) {
  start("meta_aggregate", {"sink", "tensor_0"});
  frame(0);
  auto query = query_that_waits();
  EXPECT_THAT(out.taken(), ElementsAre());
  result(1, 0, "a");
  query->result();
  EXPECT_THAT(out.taken(), ElementsAre("0: a", "allocation"));
}

TEST_F(AggregateThreads, AFlushAnswersAQueryThatWaits) {
  start("meta_aggregate", {"sink", "tensor_0"});
  frame(0);
  auto query = query_that_waits();
  send(0, gst_event_new_flush_start());
  query->result();
  EXPECT_THAT(out.taken(), ElementsAre("flush-start"));
}

TEST_F(AggregateThreads, AFrameWaitsForAPlaceUntilOneHasGone) {
  start();
  auto third = frame_too_many();
  result(1, 0, "a");
  result(2, 0, "b");
  EXPECT_EQ(third->result(), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("0: a b"));
}

TEST_F(AggregateThreads, AsManyFramesWaitAsItIsTold) {
  make("meta_aggregate", {"sink", "tensor_0"});
  g_object_set(element.get(), "max-size-buffers", 5, "max-size-time", gint64(3 * second), nullptr);
  start();
  for (const GstClockTime pts : {0, 1, 2}) EXPECT_EQ(frame(pts * second), GST_FLOW_OK);
  Push later([this] { return frame(3 * second); });
  later.wait_until_held();
  result(1, 0, "a");
  EXPECT_EQ(later.result(), GST_FLOW_OK);
  EXPECT_EQ(frame(3 * second), GST_FLOW_OK);
  EXPECT_EQ(frame(3 * second), GST_FLOW_OK);
  Push sixth([this] { return frame(3 * second); });
  sixth.wait_until_held();
  result(1, second, "b");
  EXPECT_EQ(sixth.result(), GST_FLOW_OK);
}

TEST_F(AggregateThreads, AFlushLetsAFrameGoThatWaitsForAPlace) {
  start();
  auto third = frame_too_many();
  flush(0);
  EXPECT_EQ(third->result(), GST_FLOW_FLUSHING);
  EXPECT_THAT(out.taken(), ElementsAre("flush-start", "flush-stop", "segment"));
  result(1, 0, "a");
  result(2, 0, "b");
  frame(0);
  EXPECT_THAT(out.taken(), ElementsAre("0: a b"));
}

TEST_F(AggregateThreads, AStopLetsThoseGoThatWait) {
  start();
  auto third = frame_too_many();
  EXPECT_EQ(result(1, 9 * second, "a"), GST_FLOW_OK);  // for the frames 0 and 1, of which there is nothing
  EXPECT_EQ(result(1, 10 * second, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(1, 11 * second, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(1, 12 * second, "a"), GST_FLOW_OK);
  Push ahead([this] { return result(1, 13 * second, "a"); });
  ahead.wait_until_held();
  gst_element_set_state(element.get(), GST_STATE_READY);
  EXPECT_EQ(third->result(), GST_FLOW_FLUSHING);
  EXPECT_EQ(ahead.result(), GST_FLOW_FLUSHING);
}

TEST_F(AggregateThreads, FramesGoOnWhenTheBranchThatTheyWaitForGoes) {
  start();
  auto third = frame_too_many();
  result(1, 0, "a");
  result(1, second, "b");
  result(1, 2 * second, "c");
  release(2);
  EXPECT_EQ(third->result(), GST_FLOW_OK);
  wait_for(3);
  EXPECT_THAT(out.taken(), ElementsAre("0: a", "1: b", "2: c"));
}

// Its thread sends, and whoever stops that thread must not wait for all that is still to come.
TEST_F(AggregateThreads, TheThreadOfABranchThatGoesDoesNotSendWhatFollows) {
  start("meta_aggregate", {"sink", "tensor_0"});
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_EQ(frame(second), GST_FLOW_OK);
  while (out.room.try_acquire()) {
  }
  Push completing([this] { return result(1, 0, "a"); });
  completing.wait_until_held();
  release(1);
  out.room.release();
  completing.result();
  EXPECT_THAT(out.taken(), ElementsAre("0: a"));
  out.room.release(1000);
  wait_for(1);
  EXPECT_EQ(frame(2 * second), GST_FLOW_OK);
  wait_for(2);
  EXPECT_THAT(out.taken(), ElementsAre("1:", "2:"));
}

// As a tee does it in front of both, of which one is slow.
TEST_F(AggregateThreads, AnEndOfABranchCompletesFramesOfItsOwnStreamOnly) {
  start("meta_aggregate", {"sink", "tensor_0"});
  const EventPtr first(gst_event_new_stream_start("1")), next(gst_event_new_stream_start("2"));
  begin(0, first);
  begin(1, first);
  out.taken();
  EXPECT_EQ(frame(10 * second), GST_FLOW_OK);
  EXPECT_EQ(result(1, 10 * second, "a"), GST_FLOW_OK);
  send(0, gst_event_new_eos());
  EXPECT_EQ(result(1, 11 * second, "of the past"), GST_FLOW_EOS);
  begin(0, next);
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_EQ(frame(second), GST_FLOW_OK);
  EXPECT_EQ(result(1, 12 * second, "of the past"), GST_FLOW_OK);
  send(1, gst_event_new_eos());
  EXPECT_THAT(out.taken(), ElementsAre("10: a", "eos", "stream-start", "caps", "segment"));
  begin(1, next);
  EXPECT_EQ(result(1, 0, "b"), GST_FLOW_OK);
  EXPECT_EQ(result(1, second, "c"), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("0: b", "1: c"));
}

TEST_F(AggregateThreads, ABranchMayBeInTheNextStreamBeforeTheFrames) {
  start("meta_aggregate", {"sink", "tensor_0"});
  const EventPtr first(gst_event_new_stream_start("1")), next(gst_event_new_stream_start("2"));
  for (const size_t input : {0, 1}) begin(input, first);
  EXPECT_EQ(frame(10 * second), GST_FLOW_OK);  // of which no result comes
  send(1, gst_event_new_eos());
  wait_for(4);
  begin(1, next);
  send(0, gst_event_new_eos());
  EXPECT_EQ(result(1, 0, "b"), GST_FLOW_OK);
  out.taken();
  begin(0, next);
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("stream-start", "caps", "segment", "0: b"));
}

TEST_F(AggregateThreads, WithNothingLinkedBehindItEachFrameTriesAgain) {
  start("meta_aggregate", {"sink", "tensor_0"});
  PadPtr src(gst_element_get_static_pad(element.get(), "src"));
  gst_pad_unlink(src.get(), sink.get());
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(1, second, "b"), GST_FLOW_OK);
  EXPECT_EQ(frame(second), GST_FLOW_NOT_LINKED);
  gst_pad_link_full(src.get(), sink.get(), GST_PAD_LINK_CHECK_NO_RECONFIGURE);
  out.taken();
  EXPECT_EQ(result(1, 2 * second, "c"), GST_FLOW_OK);
  EXPECT_EQ(frame(2 * second), GST_FLOW_OK);
  EXPECT_EQ(out.taken().back(), "2: c");
}

TEST_F(AggregateThreads, AnotherFormatIsTriedAfterOneThatWasRefused) {
  start("meta_aggregate", {"sink", "tensor_0"});
  out.answer = GST_FLOW_NOT_NEGOTIATED;
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_EQ(frame(0), GST_FLOW_NOT_NEGOTIATED);
  EXPECT_EQ(frame(second), GST_FLOW_NOT_NEGOTIATED);
  EXPECT_EQ(result(1, second, "b"), GST_FLOW_NOT_NEGOTIATED);
  out.answer = GST_FLOW_OK;
  out.taken();
  const CapsPtr caps(gst_caps_from_string("video/x-raw,format=GRAY8,width=5,height=20,framerate=1/1"));
  send(0, gst_event_new_caps(caps.get()));
  EXPECT_EQ(result(1, 2 * second, "c"), GST_FLOW_OK);
  EXPECT_EQ(frame(2 * second), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("caps", "2: c"));
}

TEST_F(AggregateThreads, AFlushForgetsTheFrameAtTheHead) {
  start();
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_EQ(result(1, 0, "old"), GST_FLOW_OK);
  for (size_t i = 0; i < inputs.size(); ++i) send(i, gst_event_new_flush_start());
  for (size_t i = 0; i < inputs.size(); ++i) send(i, gst_event_new_flush_stop(TRUE)), restart(i);
  out.taken();
  EXPECT_EQ(frame(second), GST_FLOW_OK);
  EXPECT_EQ(result(1, second, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(2, second, "b"), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("1: a b"));
}

TEST_F(AggregateThreads, AFlushTakesNoFormatAway) {
  start("meta_aggregate", {"sink", "tensor_0"});
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  const CapsPtr caps(gst_caps_from_string("video/x-raw,format=GRAY8,width=5,height=20,framerate=1/1"));
  send(0, gst_event_new_caps(caps.get()));
  EXPECT_THAT(out.taken(), ElementsAre());
  flush(0);
  EXPECT_EQ(result(1, second, "a"), GST_FLOW_OK);
  EXPECT_EQ(frame(second), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("flush-start", "flush-stop", "caps", "segment", "1: a"));
}

TEST_F(AggregateThreads, FramesWithoutTimesAreCountedWhereTheirTimeIsTheBound) {
  make("meta_aggregate", {"sink", "tensor_0"});
  g_object_set(element.get(), "max-size-buffers", 0u, "max-size-time", gint64(second), nullptr);
  start();
  for (int i = 0; i < 64; ++i) ASSERT_EQ(frame(GST_CLOCK_TIME_NONE), GST_FLOW_OK);
  Push another([this] { return frame(GST_CLOCK_TIME_NONE); });
  another.wait_until_held();
  flush(0);
  EXPECT_EQ(another.result(), GST_FLOW_FLUSHING);
}

TEST_F(AggregateThreads, AFrameOfAMainPadThatWentStaysOutOfTheNextOne) {
  start("gvametaaggregate", {"sink_0", "sink_1"});
  auto third = frame_too_many();
  release(0);
  PadPtr next(gst_element_request_pad_simple(element.get(), "sink_7"));
  EXPECT_EQ(third->result(), GST_FLOW_FLUSHING);
  PadPtr src(GST_PAD(gst_object_ref_sink(gst_pad_new("next", GST_PAD_SRC))));
  gst_pad_set_active(src.get(), TRUE);
  ASSERT_EQ(gst_pad_link(src.get(), next.get()), GST_PAD_LINK_OK);
  inputs[0] = std::move(src);
  begin(0);
  result(1, 0, "a");
  result(1, second, "b");
  result(1, 5 * second, "c");
  EXPECT_EQ(frame(5 * second), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("0: a", "1: b", "eos", "stream-start", "caps", "segment", "5: c"));
}

TEST_F(AggregateThreads, ABranchThatGoesLetsItsResultGo) {
  start("meta_aggregate", {"sink", "tensor_0"});
  result(1, 0, "a");
  result(1, second, "b");
  Push third([this] { return result(1, 2 * second, "c"); });
  third.wait_until_held();
  release(1);
  EXPECT_EQ(third.result(), GST_FLOW_FLUSHING);
  frame(0);
  EXPECT_THAT(out.taken(), ElementsAre("0:"));
}

TEST_F(AggregateThreads, TheStreamEndsBehindItsFramesWhenTheMainPadGoes) {
  start("gvametaaggregate", {"sink_0", "sink_1"});
  auto third = frame_too_many();
  release(0);
  EXPECT_EQ(third->result(), GST_FLOW_FLUSHING);
  result(1, 0, "a");
  result(1, second, "b");
  EXPECT_THAT(out.taken(), ElementsAre("0: a", "1: b", "eos"));
  EXPECT_EQ(result(1, 2 * second, "c"), GST_FLOW_EOS);
}

TEST_F(AggregateThreads, ABranchIsHeldUpAheadOfTheFrames) {
  start("meta_aggregate", {"sink", "tensor_0"});
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(1, second, "b"), GST_FLOW_OK);
  {
    Push third([this] { return result(1, 2 * second, "c"); });
    third.wait_until_held();
    EXPECT_EQ(frame(0), GST_FLOW_OK);
    EXPECT_EQ(third.result(), GST_FLOW_OK);
  }
  {
    Push fourth([this] { return result(1, 3 * second, "d"); });
    fourth.wait_until_held();
    flush(1);
    EXPECT_EQ(fourth.result(), GST_FLOW_FLUSHING);
  }
  EXPECT_EQ(result(1, second, "e"), GST_FLOW_OK);
  EXPECT_EQ(result(1, 2 * second, "f"), GST_FLOW_OK);
  {
    Push last([this] { return result(1, 3 * second, "g"); });
    last.wait_until_held();
    send(0, gst_event_new_eos());
    EXPECT_EQ(last.result(), GST_FLOW_EOS);
  }
  EXPECT_THAT(out.taken(), ElementsAre("0: a", "eos"));
}

// Results of frames that have been dropped in front of the main pad.
TEST_F(AggregateThreads, WhatIsTooLateHoldsNobodyUp) {
  start("meta_aggregate", {"sink", "tensor_0"});
  result(1, 0, "a");
  result(1, second, "b");
  EXPECT_EQ(frame(100 * second), GST_FLOW_OK);
  for (GstClockTime pts = 2; pts < 100; ++pts) ASSERT_EQ(result(1, pts * second, "c"), GST_FLOW_OK);
  EXPECT_EQ(result(1, 100 * second, "d"), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("100: d"));
}

TEST_F(AggregateThreads, WhatFailsDownstreamAllInputsHearOf) {
  start();
  auto third = frame_too_many();
  out.answer = GST_FLOW_ERROR;
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(2, 0, "b"), GST_FLOW_ERROR);
  third->result();  // which may have had its place before the error was known
  EXPECT_EQ(result(1, second, "a"), GST_FLOW_ERROR);
  EXPECT_EQ(frame(3 * second), GST_FLOW_ERROR);
  send(0, gst_event_new_eos());
  EXPECT_THAT(out.taken(), ElementsAre("0: a b", "eos"));

  out.answer = GST_FLOW_OK;
  for (size_t i = 0; i < inputs.size(); ++i) flush(i);
  out.taken();
  EXPECT_EQ(frame(0), GST_FLOW_OK);
  EXPECT_EQ(result(1, 0, "a"), GST_FLOW_OK);
  EXPECT_EQ(result(2, 0, "b"), GST_FLOW_OK);
  EXPECT_THAT(out.taken(), ElementsAre("0: a b"));
}

TEST_F(AggregateThreads, FramesKeepTheirOrderWhoeverCompletesThem) {
  constexpr GstClockTime count = 3000;
  make("meta_aggregate", {"sink", "tensor_0", "tensor_1"});
  g_object_set(element.get(), "max-size-buffers", 7, nullptr);
  start();
  const auto each = [&](auto push) {
    return std::make_unique<Push>([push] {
      GstFlowReturn flow = GST_FLOW_OK;
      for (GstClockTime i = 0; i < count && flow == GST_FLOW_OK; ++i) flow = push(i);
      return flow;
    });
  };
  const auto branch = [&](size_t input, const char* label, unsigned skips) {
    return each([this, input, label, skips](GstClockTime i) {
      return i % skips == 1 ? GST_FLOW_OK : result(input, i * second, label);
    });
  };
  {
    auto a = branch(1, "a", 5), b = branch(2, "b", 3),
         main = each([&](GstClockTime i) {
           if (i % 100 == 0) send(0, gst_event_new_tag(gst_tag_list_new_empty()));
           return frame(i * second);
         });
    EXPECT_EQ(main->result(), GST_FLOW_OK);
    EXPECT_EQ(a->result(), GST_FLOW_OK);
    EXPECT_EQ(b->result(), GST_FLOW_OK);
  }
  for (size_t i = 0; i < inputs.size(); ++i) send(i, gst_event_new_eos());
  std::vector<std::string> wanted;
  for (GstClockTime i = 0; i < count; ++i) {
    if (i % 100 == 0) wanted.emplace_back("tag");
    wanted.push_back(std::to_string(i) + ":" + (i % 5 == 1 ? "" : " a") + (i % 3 == 1 ? "" : " b"));
  }
  wanted.emplace_back("eos");
  EXPECT_EQ(out.taken(), wanted);
}

TEST_F(AggregateThreads, FlushesAndStopsWhileEverythingFlows) {
  make("meta_aggregate", {"sink", "tensor_0", "tensor_1"});
  for (int round = 0; round < 30; ++round) {
    start();
    struct Stream {
      std::mutex mutex;  // as a source's stream lock
      GstClockTime next = 0;
      std::atomic<bool> pauses = false;
    };
    std::array<Stream, 3> streams;
    std::atomic<bool> stops = false;
    const auto until_stop = [&](size_t input) {
      return std::make_unique<Push>([&, input] {
        for (; !stops; std::this_thread::yield()) {
          if (streams[input].pauses) continue;
          std::lock_guard lock(streams[input].mutex);
          const GstClockTime pts = streams[input].next * second;
          const auto flow = input == 0 ? frame(pts) : result(input, pts, "x");
          if (flow == GST_FLOW_OK) ++streams[input].next;
        }
        return GST_FLOW_OK;
      });
    };
    auto main = until_stop(0), a = until_stop(1), b = until_stop(2);
    for (int i = 0; i < 5; ++i) {
      wait_for(3);
      for (size_t input : {0, 1, 2}) {
        streams[input].pauses = true;
        send(input, gst_event_new_flush_start());
      }
      out.taken();
      for (size_t input : {0, 1, 2}) {
        std::lock_guard lock(streams[input].mutex);
        send(input, gst_event_new_flush_stop(TRUE));
        restart(input);
        streams[input].next = 0;
        streams[input].pauses = false;
      }
    }
    stops = true;
    gst_element_set_state(element.get(), GST_STATE_READY);
    for (auto* push : {main.get(), a.get(), b.get()}) EXPECT_EQ(push->result(), GST_FLOW_OK);
    gst_element_set_state(element.get(), GST_STATE_NULL);
  }
}

TEST_F(AggregateThreads, ALiveFrameGoesOnWithoutResultsThatAreLate) {
  make("meta_aggregate", {"sink", "tensor_0"});
  g_object_set(element.get(), "max-wait", 30, "latency", guint64(50 * GST_MSECOND), nullptr);
  auto* clock = gst_test_clock_new();
  gst_element_set_clock(element.get(), clock);
  gst_element_set_base_time(element.get(), 5 * second);
  start();
  auto* test_clock = GST_TEST_CLOCK(clock);
  const auto wait_for_deadline = [&] {
    GstClockID id = nullptr;
    gst_test_clock_wait_for_next_pending_id(test_clock, &id);
    const GstClockTime time = gst_clock_id_get_time(id);
    gst_clock_id_unref(id);
    return time;
  };
  frame(0);
  EXPECT_EQ(wait_for_deadline(), 5 * second + (20 + 30 + 50) * GST_MSECOND);
  EXPECT_THAT(out.taken(), ElementsAre());
  gst_test_clock_crank(test_clock);
  wait_for(1);
  EXPECT_THAT(out.taken(), ElementsAre("0:"));
  EXPECT_EQ(result(1, 0, "late"), GST_FLOW_OK);
  frame(second);
  EXPECT_EQ(wait_for_deadline(), 6 * second + (20 + 30 + 50) * GST_MSECOND);
  result(1, second, "in time");
  EXPECT_THAT(out.taken(), ElementsAre("1: in time"));
  // A stop does not wait for the clock.
  frame(2 * second);
  gst_element_set_state(element.get(), GST_STATE_NULL);
  gst_object_unref(clock);
}

TEST_F(AggregateThreads, SeeksInAPipeline) {
  make("meta_aggregate", {"sink"});
  GError* error = nullptr;
  ElementPtr pipeline(
      gst_parse_launch("videotestsrc num-buffers=-1 ! video/x-raw,width=16,height=16 ! tee name=t  t. ! "
                       "meta_aggregate name=agg ! "
                       "fakesink sync=false  t. ! queue ! identity silent=true ! agg.meta_0",
                       &error));
  ASSERT_EQ(error, nullptr) << error->message;
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  EXPECT_EQ(gst_element_get_state(pipeline.get(), nullptr, nullptr, GST_CLOCK_TIME_NONE),
            GST_STATE_CHANGE_SUCCESS);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(gst_element_seek(
        pipeline.get(), 1, GST_FORMAT_TIME, GstSeekFlags(GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE),
        GST_SEEK_TYPE_SET, gint64(i * second), GST_SEEK_TYPE_SET, gint64((i + 10) * second)));
    EXPECT_EQ(gst_element_get_state(pipeline.get(), nullptr, nullptr, GST_CLOCK_TIME_NONE),
              GST_STATE_CHANGE_SUCCESS);
  }
  auto* bus = gst_element_get_bus(pipeline.get());
  auto* message = gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE,
                                             GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  EXPECT_EQ(GST_MESSAGE_TYPE(message), GST_MESSAGE_EOS);
  gst_message_unref(message);
  gst_object_unref(bus);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

}  // namespace
}  // namespace sightglass::gst
