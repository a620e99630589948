// Our results and those of GStreamer's own elements, in one pipeline.
#include <gst/analytics/analytics.h>
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

using Probe = std::function<GstBuffer*(GstBuffer*)>;

// The buffers that arrive at the appsink called `sink`; `probe` changes those behind the element `here`.
std::vector<BufferPtr> run(const std::string& text, Probe probe) {
  GError* error = nullptr;
  ElementPtr pipeline(gst_parse_launch(text.c_str(), &error));
  if (error) {
    ADD_FAILURE() << error->message;
    g_clear_error(&error);
    return {};
  }
  gst_object_ref_sink(pipeline.get());
  ElementPtr here(gst_bin_get_by_name(GST_BIN(pipeline.get()), "here"));
  PadPtr pad(gst_element_get_static_pad(here.get(), "src"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo* info, gpointer data) {
        auto* buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
        GST_PAD_PROBE_INFO_DATA(info) = (*static_cast<Probe*>(data))(buffer);
        return GST_PAD_PROBE_OK;
      },
      &probe, nullptr);
  ElementPtr sink(gst_bin_get_by_name(GST_BIN(pipeline.get()), "sink"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  std::vector<BufferPtr> buffers;
  while (auto* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(sink.get()), 30 * GST_SECOND)) {
    buffers.emplace_back(gst_buffer_ref(gst_sample_get_buffer(sample)));
    gst_sample_unref(sample);
  }
  std::unique_ptr<GstBus, Unref> bus(gst_element_get_bus(pipeline.get()));
  if (auto* message = gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)) {
    gst_message_parse_error(message, &error, nullptr);
    ADD_FAILURE() << error->message;
    g_clear_error(&error);
    gst_message_unref(message);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return buffers;
}

bool has(const char* factory) {
  auto* found = gst_element_factory_find(factory);
  if (found) gst_object_unref(found);
  return found;
}

constexpr PixelSize size{160, 120};
constexpr const char* source =
    "videotestsrc num-buffers=3 pattern=black ! video/x-raw,format=BGRA,width=160,height=120 ! identity "
    "name=here ";

class Upstream : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
};

TEST_F(Upstream, OverlayDrawsOurBoxesWhereTheyAre) {
  if (!has("objectdetectionoverlay")) GTEST_SKIP() << "no objectdetectionoverlay";
  ResultWriter writer;
  const auto buffers =
      run(std::string(source) + "! objectdetectionoverlay draw-labels=false ! appsink name=sink sync=false",
          [&](GstBuffer* buffer) {
            Frame frame;
            Region upright{.id = -1, .box = {0.25f, 0.25f, 0.25f, 0.5f}, .confidence = 1};
            upright.label = Label("cup");
            frame.regions = {upright};
            writer.write(buffer, size, {}, nullptr, frame);
            return buffer;
          });
  ASSERT_EQ(buffers.size(), 3u);
  for (const auto& buffer : buffers) {
    GstMapInfo map;
    ASSERT_TRUE(gst_buffer_map(buffer.get(), &map, GST_MAP_READ));
    const auto bright = [&](int x, int y) { return map.data[(y * 160 + x) * 4] > 60; };
    const auto bright_near = [&](int x, int y) {
      for (int dy = -2; dy <= 2; ++dy)
        for (int dx = -2; dx <= 2; ++dx)
          if (bright(x + dx, y + dy)) return true;
      return false;
    };
    EXPECT_TRUE(bright_near(40, 60)) << "left edge";
    EXPECT_TRUE(bright_near(80, 60)) << "right edge";
    EXPECT_TRUE(bright_near(60, 30)) << "upper edge";
    EXPECT_TRUE(bright_near(60, 90)) << "lower edge";
    EXPECT_FALSE(bright_near(60, 60)) << "inside";
    EXPECT_FALSE(bright_near(120, 60)) << "elsewhere";
    gst_buffer_unmap(buffer.get(), &map);
  }
}

TEST_F(Upstream, OverlayDrawsOurOrientedBoxesTurned) {
  if (!has("objectdetectionoverlay")) GTEST_SKIP() << "no objectdetectionoverlay";
  ResultWriter writer;
  const auto buffers =
      run(std::string(source) + "! objectdetectionoverlay draw-labels=false ! appsink name=sink sync=false",
          [&](GstBuffer* buffer) {
            Frame frame;
            // 80×20 pixels about the centre of the frame, upright after a quarter turn.
            Region turned{
                .id = -1, .box = {0.25f, 50 / 120.f, 0.5f, 20 / 120.f}, .angle = 1.5707964f, .confidence = 1};
            frame.regions = {turned};
            writer.write(buffer, size, {}, nullptr, frame);
            return buffer;
          });
  ASSERT_FALSE(buffers.empty());
  GstMapInfo map;
  ASSERT_TRUE(gst_buffer_map(buffers[0].get(), &map, GST_MAP_READ));
  int left = 160, right = 0, top = 120, bottom = 0;
  for (int y = 0; y < 120; ++y)
    for (int x = 0; x < 160; ++x)
      if (map.data[(y * 160 + x) * 4] > 60)
        left = std::min(left, x), right = std::max(right, x), top = std::min(top, y),
        bottom = std::max(bottom, y);
  gst_buffer_unmap(buffers[0].get(), &map);
  EXPECT_NEAR(right - left, 20, 6) << left << ".." << right;
  EXPECT_NEAR(bottom - top, 80, 6) << top << ".." << bottom;
}

TEST_F(Upstream, RegionsOfOlderElementsAreClassified) {
  const char* models = std::getenv("SIGHTGLASS_TEST_MODELS");
  if (!models || !has("object_classify")) GTEST_SKIP() << "no models, or no plug-in";
  const auto buffers =
      run("videotestsrc num-buffers=3 pattern=red ! video/x-raw,format=BGR,width=160,height=120 ! identity "
          "name=here "
          "! object_classify model=" +
              std::string(models) + "/mood.onnx ! appsink name=sink sync=false",
          [](GstBuffer* buffer) {
            gst_buffer_add_video_region_of_interest_meta(buffer, "face", 40, 30, 60, 60);
            return buffer;
          });
  ASSERT_EQ(buffers.size(), 3u);
  for (const auto& buffer : buffers) {
    Frame frame;
    read_results(buffer.get(), size, frame);
    ASSERT_EQ(frame.regions.size(), 1u);
    EXPECT_EQ(frame.regions[0].label.view(), "face");
    EXPECT_FLOAT_EQ(frame.regions[0].box.x, 0.25f);
    const Attribute* mood = frame.regions[0].attributes ? frame.regions[0].attributes->find("mood") : nullptr;
    ASSERT_TRUE(mood);
    EXPECT_EQ(mood->text, "glad");
  }
}

TEST_F(Upstream, ObjectsOfTheAnalyticsLibraryAreTracked) {
  if (!has("object_track")) GTEST_SKIP() << "no plug-in";
  int frames = 0;
  const auto buffers =
      run(std::string(source) + "! object_track ! appsink name=sink sync=false", [&](GstBuffer* buffer) {
        auto* meta = gst_buffer_add_analytics_relation_meta(buffer);
        GstAnalyticsODMtd od;
        gst_analytics_relation_meta_add_od_mtd(meta, g_quark_from_string("cup"), 40 + frames++, 30, 40, 40,
                                               .9f, &od);
        return buffer;
      });
  ASSERT_EQ(buffers.size(), 3u);
  for (const auto& buffer : buffers) {
    auto* meta = gst_buffer_get_analytics_relation_meta(buffer.get());
    GstAnalyticsMtd tracking;
    gpointer state = nullptr;
    ASSERT_TRUE(gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_tracking_mtd_get_mtd_type(),
                                                    &tracking));
    guint64 id = 0;
    GstClockTime first = 0, last = 0;
    gboolean lost = TRUE;
    gst_analytics_tracking_mtd_get_info(reinterpret_cast<GstAnalyticsTrackingMtd*>(&tracking), &id, &first,
                                        &last, &lost);
    EXPECT_EQ(id, 1u);
    EXPECT_FALSE(lost);
    EXPECT_EQ(first, 0u) << "of the track, not of the frame";
    EXPECT_EQ(last, GST_BUFFER_PTS(buffer.get()));
  }
}

}  // namespace
}  // namespace sightglass::gst
