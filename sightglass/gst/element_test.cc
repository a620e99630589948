#include "sightglass/gst/element.h"

#include <format>

#include <gst/check/gstharness.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include "sightglass/core/registry.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapping.h"

namespace sightglass::gst {
namespace {

// Marks every frame with a region, and its first byte where asked to.
class Mark final : public TransformInplace {
 public:
  struct Params {
    double threshold = 0.5;
    unsigned fail_at = 0;
    bool write = false;
  };
  static inline bool cannot_start = false;
  explicit Mark(const Params& params) : params_(params) {}
  Status start() override {
    if (cannot_start) return fail(ErrorCode::not_found, "its file is not there");
    return {};
  }
  void update(const ParamSet& params) override { params_ = params.as<Params>(); }
  Result<Verdict> process(Frame& frame) override {
    if (++count_ == params_.fail_at) return fail(ErrorCode::corrupt, "frame {} is bad", count_);
    if (params_.threshold == 0) return Verdict::gap;
    Region region;
    region.confidence = float(params_.threshold);
    region.label = Label("mark");
    frame.regions.push_back(region);
    if (params_.write) {
      auto pixels = map(frame.tensors[0], Access::write);
      if (!pixels) return std::unexpected(pixels.error());
      pixels->data()[0] = std::byte{99};
    }
    return Verdict::pass;
  }
  static ElementDesc descriptor(const char* name, bool writes) {
    return {.name = name,
            .title = "Mark",
            .klass = "Filter",
            .doc = "Marks frames",
            .kind = ElementKind::transform_inplace,
            .input = {FormatSpec{VideoSpec{}}},
            .writes_pixels = writes,
            .params = ParamTable::of<Params>(
                {param("threshold", &Params::threshold, "score of the mark").range(0, 1).live(),
                 param("fail-at", &Params::fail_at, "frame that fails; 0: none"),
                 param("write", &Params::write, "change a byte")}),
            .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
              if (params.as<Params>().fail_at == 77) return fail(ErrorCode::not_found, "nothing is there");
              return std::make_unique<Mark>(params.as<Params>());
            }};
  }

 private:
  Params params_;
  unsigned count_ = 0;
};

// Sums up the luma of a picture: one f32 tensor. Every third frame gives a gap, the others two results.
class Sum final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec&) const override {
    if (from == Direction::output) return {FormatSpec{VideoSpec{.formats = {PixelFormat::gray8}}}};
    return {FormatSpec{
        TensorsSpec{{{.types = {DataType::f32}, .shape = {1, 1}, .strides = {}, .name = "sum"}}, "summer"}}};
  }
  Status process(const Frame& frame, Output& output) override {
    if (count_++ % 3 == 2) return output.gap({frame.pts, frame.duration, frame.source});
    auto pixels = map(frame.tensors[0], Access::read);
    if (!pixels) return std::unexpected(pixels.error());
    float sum = 0;
    for (int64_t y = 0; y < pixels->shape()[0]; ++y) {
      for (int64_t x = 0; x < pixels->shape()[1]; ++x) sum += pixels->row<const uint8_t>(y)[x];
    }
    for (int i = 0; i < 2; ++i) {
      if (auto status = output.allocate(out_); !status) return status;
      map(out_.tensors[0], Access::write)->as<float>()[0] = sum;
      out_.pts = frame.pts;
      out_.source = SourceId{.roi = unsigned(i), .last_roi = i == 1, .pts = frame.pts};
      if (auto status = output.push(out_); !status) return status;
    }
    return {};
  }
  static ElementDesc descriptor() {
    struct None {};
    return {.name = "test_sum",
            .title = "Sum",
            .klass = "Filter",
            .doc = "Sums up",
            .input = {FormatSpec{VideoSpec{.formats = {PixelFormat::gray8}}}},
            .output = {FormatSpec{TensorsSpec{}}},
            .params = ParamTable::of<None>({}),
            .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
              return std::make_unique<Sum>();
            }};
  }

 private:
  Frame out_;
  int count_ = 0;
};

constexpr const char* gray_caps = "video/x-raw,format=GRAY8,width=4,height=2,framerate=10/1";

class WrappedElement : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    static const ElementDesc mark = Mark::descriptor("test_mark", false),
                             paint = Mark::descriptor("test_paint", true), sum = Sum::descriptor();
    register_element(nullptr, mark);
    register_element(nullptr, paint);
    register_element(nullptr, sum);
  }

  void start(const char* launch, const char* caps = gray_caps) {
    harness = gst_harness_new_parse(launch);
    gst_harness_set_src_caps_str(harness, caps);
  }
  static GstBuffer* picture(guint8 value, GstClockTime pts = 0) {
    auto* buffer = gst_buffer_new_allocate(nullptr, 8, nullptr);
    gst_buffer_memset(buffer, 0, value, 8);
    GST_BUFFER_PTS(buffer) = pts;
    return buffer;
  }
  static Frame results(GstBuffer* buffer) {
    Frame frame;
    read_results(buffer, {4, 2}, frame);
    return frame;
  }
  void TearDown() override {
    if (harness) gst_harness_teardown(harness);
  }
  GstHarness* harness = nullptr;
};

TEST_F(WrappedElement, ShowsItsParametersAsProperties) {
  ElementPtr element(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("test_mark", nullptr))));
  gdouble threshold = 0;
  g_object_get(element.get(), "threshold", &threshold, nullptr);
  EXPECT_EQ(threshold, 0.5);
  auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), "threshold");
  EXPECT_TRUE(spec->flags & GST_PARAM_MUTABLE_PLAYING);
  EXPECT_EQ(G_PARAM_SPEC_DOUBLE(spec)->maximum, 1.0);
  EXPECT_TRUE(g_str_has_prefix(GST_OBJECT_NAME(element.get()), "test_mark"));
}

TEST_F(WrappedElement, ChangesOnlyTheMetadataOfTheBufferThatItIsGiven) {
  start("test_mark");
  auto* in = picture(5);
  auto* memory = gst_buffer_peek_memory(in, 0);
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), memory);
  ASSERT_EQ(results(out.get()).regions.size(), 1u);
  EXPECT_EQ(results(out.get()).regions[0].label.view(), "mark");
}

TEST_F(WrappedElement, TakesLiveParametersBetweenFrames) {
  start("test_mark");
  BufferPtr first(gst_harness_push_and_pull(harness, picture(5)));
  gst_harness_set(harness, "test_mark", "threshold", 0.25, nullptr);
  BufferPtr second(gst_harness_push_and_pull(harness, picture(5)));
  EXPECT_EQ(results(first.get()).regions.at(0).confidence, 0.5f);
  EXPECT_EQ(results(second.get()).regions.at(0).confidence, 0.25f);
  gst_harness_set(harness, "test_mark", "fail-at", 3, nullptr);  // not live: refused with a warning
  guint fail_at = 1;
  gst_harness_get(harness, "test_mark", "fail-at", &fail_at, nullptr);
  EXPECT_EQ(fail_at, 0u);
}

TEST_F(WrappedElement, TurnsAVerdictIntoAGapEvent) {
  start("test_mark threshold=0");
  EXPECT_EQ(gst_harness_push(harness, picture(5, 100)), GST_FLOW_OK);
  EXPECT_EQ(gst_harness_buffers_received(harness), 0u);
  bool gap = false;
  while (auto* event = gst_harness_try_pull_event(harness)) {
    gap |= GST_EVENT_TYPE(event) == GST_EVENT_GAP && to_gap(event).pts == 100;
    gst_event_unref(event);
  }
  EXPECT_TRUE(gap);
}

TEST_F(WrappedElement, SaysWhatFailedOnce) {
  start("test_mark fail-at=1");
  auto* bus = gst_bus_new();
  auto* element = gst_harness_find_element(harness, "test_mark");
  gst_element_set_bus(element, bus);
  EXPECT_EQ(gst_harness_push(harness, picture(5)), GST_FLOW_ERROR);
  auto* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  ASSERT_NE(message, nullptr);
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  EXPECT_EQ(std::string(error->message), std::string(GST_OBJECT_NAME(element)) + ": frame 1 is bad");
  g_error_free(error);
  gst_message_unref(message);
  EXPECT_EQ(gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR), nullptr);
  gst_element_set_bus(element, nullptr);
  gst_object_unref(element);
  gst_object_unref(bus);
}

TEST_F(WrappedElement, FailsToGetReadyWhenItCannotBeMade) {
  ElementPtr element(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("test_mark", nullptr))));
  g_object_set(element.get(), "fail-at", 77, nullptr);
  EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  g_object_set(element.get(), "fail-at", 0, nullptr);
  EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
  gst_element_set_state(element.get(), GST_STATE_NULL);
}

TEST_F(WrappedElement, StartsAgainWhenWhatFailedIsPutRightOutsideOfIt) {
  ElementPtr element(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("test_mark", nullptr))));
  ASSERT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
  g_object_set(element.get(), "fail-at", 5, nullptr);
  Mark::cannot_start = true;
  EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
  Mark::cannot_start = false;
  harness = gst_harness_new_with_element(element.get(), "sink", "src");
  gst_harness_set_src_caps_str(harness, gray_caps);
  BufferPtr out(gst_harness_push_and_pull(harness, picture(5)));
  EXPECT_TRUE(out);
}

TEST_F(WrappedElement, WritesPixelsOfItsOwnCopyWhenTheyAreShared) {
  start("test_paint write=true");
  auto* in = picture(5);
  BufferPtr kept(gst_buffer_copy(in));  // shares the memory, as behind a tee
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  guint8 mine = 0, theirs = 0;
  gst_buffer_extract(out.get(), 0, &mine, 1);
  gst_buffer_extract(kept.get(), 0, &theirs, 1);
  EXPECT_EQ(mine, 99);
  EXPECT_EQ(theirs, 5);
}

TEST_F(WrappedElement, WritesPixelsInPlaceWhenItMay) {
  start("test_paint write=true");
  auto* in = picture(5);
  auto* memory = gst_buffer_peek_memory(in, 0);
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), memory);
}

TEST_F(WrappedElement, PushesAnyNumberOfResultsPerFrame) {
  start("test_sum");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(gst_harness_push(harness, picture(guint8(i + 1), GstClockTime(i))), GST_FLOW_OK);
  ASSERT_EQ(gst_harness_buffers_received(harness), 4u);
  CapsPtr caps(gst_pad_get_current_caps(harness->sinkpad));
  auto* structure = gst_caps_get_structure(caps.get(), 0);
  EXPECT_STREQ(gst_structure_get_string(structure, "dimensions"), "1:1");
  EXPECT_STREQ(gst_structure_get_string(structure, "model"), "summer");
  EXPECT_TRUE(gst_structure_has_field(structure, "framerate"));
  for (int i = 0; i < 4; ++i) {
    BufferPtr out(gst_harness_pull(harness));
    float sum = 0;
    gst_buffer_extract(out.get(), 0, &sum, sizeof sum);
    EXPECT_EQ(sum, float(8 * (i / 2 + 1)));
    Frame frame;
    read_frame_metas(out.get(), frame);
    ASSERT_TRUE(frame.source);
    EXPECT_EQ(frame.source->roi, unsigned(i % 2));
    EXPECT_EQ(frame.source->last_roi, i % 2 == 1);
  }
}

TEST_F(WrappedElement, ReadsPaddedPictures) {
  start("test_sum");
  auto* in = gst_buffer_new_allocate(nullptr, 32, nullptr);
  gst_buffer_memset(in, 0, 200, 32);
  gst_buffer_memset(in, 0, 1, 4);
  gst_buffer_memset(in, 16, 1, 4);
  const gsize offsets[4] = {0};
  const gint strides[4] = {16};
  gst_buffer_add_video_meta_full(in, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, 4, 2, 1,
                                 const_cast<gsize*>(offsets), const_cast<gint*>(strides));
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  float sum = 0;
  gst_buffer_extract(out.get(), 0, &sum, sizeof sum);
  EXPECT_EQ(sum, 8);
}

// Hands the second row of a picture on as a tensor that shares its memory.
class Row final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec&) const override {
    if (from == Direction::output) return {FormatSpec{VideoSpec{.formats = {PixelFormat::gray8}}}};
    return {
        FormatSpec{TensorsSpec{{{.types = {DataType::u8}, .shape = {1, 4}, .strides = {}, .name = {}}}, {}}}};
  }
  Status process(const Frame& frame, Output& output) override {
    Frame out{.tensors = {frame.tensors[0]}, .pts = frame.pts};
    out.tensors[0].offset += size_t(frame.tensors[0].strides[0]);
    out.tensors[0].shape = {1, 4}, out.tensors[0].strides = {4, 1};
    return output.push(out);
  }
  static ElementDesc descriptor() {
    ElementDesc desc = Sum::descriptor();
    desc.name = "test_row";
    desc.create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> { return std::make_unique<Row>(); };
    return desc;
  }
};

TEST_F(WrappedElement, SharesATensorThatStartsInsideItsMemory) {
  static const ElementDesc row = Row::descriptor();
  register_element(nullptr, row);
  start("test_row");
  auto* in = picture(1);
  gst_buffer_memset(in, 4, 7, 4);
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  guint8 first = 0;
  gst_buffer_extract(out.get(), 0, &first, 1);
  EXPECT_EQ(first, 7);
}

TEST_F(WrappedElement, RefusesABufferThatIsTooSmall) {
  start("test_sum");
  EXPECT_EQ(gst_harness_push(harness, gst_buffer_new_allocate(nullptr, 5, nullptr)), GST_FLOW_ERROR);
}

TEST_F(WrappedElement, FollowsANewSizeInMidStream) {
  start("test_sum");
  BufferPtr first(gst_harness_push_and_pull(harness, picture(1)));
  gst_harness_set_src_caps_str(harness, "video/x-raw,format=GRAY8,width=8,height=2,framerate=10/1");
  auto* in = gst_buffer_new_allocate(nullptr, 16, nullptr);
  gst_buffer_memset(in, 0, 1, 16);
  gst_harness_push(harness, in);
  BufferPtr(gst_harness_pull(harness)).reset();  // the second result of the first picture
  BufferPtr out(gst_harness_pull(harness));
  float sum = 0;
  gst_buffer_extract(out.get(), 0, &sum, sizeof sum);
  EXPECT_EQ(sum, 16);
}

// ---- lists, gaps, events, queries

// Notes in which order things reach it.
class Recorder final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status process(const Frame& frame, Output& output) override {
    text += std::format("{} ", frame.pts);
    return output.push(frame);
  }
  Status process_list(std::span<const Frame> frames, Output& output) override {
    text += "[";
    for (const Frame& frame : frames)
      if (auto status = process(frame, output); !status) return status;
    text += "] ";
    return {};
  }
  Status gap(const Gap& gap, Output& output) override {
    text += std::format("gap {}@{} ", gap.pts, gap.source ? gap.source->batch_index : 0);
    return output.gap(gap);
  }
  Status drain(Output&) override {
    text += "drain ";
    return {};
  }
  void flush() override { text += "flush "; }
  void cancel() override { text += "cancel "; }
  static ElementDesc descriptor() {
    ElementDesc desc = Sum::descriptor();
    desc.name = "test_record";
    desc.input = desc.output = {FormatSpec{AnySpec{}}};
    desc.create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<Recorder>();
    };
    return desc;
  }
  static std::string text;
};
std::string Recorder::text;

class WrappedLists : public WrappedElement {
 protected:
  static void SetUpTestSuite() {
    WrappedElement::SetUpTestSuite();
    static const ElementDesc record = Recorder::descriptor();
    register_element(nullptr, record);
    for (const char* name :
         {"video_to_tensor", "tensor_convert", "rate_adjust", "capsrelax", "gvafpsthrottle"})
      register_element(nullptr, *find_element(name));
  }
  void SetUp() override { Recorder::text.clear(); }
};

TEST_F(WrappedLists, ReachTheElementTogetherAndGapsAreAnnounced) {
  start("test_record");
  auto* list = gst_buffer_list_new();
  gst_buffer_list_add(list, to_buffer({0, 0, {}}));
  gst_buffer_list_add(list, picture(1, 1));
  gst_buffer_list_add(list, to_buffer({2, 0, {}}));
  gst_buffer_list_add(list, picture(1, 3));
  gst_buffer_list_add(list, to_buffer({4, 0, {}}));
  EXPECT_EQ(gst_pad_push_list(harness->srcpad, list), GST_FLOW_OK);
  EXPECT_EQ(Recorder::text, "gap 0@0 gap 2@-1 [1 3 ] gap 4@0 ");
  EXPECT_EQ(gst_harness_buffers_received(harness), 2u);
}

TEST_F(WrappedLists, OfNothingAreNothing) {
  start("test_record");
  EXPECT_EQ(gst_pad_push_list(harness->srcpad, gst_buffer_list_new()), GST_FLOW_OK);
  EXPECT_EQ(Recorder::text, "");
}

TEST_F(WrappedLists, GapBuffersAndGapEventsAreTheSame) {
  start("test_record");
  EXPECT_EQ(gst_harness_push(harness, to_buffer({7, 0, {}})), GST_FLOW_OK);
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_gap(8, 0)));
  EXPECT_EQ(Recorder::text, "gap 7@0 gap 8@0 ");
}

TEST_F(WrappedLists, TheEndDrainsAndAFlushForgets) {
  start("test_record");
  gst_harness_push(harness, picture(1, 1));
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_flush_start()));
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_flush_stop(TRUE)));
  EXPECT_EQ(Recorder::text, "1 cancel flush ");
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(harness, gst_event_new_segment(&segment));
  gst_harness_push(harness, picture(1, 2));
  gst_harness_push_event(harness, gst_event_new_eos());
  EXPECT_EQ(Recorder::text, "1 cancel flush 2 drain ");
}

TEST_F(WrappedLists, SamplesOfABatchKeepTheirSourceAndMatrixOnABuffer) {
  Frame batch;
  for (int i = 0; i < 3; ++i)
    batch.batch.push_back({.source = {.stream = unsigned(5 + i), .batch_index = i, .pts = i},
                           .affine = i == 1 ? Affine{{2, 0, 0, 0, 2, 0}} : Affine{},
                           .pts = 10 * i,
                           .duration = i});
  BufferPtr buffer(gst_buffer_new());
  for (int round = 0; round < 2; ++round) {  // written twice, there once
    write_frame_metas(batch, buffer.get());
    BufferPtr copy(gst_buffer_copy(buffer.get()));
    Frame back;
    read_frame_metas(copy.get(), back);
    EXPECT_EQ(back.batch, batch.batch);
    EXPECT_FALSE(back.source);
  }
}

TEST_F(WrappedLists, AHundredStateChanges) {
  for (const char* name : {"test_record", "test_mark", "rate_adjust", "video_to_tensor"}) {
    ElementPtr element(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make(name, nullptr))));
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(gst_element_set_state(element.get(), i % 3 == 0   ? GST_STATE_PLAYING
                                                     : i % 3 == 1 ? GST_STATE_READY
                                                                  : GST_STATE_NULL),
                GST_STATE_CHANGE_SUCCESS)
          << name;
    gst_element_set_state(element.get(), GST_STATE_NULL);
  }
}

TEST_F(WrappedLists, QueriesOfInPlaceElementsPass) {
  harness = gst_harness_new_parse("rate_adjust");
  gst_harness_set_sink_caps_str(harness, gray_caps);
  gst_harness_set_src_caps_str(harness, gray_caps);
  CapsPtr gray(gst_caps_from_string(gray_caps)),
      other(gst_caps_from_string("video/x-raw,format=I420,width=4,height=2,framerate=10/1"));
  EXPECT_TRUE(gst_pad_peer_query_accept_caps(harness->srcpad, gray.get()));
  CapsPtr possible(gst_pad_peer_query_caps(harness->srcpad, nullptr));
  EXPECT_TRUE(gst_caps_can_intersect(possible.get(), gray.get()));
  EXPECT_FALSE(gst_caps_can_intersect(possible.get(), other.get()));
  EXPECT_EQ(gst_harness_query_latency(harness), 0u);
  auto* seeking = gst_query_new_seeking(GST_FORMAT_TIME);
  gst_pad_peer_query(harness->sinkpad, seeking);  // answered, or not, by whoever is upstream
  gst_query_unref(seeking);
  auto* allocation = gst_query_new_allocation(gray.get(), FALSE);
  gst_harness_add_propose_allocation_meta(harness, GST_VIDEO_META_API_TYPE, nullptr);
  EXPECT_TRUE(gst_pad_peer_query(harness->srcpad, allocation));
  EXPECT_TRUE(gst_query_find_allocation_meta(allocation, GST_VIDEO_META_API_TYPE, nullptr));
  gst_query_unref(allocation);
}

// Every picture that video_to_tensor says it takes.
TEST_F(WrappedLists, EveryFormatIsNegotiated) {
  int count = 0;
  for (int format = GST_VIDEO_FORMAT_I420; format <= GST_VIDEO_FORMAT_P010_10LE + 40; ++format) {
    const char* name = gst_video_format_to_string(GstVideoFormat(format));
    GstVideoInfo info;
    if (!name || !gst_video_info_set_format(&info, GstVideoFormat(format), 16, 8)) continue;
    CapsPtr caps(gst_video_info_to_caps(&info));
    auto* one = gst_harness_new_parse("video_to_tensor width=8 height=4");
    if (gst_pad_peer_query_accept_caps(one->srcpad, caps.get())) {
      ++count;
      gst_harness_set_src_caps(one, gst_caps_ref(caps.get()));
      auto* in = gst_buffer_new_allocate(nullptr, GST_VIDEO_INFO_SIZE(&info), nullptr);
      gst_buffer_memset(in, 0, 128, GST_VIDEO_INFO_SIZE(&info));
      BufferPtr out(gst_harness_push_and_pull(one, in));
      EXPECT_EQ(gst_buffer_get_size(out.get()), size_t(8 * 4 * 3 * 4)) << name;
    }
    gst_harness_teardown(one);
  }
  EXPECT_EQ(count, 16);
}

TEST_F(WrappedLists, CapsrelaxHidesASizeThatIsOnlyPreferred) {
  start("capsrelax", "video/x-raw,format=I420,width=64,height=48,framerate=10/1");
  const auto seen = [&](const char* downstream) {
    gst_harness_set_sink_caps_str(harness, downstream);
    CapsPtr caps(gst_pad_peer_query_caps(harness->srcpad, nullptr));
    gchar* text = gst_caps_to_string(caps.get());
    std::string result = text;
    g_free(text);
    return result;
  };
  EXPECT_EQ(seen("video/x-raw,width=416,height=416;video/x-raw,width=[1,1000],height=[1,1000]").find("416"),
            std::string::npos);
  EXPECT_NE(seen("video/x-raw,width=416,height=416").find("416"), std::string::npos);
  // The other one is of another format.
  EXPECT_NE(seen("video/x-raw,format=RGB,width=416,height=416;video/x-raw,format=I420").find("416"),
            std::string::npos);
}

TEST_F(WrappedLists, AFlushWakesAFrameThatIsHeldBack) {
  start("gvafpsthrottle target-fps=0.00001");
  EXPECT_EQ(gst_harness_push(harness, picture(1)), GST_FLOW_OK);
  auto* thread = g_thread_new(
      "held",
      [](gpointer data) -> gpointer {
        return GINT_TO_POINTER(gst_harness_push(static_cast<GstHarness*>(data), picture(1)));
      },
      harness);
  EXPECT_TRUE(gst_harness_push_event(harness, gst_event_new_flush_start()));
  EXPECT_EQ(GPOINTER_TO_INT(g_thread_join(thread)), GST_FLOW_FLUSHING);
}

}  // namespace
}  // namespace sightglass::gst
