#include "sightglass/gst/tensor_meta.h"

#include <gst/analytics/analytics.h>
#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/model/tensor_ids.h"

namespace sightglass::gst {
namespace {

Attribute raw(const char* name, const char* model, Tensor tensor) {
  Attribute attribute{.name = Label(name), .kind = AttributeKind::tensor};
  attribute.tensor = std::move(tensor);
  attribute.model = Label(model);
  return attribute;
}

class TensorMeta : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }

  // first ! … ; false where one is not installed.
  bool link(std::initializer_list<const char*> factories) {
    pipeline.reset(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
    GstElement* last = nullptr;
    for (const char* factory : factories) {
      auto* element = gst_element_factory_make(factory, nullptr);
      if (!element) return false;
      gst_bin_add(GST_BIN(pipeline.get()), element);
      if (last && !gst_element_link(last, element)) return false;
      if (!last) source.reset(gst_element_get_static_pad(element, "src"));
      last = element;
    }
    return true;
  }

  ElementPtr pipeline;
  PadPtr source;
  BufferPtr buffer{gst_buffer_new()};
};

TEST_F(TensorMeta, IsWantedByDecodersAtOnceOrBehindQueues) {
  if (!link({"videoconvert", "ssdobjectdetector"})) GTEST_SKIP() << "no ssdobjectdetector";
  EXPECT_TRUE(wants_tensors(source.get()));
  ASSERT_TRUE(link({"videoconvert", "queue", "identity", "ssdobjectdetector"}));
  EXPECT_TRUE(wants_tensors(source.get()));
  ASSERT_TRUE(link({"videoconvert", "videoconvert", "ssdobjectdetector"}));
  EXPECT_FALSE(wants_tensors(source.get())) << "videoconvert loses them";
  ASSERT_TRUE(link({"videoconvert", "fakesink"}));
  EXPECT_FALSE(wants_tensors(source.get()));
  ASSERT_TRUE(link({"videoconvert"}));
  EXPECT_FALSE(wants_tensors(source.get()));
}

TEST_F(TensorMeta, IsFoundOutsideOfTheBinOfTheSource) {
  ElementPtr outer(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
  auto* bin = gst_parse_bin_from_description("videoconvert name=inner", TRUE, nullptr);
  auto* detector = gst_element_factory_make("ssdobjectdetector", nullptr);
  if (!detector) GTEST_SKIP() << "no ssdobjectdetector";
  gst_bin_add_many(GST_BIN(outer.get()), bin, detector, nullptr);
  ASSERT_TRUE(gst_element_link(bin, detector));
  ElementPtr inner(gst_bin_get_by_name(GST_BIN(bin), "inner"));
  PadPtr pad(gst_element_get_static_pad(inner.get(), "src"));
  EXPECT_TRUE(wants_tensors(pad.get()));
}

TEST_F(TensorMeta, HoldsTheTensorsOfEachModelUnderTheIdsOfItsMetadata) {
  if (!link({"videoconvert", "ssdobjectdetector"})) GTEST_SKIP() << "no ssdobjectdetector";
  ModelSignature signature;
  signature.outputs = {{.name = "boxes"}, {.name = "count"}};
  signature.metadata = {{"boxes", "Gst.Model.ObjectDetector.Boxes"}};
  remember_tensor_ids("ssd", signature);
  Frame frame;
  frame.attributes =
      with(nullptr, raw("ssd/boxes", "ssd", test::tensor<float>({1, 2, 4}, {0, 1, 2, 3, 4, 5, 6, 7})));
  frame.attributes = with(frame.attributes,
                          raw("other/out", "other", test::tensor<uint8_t>({2}, {1, 0}, DataType::boolean)));
  frame.attributes = with(frame.attributes, raw("ssd/count", "ssd", test::tensor<float>({1}, {2})));
  write_tensor_metas(source.get(), frame, buffer.get());

  const GQuark boxes_id = g_quark_from_string("Gst.Model.ObjectDetector.Boxes");
  std::vector<GstTensorMeta*> metas;
  gpointer state = nullptr;
  while (auto* meta = gst_buffer_iterate_meta_filtered(buffer.get(), &state, GST_TENSOR_META_API_TYPE))
    metas.push_back(reinterpret_cast<GstTensorMeta*>(meta));
  ASSERT_EQ(metas.size(), 2u);
  if (gst_tensor_meta_get_index_from_id(metas[0], boxes_id) < 0) std::swap(metas[0], metas[1]);
  auto* meta = metas[0];
  ASSERT_EQ(meta->num_tensors, 2u);
  ASSERT_EQ(gst_tensor_meta_get_index_from_id(meta, boxes_id), 0);
  const GstTensor* tensor = gst_tensor_meta_get(meta, 0);
  EXPECT_EQ(tensor->data_type, GST_TENSOR_DATA_TYPE_FLOAT32);
  ASSERT_EQ(tensor->num_dims, 3u);
  EXPECT_EQ(tensor->dims[2], 4u);
  float values[8];
  ASSERT_EQ(gst_buffer_extract(tensor->data, 0, values, sizeof values), sizeof values);
  EXPECT_EQ(values[7], 7);
  EXPECT_GE(gst_tensor_meta_get_index_from_id(meta, g_quark_from_string("ssd/count")), 0)
      << "no entry: its own name";
  ASSERT_EQ(metas[1]->num_tensors, 1u);
  EXPECT_EQ(gst_tensor_meta_get(metas[1], 0)->data_type, GST_TENSOR_DATA_TYPE_UINT8)
      << "bool has no type of its own";

  // What comes back is known already.
  Frame again;
  again.attributes = frame.attributes;
  read_tensor_metas(buffer.get(), again);
  EXPECT_EQ(again.attributes, frame.attributes);
}

TEST_F(TensorMeta, IsNotWrittenWhereNobodyWantsIt) {
  ASSERT_TRUE(link({"videoconvert", "fakesink"}));
  Frame frame;
  frame.attributes = with(nullptr, raw("m/out", "m", test::tensor<float>({1}, {2})));
  write_tensor_metas(source.get(), frame, buffer.get());
  EXPECT_FALSE(gst_buffer_get_tensor_meta(buffer.get()));
}

TEST_F(TensorMeta, OfOtherElementsIsReadWithoutACopy) {
  auto* data = gst_buffer_new_allocate(nullptr, 24, nullptr);
  GstMapInfo info;
  gst_buffer_map(data, &info, GST_MAP_WRITE);
  for (int i = 0; i < 6; ++i) reinterpret_cast<float*>(info.data)[i] = float(i);
  const auto* bytes = reinterpret_cast<const std::byte*>(info.data);
  gst_buffer_unmap(data, &info);
  gsize dims[] = {2, 3};
  auto** list = g_new(GstTensor*, 1);
  list[0] = gst_tensor_new_simple(g_quark_from_string("features"), GST_TENSOR_DATA_TYPE_FLOAT32, data,
                                  GST_TENSOR_DIM_ORDER_ROW_MAJOR, 2, dims);
  gst_tensor_meta_set(gst_buffer_add_tensor_meta(buffer.get()), 1, list);
  Frame frame;
  read_results(buffer.get(), {640, 480}, frame);
  const Attribute* found = frame.attributes ? frame.attributes->find("features") : nullptr;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tensor.shape, (Shape{2, 3}));
  auto mapping = map(found->tensor, Access::read);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->data(), bytes);
  buffer.reset();
  EXPECT_EQ(mapping->as<const float>()[5], 5) << "it outlives the buffer";
}

TEST_F(TensorMeta, OfOtherElementsThatIsTooSmallForItsShapeIsLeftOut) {
  gsize dims[] = {2, 3};
  auto** list = g_new(GstTensor*, 1);
  list[0] = gst_tensor_alloc(2);
  list[0]->id = g_quark_from_string("short");
  list[0]->data_type = GST_TENSOR_DATA_TYPE_FLOAT32;
  list[0]->data = gst_buffer_new_allocate(nullptr, 8, nullptr);
  list[0]->dims_order = GST_TENSOR_DIM_ORDER_ROW_MAJOR;
  std::copy(dims, dims + 2, list[0]->dims);
  gst_tensor_meta_set(gst_buffer_add_tensor_meta(buffer.get()), 1, list);
  Frame frame;
  read_results(buffer.get(), {640, 480}, frame);
  EXPECT_FALSE(frame.attributes);
}

}  // namespace
}  // namespace sightglass::gst
