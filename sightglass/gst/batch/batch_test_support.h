// For the tests of the batch elements: engines that stack what comes together or take it one by one, and a
// pipeline that is fed and emptied by hand.
#pragma once

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/check/gstharness.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>

#include "sightglass/gst/batch/batch_create.h"
#include "sightglass/gst/batch/batch_split.h"
#include "sightglass/gst/batch/batch_stream.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapping.h"

namespace sightglass::gst {

inline constexpr const char* caps_of_four =
    "other/tensors,num_tensors=(uint)1,types=uint8,dimensions=(string)4:1,framerate=(fraction)25/1";

// Sizes of the batches that the engines below have seen, with their counts.
struct Seen {
  std::mutex mutex;
  std::map<size_t, int> sizes;
  void clear() {
    std::lock_guard lock(mutex);
    sizes.clear();
  }
  void add(size_t size) {
    std::lock_guard lock(mutex);
    ++sizes[size];
  }
  int count(size_t size) {
    std::lock_guard lock(mutex);
    return sizes[size];
  }
};
inline Seen seen;

// An engine that gives one tensor [8, 4] for a whole batch, with what came in plus one.
class Stack final : public Transform {
 public:
  static constexpr int64_t places = 8;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec&) const override {
    const int64_t n = from == Direction::output ? 1 : places;
    return {FormatSpec{
        TensorsSpec{{{.types = {DataType::u8}, .shape = {n, 4}, .strides = {}, .name = "out"}}, "stack"}}};
  }
  Status process(const Frame& frame, Output& output) override { return process_list({&frame, 1}, output); }
  Status process_list(std::span<const Frame> frames, Output& output) override {
    seen.add(frames.size());
    if (auto status = output.allocate(out_); !status) return status;
    {
      auto to = map(out_.tensors[0], Access::write);
      if (!to) return forward_error(to);
      for (size_t i = 0; i < frames.size(); ++i) {
        auto from = map(frames[i].tensors[0], Access::read);
        if (!from) return forward_error(from);
        for (int k = 0; k < 4; ++k)
          to->as<uint8_t>()[i * 4 + size_t(k)] = uint8_t(from->as<uint8_t>()[size_t(k)] + 1);
      }
    }
    out_.batch.clear();
    for (const Frame& frame : frames)
      out_.batch.push_back(
          {frame.source.value_or(SourceId{}), frame.affine.value_or(Affine{}), frame.pts, frame.duration});
    auto status = output.push(out_);
    out_.tensors.clear();
    return status;
  }
  static ElementDesc descriptor() {
    struct None {};
    return {.name = "test_stack",
            .title = "Stack",
            .klass = "Filter",
            .doc = "Stacks",
            .input = {FormatSpec{TensorsSpec{}}},
            .output = {FormatSpec{TensorsSpec{}}},
            .params = ParamTable::of<None>({}),
            .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
              return std::make_unique<Stack>();
            }};
  }

 private:
  Frame out_;
};

// One that takes them one by one.
class Single final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status process(const Frame& frame, Output& output) override {
    seen.add(1);
    return output.push(frame);
  }
  static ElementDesc descriptor() {
    ElementDesc desc = Stack::descriptor();
    desc.name = "test_single";
    desc.create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<Single>();
    };
    return desc;
  }
};

inline void register_all() {
  static const bool once = [] {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    static const ElementDesc stack = Stack::descriptor(), single = Single::descriptor();
    register_element(nullptr, stack);
    register_element(nullptr, single);
    register_batch_create(nullptr);
    register_batch_split(nullptr);
    return true;
  }();
  (void)once;
}

inline GstBuffer* sample(int value, double shift = 0) {
  auto* buffer = gst_buffer_new_allocate(nullptr, 4, nullptr);
  gst_buffer_memset(buffer, 0, guint8(value), 4);
  GST_BUFFER_PTS(buffer) = GstClockTime(value) * 40 * GST_MSECOND;
  GST_BUFFER_DURATION(buffer) = 40 * GST_MSECOND;
  Frame frame;
  if (shift != 0) frame.affine = Affine{{1, 0, shift, 0, 1, 0}};
  write_frame_metas(frame, buffer);
  return buffer;
}
inline GstEvent* skipped(int value) {
  return gst_event_new_gap(GstClockTime(value) * 40 * GST_MSECOND, 40 * GST_MSECOND);
}

inline int value_at(GstClockTime pts) { return int(pts / (40 * GST_MSECOND)); }

struct Pipeline {
  explicit Pipeline(const std::string& between) {
    const std::string text = std::string("appsrc name=in format=time caps=\"") + caps_of_four + "\" ! " +
                             between + " ! appsink name=out sync=false async=false";
    GError* error = nullptr;
    pipeline.reset(gst_parse_launch(text.c_str(), &error));
    EXPECT_EQ(error, nullptr) << error->message;
    in.reset(gst_bin_get_by_name(GST_BIN(pipeline.get()), "in"));
    out.reset(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
    PadPtr sink(gst_element_get_static_pad(out.get(), "sink"));
    gst_pad_add_probe(
        sink.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
        [](GstPad*, GstPadProbeInfo* info, gpointer data) {
          auto* event = GST_PAD_PROBE_INFO_EVENT(info);
          if (GST_EVENT_TYPE(event) == GST_EVENT_GAP)
            static_cast<Pipeline*>(data)->note(to_gap(event).pts, "-");
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
    gst_pad_add_probe(
        sink.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo* info, gpointer data) {
          static_cast<Pipeline*>(data)->note(Time(GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info))), "");
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
    state(GST_STATE_PLAYING);
  }
  ~Pipeline() { state(GST_STATE_NULL); }
  void state(GstState to) { gst_element_set_state(pipeline.get(), to); }
  void push(int value, double shift = 0) {
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), sample(value, shift));
  }
  void gap(int value) {
    const Time pts = Time(value) * 40 * Time(GST_MSECOND);
    gst_app_src_push_buffer(GST_APP_SRC(in.get()), to_buffer({pts, 40 * Time(GST_MSECOND), {}}));
  }
  void end() { gst_app_src_end_of_stream(GST_APP_SRC(in.get())); }
  // The next result, checked; -1: the end; -2: none came.
  int pull() {
    auto* pulled = gst_app_sink_try_pull_sample(GST_APP_SINK(out.get()), 20 * GST_SECOND);
    if (!pulled) return gst_app_sink_is_eos(GST_APP_SINK(out.get())) ? -1 : -2;
    auto* buffer = gst_sample_get_buffer(pulled);
    guint8 bytes[4] = {};
    EXPECT_EQ(gst_buffer_extract(buffer, 0, bytes, 4), 4u);
    GstMapInfo mapped;
    EXPECT_TRUE(gst_buffer_map(buffer, &mapped, GST_MAP_READ));
    address = mapped.data;
    gst_buffer_unmap(buffer, &mapped);
    EXPECT_EQ(gst_buffer_get_size(buffer), 4u);
    last.clear();
    read_frame_metas(buffer, last);
    EXPECT_TRUE(last.batch.empty());
    EXPECT_TRUE(last.source);
    const int value = value_at(GST_BUFFER_PTS(buffer));
    EXPECT_EQ(last.source ? last.source->pts : 0, Time(GST_BUFFER_PTS(buffer)));
    EXPECT_EQ(GST_BUFFER_DURATION(buffer), 40 * GST_MSECOND);
    gchar* text = gst_caps_to_string(gst_sample_get_caps(pulled));
    caps = text;
    g_free(text);
    gst_sample_unref(pulled);
    EXPECT_EQ(bytes[0], guint8(value + plus));
    return value;
  }
  std::vector<int> pull(int count) {
    std::vector<int> values;
    for (int i = 0; i < count; ++i) values.push_back(pull());
    return values;
  }
  void note(Time pts, const char* mark) {
    std::lock_guard lock(mutex);
    order += std::to_string(value_at(GstClockTime(pts))) + mark + ' ';
  }
  std::string noted() {
    std::lock_guard lock(mutex);
    return order;
  }

  ElementPtr pipeline, in, out;
  Frame last;
  const guint8* address = nullptr;  // of the last result
  std::string caps;
  int plus = 1;  // what the engine adds
  std::mutex mutex;
  std::string order;
};

inline std::vector<int> range(int from, int to) {
  std::vector<int> values;
  for (int i = from; i < to; ++i) values.push_back(i);
  return values;
}

}  // namespace sightglass::gst
