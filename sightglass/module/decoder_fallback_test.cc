// Streams that the hardware cannot decode, hardware that goes away, and several of it; with stand-ins that
// call themselves NVIDIA's decoders: software, behind what those say they take.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>

#include "sightglass/model/engine.h"
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
  std::atomic<unsigned> decoders[2]{};  // that there are, by device
} hardware;

struct StandIn {
  GstBin base;
};
struct StandInClass {
  GstBinClass base;
};
G_DEFINE_TYPE(StandIn, stand_in, GST_TYPE_BIN)

using SecondStandIn = StandIn;
using SecondStandInClass = StandInClass;
G_DEFINE_TYPE(SecondStandIn, second_stand_in, stand_in_get_type())
void second_stand_in_class_init(StandInClass*) {}
void second_stand_in_init(StandIn*) {}

guint device_of(gpointer decoder) {
  return G_TYPE_CHECK_INSTANCE_TYPE(decoder, second_stand_in_get_type()) ? 1 : 0;
}

constexpr const char* taken =
    "video/x-h264,profile={high,main,constrained-high,constrained-baseline,baseline,progressive-high}";

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  if (change == GST_STATE_CHANGE_NULL_TO_READY && hardware.is_gone) {
    GST_ELEMENT_ERROR(element, LIBRARY, INIT, ("the device is gone"), (nullptr));
    return GST_STATE_CHANGE_FAILURE;
  }
  if (change == GST_STATE_CHANGE_NULL_TO_READY) ++hardware.decoders[device_of(element)];
  if (change == GST_STATE_CHANGE_READY_TO_NULL) --hardware.decoders[device_of(element)];
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
  G_OBJECT_CLASS(klass)->get_property = [](GObject* self, guint, GValue* value, GParamSpec*) {
    g_value_set_uint(value, device_of(self));
  };
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), 1,
      g_param_spec_uint("num-output-surfaces", nullptr, nullptr, 0, 64, 0, G_PARAM_WRITABLE));
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), 2,
      g_param_spec_uint("cuda-device-id", nullptr, nullptr, 0, 64, 0, G_PARAM_READABLE));
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
    ASSERT_TRUE(gst_element_register(nullptr, "nvh264device1dec", GST_RANK_NONE, second_stand_in_get_type()));
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

// Devices by name, on which models run on the CPU all the same.
class NamedDevices final : public Engine {
 public:
  std::atomic<bool> is_asked{false};

  std::string_view name() const override { return "named devices"; }
  bool reads(const std::filesystem::path& path) const override {
    return is_asked && path.extension() == ".onnx";
  }
  Result<EngineInfo> info() override { return onnx().info(); }
  Status check_device(std::string_view) override { return {}; }
  Result<std::vector<std::string>> devices(std::string_view) override {
    return std::vector<std::string>{"CUDA:0", "CUDA:1"};
  }
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path& model,
                                            const LoadOptions& options) override {
    LoadOptions on_cpu = options;
    on_cpu.device = "CPU";
    return onnx().load(model, on_cpu);
  }

 private:
  static Engine& onnx() { return *find_engine("onnxruntime"); }
};

class DecoderDevices : public DecoderFallback {
 protected:
  void SetUp() override {
    DecoderFallback::SetUp();
    if (test_model("det").empty()) GTEST_SKIP() << "no test models";
    static const EngineRegistration registration(engine);
    engine.is_asked = true;
  }
  void TearDown() override {
    DecoderFallback::TearDown();
    engine.is_asked = false;
  }
  static ModuleSpec detecting_on(const std::string& device) {
    ModuleSpec spec = quick_spec();
    spec.models = {{"objects", {.path = test_model("det"), .device = device}}};
    spec.pipeline.elements = {{.name = "finder", .type = "detector", .model = "objects"}};
    return spec;
  }
  static inline NamedDevices engine;
};

TEST_F(DecoderDevices, StreamsAreDecodedOnAllDevicesThatTheModelRunsOn) {
  start(detecting_on("CUDA:*"));
  const auto units = encoded("I420");
  std::vector<Writer> writers;
  for (unsigned i = 0; i < 4; ++i) {
    const std::string name = "cam" + std::to_string(i);
    push_all(writers.emplace_back(name, "h264", width, height), units);
    ASSERT_TRUE(eventually([&] { return recorder->frames(name) == size_t(frames); }))
        << recorder->story(name);
    EXPECT_EQ(hardware.decoders[0], i / 2 + 1);
    EXPECT_EQ(hardware.decoders[1], (i + 1) / 2);
  }
  EXPECT_EQ(hardware.pictures, unsigned(4 * frames));
  // One that ends leaves room where it was: the next one goes there.
  ModuleFixture::push(writers[1].end());
  ASSERT_TRUE(eventually([&] { return hardware.decoders[1] == 1; })) << recorder->story("cam1");
  Writer next("next", "h264", width, height);
  push_all(next, units);
  ASSERT_TRUE(eventually([&] { return recorder->frames("next") == size_t(frames); }));
  EXPECT_EQ(hardware.decoders[0], 2u);
  EXPECT_EQ(hardware.decoders[1], 2u);
}

TEST_F(DecoderDevices, OfAModelOnOneDeviceStreamsAreDecodedThere) {
  for (const auto& [device, decoder] :
       {std::pair("CUDA:1", "nvh264device1dec (h264)"), std::pair("CUDA:0", "nvh264dec (h264)"),
        std::pair("CPU", "nvh264dec (h264)")}) {
    const auto pipeline = prepare_template(detecting_on(device), {.on_progress = {}, .load_models = false});
    ASSERT_TRUE(pipeline) << pipeline.error().message;
    EXPECT_EQ(explain(**pipeline)[1].type, decoder) << device;
  }
}

TEST_F(DecoderDevices, OfSeveralModelsStreamsAreDecodedWhereAllOfThemAre) {
  for (const auto& [first, second] : {std::pair("CUDA:*", "CUDA:1"), std::pair("CUDA:1", "CUDA:*"),
                                      std::pair("CPU", "CUDA:1"), std::pair("CUDA:1", "CUDA:0")}) {
    ModuleSpec spec = detecting_on(first);
    spec.models.push_back({"others", {.path = test_model("det"), .device = second}});
    spec.pipeline.elements.push_back({.name = "other", .type = "detector", .model = "others"});
    const auto pipeline = prepare_template(spec, {.on_progress = {}, .load_models = false});
    ASSERT_TRUE(pipeline) << pipeline.error().message;
    EXPECT_EQ(explain(**pipeline)[1].type, "nvh264device1dec (h264)") << first << ' ' << second;
  }
}

TEST_F(DecoderFallback, TheDecoderIsThatOfTheDevice) {
  EXPECT_EQ(decoder_table("h264", {}, 1)[0].elements.back().element, "nvh264device1dec");
  EXPECT_EQ(decoder_table("h264", {}, 1).size(), decoder_table("h264").size());
  // Of a device that has none the first one's is left.
  EXPECT_EQ(decoder_table("h264", {}, 2)[0].elements.back().element, "nvh264dec");
  const std::string named[] = {"h264=nvh264dec"};
  EXPECT_EQ(decoder_table("h264", named, 1)[0].elements.back().element, "nvh264dec");
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
