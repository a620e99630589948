#include "sightglass/model/onnx/onnx_tensor.h"

#include <gtest/gtest.h>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/onnx/onnx_library.h"

namespace sightglass {
namespace {

class OnnxTensorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  }
  // A value with memory of its own that counts up.
  static Ort::Value counting(std::initializer_list<int64_t> shape) {
    Ort::AllocatorWithDefaultOptions allocator;
    auto value = Ort::Value::CreateTensor<float>(allocator, shape.begin(), shape.size());
    const size_t count = value.GetTensorTypeAndShapeInfo().GetElementCount();
    for (size_t i = 0; i < count; ++i) value.GetTensorMutableData<float>()[i] = float(i);
    return value;
  }
};

TEST_F(OnnxTensorTest, AValueIsATensorOverTheSameBytes) {
  auto value = counting({2, 3});
  const void* data = value.GetTensorRawData();
  Frame frame;
  frame.tensors = {*from_onnx(value.release())};
  EXPECT_EQ(form_of(frame), (Form{MemoryKind::onnx, {}}));
  CopyLedger ledger;
  const MapOptions strict{.hop = &ledger.hop("test"), .strict_zero_copy = true};
  auto mapped = map_to(frame, {.form = {MemoryKind::system, {}}}, strict);
  ASSERT_TRUE(mapped) << mapped.error().message;
  frame = {};
  auto mapping = map(mapped->frame().tensors[0], Access::read);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->data(), data);
  EXPECT_EQ(mapping->as<float>()[5], 5.f);
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
}

TEST_F(OnnxTensorTest, OurTensorIsAValueOverTheSameBytesAndComesBack) {
  auto block = allocate_memory(100);
  Frame frame;
  frame.tensors = {tensor_in(*block, {.type = DataType::bf16, .shape = {2, 4}}, 16)};
  auto mapped = map_to(frame, {.form = {MemoryKind::onnx, {}}, .access = Access::read_write},
                       {.strict_zero_copy = true});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const Frame theirs = mapped->frame();
  OrtValue* handle = onnx_value(theirs.tensors[0]);
  ASSERT_TRUE(handle);
  Ort::UnownedValue value(handle);
  EXPECT_EQ(value.GetTensorMutableRawData(), (*block)->data() + 16);
  EXPECT_EQ(value.GetTensorTypeAndShapeInfo().GetElementType(), ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16);
  EXPECT_EQ(value.GetTensorTypeAndShapeInfo().GetShape(), (std::vector<int64_t>{2, 4}));
  auto back = map_to(theirs, {.form = {MemoryKind::system, {}}});
  ASSERT_TRUE(back);
  EXPECT_EQ(back->frame().tensors[0].memory.get(), (*block).get());
  EXPECT_EQ(back->frame().tensors[0].offset, 16u);
  EXPECT_EQ(onnx_value(frame.tensors[0]), nullptr);
  EXPECT_EQ(onnx_value({}), nullptr);
}

TEST_F(OnnxTensorTest, GapsAreRefused) {
  auto block = allocate_memory(100);
  Frame frame;
  frame.tensors = {tensor_in(*block, {.type = DataType::u8, .shape = {2, 3}, .strides = {8, 1}})};
  EXPECT_EQ(map_to(frame, {.form = {MemoryKind::onnx, {}}}).error().code, ErrorCode::unsupported);
  frame.tensors = {tensor_in(*block, {.type = DataType::u8, .shape = {2, 3}, .strides = {-3, 1}})};
  EXPECT_FALSE(map_to(frame, {.form = {MemoryKind::onnx, {}}}));
  frame.tensors = {tensor_in(*block, {.type = DataType::u8, .shape = {101}})};
  EXPECT_EQ(map_to(frame, {.form = {MemoryKind::onnx, {}}}).error().code, ErrorCode::corrupt);
}

TEST_F(OnnxTensorTest, WhatIsRefusedStaysTheCallers) {
  EXPECT_EQ(from_onnx(nullptr).error().code, ErrorCode::invalid_argument);
  Ort::AllocatorWithDefaultOptions allocator;
  const int64_t one = 1;
  auto words = Ort::Value::CreateTensor(allocator, &one, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  EXPECT_EQ(from_onnx(static_cast<OrtValue*>(words)).error().code, ErrorCode::unsupported);
  EXPECT_TRUE(words.IsTensor());
  auto many = counting({1, 1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(from_onnx(static_cast<OrtValue*>(many)).error().code, ErrorCode::unsupported);
  EXPECT_EQ(from_onnx(counting({}).release())->shape, Shape{1});
}

}  // namespace
}  // namespace sightglass
