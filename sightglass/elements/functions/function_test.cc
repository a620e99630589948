#include "sightglass/elements/functions/function.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace sightglass {
namespace {

TEST(Functions, AllOfTheTableAreThere) {
  std::set<std::string> names;
  for (const FunctionDesc& desc : all_functions()) {
    names.insert(desc.name);
    EXPECT_FALSE(desc.doc.empty());
    ParamSet params(desc.params);
    EXPECT_TRUE(desc.make(params)) << desc.name;
    for (const ParamDesc& param : desc.params.params)
      EXPECT_FALSE(param.doc.empty()) << desc.name << param.name;
  }
  EXPECT_EQ(names, (std::set<std::string>{"letterbox", "crop_expand", "align_face_5pt", "warp_plate", "nms",
                                          "nms_rotated", "soft_nms", "top_k", "filter_size", "merge_tiles",
                                          "softmax", "l2_normalize", "smooth_attribute"}));
  EXPECT_EQ(find_function("nms")->hook, FunctionHook::decode);
  EXPECT_EQ(find_function("crop_expand")->hook, FunctionHook::region);
  EXPECT_EQ(find_function("nmss"), nullptr);
}

TEST(Functions, ListsAreRead) {
  auto made = make_functions(R"(["nms", {"top_k": {"k": 3, "per_class": true}}, {"l2_normalize": null}])",
                             "functions");
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 3u);
  EXPECT_EQ((*made)[1].desc->name, "top_k");
  EXPECT_EQ(make_functions("", "functions")->size(), 0u);
  EXPECT_EQ(make_functions("nms", "functions")->size(), 1u);
  EXPECT_EQ(make_functions(R"({"nms": {"iou_threshold": 0.3}})", "functions")->size(), 1u);
  const char* mixed = R"([{"crop_expand": {"factor": 1.2}}, "align_face_5pt"])";
  EXPECT_EQ(functions_of(mixed, "x", FunctionHook::region).value(), R"([{"crop_expand":{"factor":1.2}}])");
  EXPECT_EQ(functions_of(mixed, "x", FunctionHook::prepare).value(), R"([{"align_face_5pt":{}}])");
  EXPECT_EQ(functions_of(mixed, "x", FunctionHook::decode).value(), "");
}

std::string error(std::string_view json, std::optional<FunctionHook> hook = std::nullopt) {
  auto made = make_functions(json, "functions", hook);
  return made ? "no error" : made.error().message;
}

TEST(Functions, MistakesSayWhere) {
  EXPECT_TRUE(error(R"(["softnms"])")
                  .starts_with("functions[0]: there is no function 'softnms'; did you mean 'soft_nms'?"));
  EXPECT_EQ(
      error(R"([{"nms": {"iou_treshold": 0.5}}])"),
      "functions[0].nms.iou_treshold: there is no such parameter; did you mean 'iou_threshold'?; known: "
      "iou_threshold, per_class");
  EXPECT_EQ(error(R"([{"nms": {"iou_threshold": 2}}])"),
            "functions[0].nms.iou_threshold: iou-threshold: 2 is out of range (0 to 1)");
  EXPECT_TRUE(
      error(R"(["letterbox"])", FunctionHook::decode)
          .starts_with(
              "functions[0]: 'letterbox' is a function of the hook prepare, here stand those of decode"));
  for (const char* json :
       {"3", "[3]", R"([{"nms": 3}])", R"([{"nms": {}, "top_k": {}}])", R"([{"top_k": {"k": 0}}])",
        R"([{"top_k": {"k": "x"}}])", R"([{"align_face_5pt": {"size": [1, 2, 3]}}])",
        R"([{"soft_nms": {"method": "cubic"}}])", R"([{"nms": {"per_class": []}}])", "[{]"})
    EXPECT_NE(error(json), "no error") << json;
}

TEST(Functions, VectorsOfTheModelAreChanged) {
  auto made = make_functions(R"([{"softmax": {"temperature": 2}}, "l2_normalize"])", "functions");
  ASSERT_TRUE(made);
  Frame frame;
  frame.regions.emplace_back();
  const auto vector = [](const char* model, std::vector<float> values) {
    return Attribute{.name = Label("v"),
                     .kind = AttributeKind::vector,
                     .values = std::move(values),
                     .model = Label(model)};
  };
  frame.regions[0].attributes = with(with(nullptr, vector("mine", {2, 2})), vector("other", {3, 4}));
  frame.attributes = with(nullptr, vector("mine", {0, 0}));
  static_cast<DecodeFunction&>(*(*made)[0].function).run(frame, Label("mine"));
  EXPECT_EQ(frame.regions[0].attributes->items()[0].values, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(frame.regions[0].attributes->items()[1].values, (std::vector<float>{3, 4}));
  frame.attributes = with(nullptr, vector("mine", {0, 0}));
  auto& normalize = static_cast<DecodeFunction&>(*(*made)[1].function);
  normalize.run(frame, Label("mine"));
  EXPECT_NEAR(frame.regions[0].attributes->items()[0].values[0], std::sqrt(0.5), 1e-6);
  EXPECT_EQ(frame.attributes->items()[0].values, (std::vector<float>{0, 0}));
  EXPECT_EQ(normalize.counted(), 1u);
}

}  // namespace
}  // namespace sightglass
