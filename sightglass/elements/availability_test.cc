#include "sightglass/elements/availability.h"

#include <gmock/gmock.h>

#include "sightglass/core/element.h"
#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

TEST(Availability, IsOneLineThatNamesWhatWasAskedWhatIsMissingAndWhatIsUsable) {
  const Error error =
      availability_error("pre-process-backend=vaapi-opencl",
                         {"no VA display (no render node)", "no OpenCL runtime"}, {"fused", "gst-opencv"});
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_EQ(
      error.message,
      "pre-process-backend=vaapi-opencl is not usable: no VA display (no render node), no OpenCL runtime; "
      "usable: fused, gst-opencv");
}

TEST(Availability, LeavesOutWhatThereIsNothingToSayOf) {
  EXPECT_EQ(availability_error("vaapi_sync", {"no VA display"}).message,
            "vaapi_sync is not usable: no VA display");
  EXPECT_EQ(availability_error("device=NPU", {}).message, "device=NPU is not usable");
}

TEST(Availability, OfEveryFacilityIsThereOrSaysWhatIsMissing) {
  for (const Facility facility :
       {Facility::va_display, Facility::opencl, Facility::cuda, Facility::openvino}) {
    const std::string text = missing(facility);
    EXPECT_THAT(text, testing::AnyOf("", testing::StartsWith("no "))) << to_string(facility);
    EXPECT_EQ(missing({facility}).size(), text.empty() ? 0u : 1u);
  }
}

std::string error_of(std::string_view name,
                     std::initializer_list<std::pair<const char*, const char*>> set = {}) {
  const ElementDesc* desc = find_element(name);
  if (!desc) return "no element";
  ParamSet params(desc->params);
  for (const auto& [key, value] : set) EXPECT_TRUE(params.set_text(key, value));
  auto element = desc->create(params);
  return element ? "no error" : element.error().message;
}

TEST(Availability, OfElementsWithoutCodeIsAnErrorAtTheStartThatNamesWhatIsUsable) {
  for (const char* name : {"vaapi_batch_proc", "vaapi_sync", "vaapi_to_opencl", "openvino_video_inference"}) {
    EXPECT_THAT(error_of(name), testing::StartsWith(std::string(name) + " is not usable: "));
    EXPECT_THAT(error_of(name), testing::HasSubstr("; usable: "));
  }
}

TEST(Availability, OfOpenvinoIsAnErrorForItsOwnModelsAndAWarningForOnnx) {
  EXPECT_THAT(error_of("openvino_tensor_inference", {{"model", "face.xml"}}),
              testing::AllOf(testing::StartsWith("model=face.xml is not usable: no OpenVINO"),
                             testing::HasSubstr("usable: a .onnx model")));
  const ElementDesc* desc = find_element("openvino_tensor_inference");
  ASSERT_TRUE(desc);
  ParamSet params(desc->params);
  ASSERT_TRUE(params.set_text("model", "face.onnx"));
  ASSERT_TRUE(params.set_text("config", "PERFORMANCE_HINT=LATENCY,intra_op_num_threads=1"));
  auto element = desc->create(params);
  ASSERT_TRUE(element) << element.error().message;
  const auto warnings = (*element)->take_warnings();
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], testing::HasSubstr("ONNX Runtime"));
  EXPECT_THAT(warnings[0], testing::EndsWith("ignored: PERFORMANCE_HINT=LATENCY"));
}

}  // namespace
}  // namespace sightglass
