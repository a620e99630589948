// Streams that the hardware cannot decode, and hardware that goes away; with a stand-in that calls itself
// NVIDIA's decoder: software, behind what that one says it takes.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>

#include "sightglass/module/decoder_table.h"
#include "sightglass/module/instance_test_support.h"
#include "sightglass/module/running_module.h"

namespace sightglass::module::testing {
namespace {

using ::testing::HasSubstr;

// What the stand-in does, and what has been done with it.
struct Hardware {
  std::atomic<bool> is_gone{false};    // it does not start
  std::atomic<bool> goes_away{false};  // it breaks at the next picture, and is gone
  std::atomic<unsigned> pictures{0}, surfaces{0};
} hardware;

struct StandIn {
  GstBin base;
};
struct StandInClass {
  GstBinClass base;
};
G_DEFINE_TYPE(StandIn, stand_in, GST_TYPE_BIN)

constexpr const char* taken =
    "video/x-h264,profile={high,main,constrained-high,constrained-baseline,baseline,progressive-high}";

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  if (change == GST_STATE_CHANGE_NULL_TO_READY && hardware.is_gone) {
    GST_ELEMENT_ERROR(element, LIBRARY, INIT, ("the device is gone"), (nullptr));
    return GST_STATE_CHANGE_FAILURE;
  }
  return GST_ELEMENT_CLASS(stand_in_parent_class)->change_state(element, change);
}

GstPadProbeReturn see_picture(GstPad*, GstPadProbeInfo*, gpointer self) {
  if (hardware.goes_away.exchange(false)) {
    hardware.is_gone = true;
    GST_ELEMENT_ERROR(self, STREAM, DECODE, ("the device is gone"), (nullptr));
    return GST_PAD_PROBE_DROP;
  }
  ++hardware.pictures;
  return GST_PAD_PROBE_OK;
}

void stand_in_class_init(StandInClass* klass) {
  GST_ELEMENT_CLASS(klass)->change_state = change_state;
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Stand-in", "Decoder/Video", "Test", "");
  G_OBJECT_CLASS(klass)->set_property = [](GObject*, guint, const GValue* value, GParamSpec*) {
    hardware.surfaces = g_value_get_uint(value);
  };
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), 1,
      g_param_spec_uint("num-output-surfaces", nullptr, nullptr, 0, 64, 0, G_PARAM_WRITABLE));
}

void stand_in_init(StandIn* self) {
  GError* error = nullptr;
  auto* inside = gst_parse_bin_from_description(
      (std::string("capsfilter caps=\"") + taken + "\" ! avdec_h264 max-threads=1").c_str(), TRUE, &error);
  ASSERT_EQ(error, nullptr) << error->message;
  gst_bin_add(GST_BIN(self), inside);
  for (const char* name : {"sink", "src"}) {
    const gst::PadPtr pad(gst_element_get_static_pad(inside, name));
    gst_element_add_pad(GST_ELEMENT(self), gst_ghost_pad_new(name, pad.get()));
    if (std::string_view(name) == "src")
      gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, see_picture, self, nullptr);
  }
}

class DecoderFallback : public ModuleFixture {
 protected:
  static constexpr int width = 128, height = 96, frames = 12;

  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    ASSERT_TRUE(gst_element_register(nullptr, "nvh264dec", GST_RANK_NONE, stand_in_get_type()));
  }
  void SetUp() override {
    hardware.is_gone = hardware.goes_away = false;
    hardware.pictures = hardware.surfaces = 0;
  }
  static std::vector<Unit> encoded(const std::string& format) {
    return encode("videoconvert ! video/x-raw,format=" + format + " ! " + h264, width, height, frames,
                  [](int i) { return std::vector<Square>{person_at(8 + i, 20)}; });
  }
  void push(Writer& writer, const Unit& unit) {
    const std::string_view bytes(reinterpret_cast<const char*>(unit.bytes.data()), unit.bytes.size());
    ModuleFixture::push(writer.frame(unit.keyframe, bytes));
  }
  void push_all(Writer& writer, const std::vector<Unit>& units) {
    for (const Unit& unit : units) push(writer, unit);
  }
  std::string decoder_warning() const {
    for (const ElementState& element : module->status().elements)
      if (element.name == "decoder") return element.last_warning;
    return {};
  }
};

TEST_F(DecoderFallback, WhatTheHardwareDecodesStaysThereWithinItsBound) {
  start();
  Writer cam("cam", "h264", width, height);
  push_all(cam, encoded("I420"));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam") == size_t(frames); }))
      << recorder->story("cam");
  EXPECT_EQ(hardware.pictures, unsigned(frames));
  EXPECT_EQ(hardware.surfaces, 8u);
  EXPECT_EQ(status_of(*module, "cam").decoder_fallbacks, 0u);
  EXPECT_EQ(decoder_warning(), "");
}

TEST_F(DecoderFallback, WhatTheHardwareDoesNotTakeIsDecodedBySoftware) {
  start();
  Writer plain("plain", "h264", width, height);
  const auto good = encoded("I420");
  push_all(plain, good);
  ASSERT_TRUE(eventually([&] { return recorder->frames("plain") == size_t(frames); }));
  for (const char* format : {"Y444", "Y42B", "I420_10LE"}) {
    SCOPED_TRACE(format);
    const auto units = encoded(format);
    ASSERT_EQ(units.size(), size_t(frames)) << "x264 has it";
    Writer cam(format, "h264", width, height);
    push_all(cam, units);
    ASSERT_TRUE(eventually([&] { return recorder->frames(format) == size_t(frames); }))
        << recorder->story(format);
    EXPECT_EQ(status_of(*module, format).decoder_fallbacks, 1u);
    EXPECT_THAT(decoder_warning(), HasSubstr(std::string("stream ") + format));
    EXPECT_THAT(decoder_warning(), HasSubstr("avdec_h264 takes the place of nvh264dec"));
  }
  EXPECT_EQ(hardware.pictures, unsigned(frames)) << "of the stream that it takes, alone";
  EXPECT_EQ(status_of(*module, "plain").decoder_fallbacks, 0u);
}

TEST_F(DecoderFallback, ADeviceThatGoesAwayEndsAnEpochAndTheNextOneRunsOnTheCpu) {
  auto spec = quick_spec();
  start(spec);
  Writer cam("cam", "h264", width, height);
  const auto units = encoded("I420");
  push_all(cam, units);
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam") == size_t(frames); }));
  hardware.goes_away = true;
  push_all(cam, units);
  ASSERT_TRUE(eventually([&] { return hardware.is_gone.load(); }));
  // It comes back by itself, at a keyframe.
  ASSERT_TRUE(eventually([&] {
    if (recorder->frames("cam") >= size_t(2 * frames)) return true;
    push_all(cam, units);
    return false;
  })) << recorder->story("cam");
  EXPECT_GE(status_of(*module, "cam").decoder_fallbacks, 1u);
  EXPECT_THAT(decoder_warning(), HasSubstr("avdec_h264 takes the place of nvh264dec: the device is gone"));
}

TEST_F(DecoderFallback, SoftwareComesBeforeOtherHardware) {
  const auto choices = decoder_table("h264");
  ASSERT_GE(choices.size(), 2u);
  EXPECT_EQ(choices[0].elements.back().element, "nvh264dec");
  EXPECT_EQ(choices[1].elements.back().element, "avdec_h264");
  const std::string named[] = {"h264=avdec_h264"};
  EXPECT_EQ(decoder_table("h264", named)[0].elements.back().element, "avdec_h264");
  EXPECT_EQ(decoder_table("h264", named)[1].memory == MemoryKind::cuda,
            decoder_table("h264", named).size() == 2);
}

}  // namespace
}  // namespace sightglass::module::testing
