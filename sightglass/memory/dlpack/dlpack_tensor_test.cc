#include "sightglass/memory/dlpack/dlpack_tensor.h"

#include <dlpack/dlpack.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// A tensor of another framework, which counts how often its deleter is called.
template <class Managed = DLManagedTensor>
struct Foreign {
  std::vector<float> values = std::vector<float>(24);
  int64_t shape[9] = {2, 3, 4, 1, 1, 1, 1, 1, 1};
  int64_t strides[9] = {12, 4, 1, 1, 1, 1, 1, 1, 1};
  int deleted = 0;
  Managed managed{};

  Foreign() {
    for (size_t i = 0; i < values.size(); ++i) values[i] = float(i);
    DLTensor& tensor = managed.dl_tensor;
    tensor.data = values.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 3;
    tensor.dtype = {kDLFloat, 32, 1};
    tensor.shape = shape;
    tensor.strides = strides;
    managed.manager_ctx = this;
    managed.deleter = [](Managed* self) { ++static_cast<Foreign*>(self->manager_ctx)->deleted; };
    if constexpr (requires { managed.version; }) managed.version = {1, 0};
  }
  DLTensor& tensor() { return managed.dl_tensor; }
};

TEST(FromDlpack, SharesTheBytesAndDeletesOnce) {
  Foreign foreign;
  auto tensor = from_dlpack(&foreign.managed);
  ASSERT_TRUE(tensor) << tensor.error().message;
  EXPECT_EQ(tensor->memory->kind(), MemoryKind::system);
  EXPECT_EQ(tensor->strides, (Shape{48, 16, 4}));
  {
    auto mapping = map(*tensor, Access::read_write);
    ASSERT_TRUE(mapping);
    EXPECT_EQ(reinterpret_cast<float*>(mapping->data()), foreign.values.data());
    *tensor = {};
    EXPECT_EQ(foreign.deleted, 0) << "while it is mapped";
    EXPECT_EQ(mapping->as<float>()[23], 23.f);
  }
  EXPECT_EQ(foreign.deleted, 1);
}

TEST(FromDlpack, KnowsStridesOffsetsAndScalars) {
  Foreign foreign;
  foreign.tensor().strides = nullptr;  // dense
  foreign.tensor().byte_offset = 48;
  foreign.shape[0] = 1;
  EXPECT_EQ(map(*from_dlpack(&foreign.managed), Access::read)->as<float>()[0], 12.f);
  Foreign every_other;
  every_other.shape[2] = 2;
  every_other.strides[2] = 2;
  auto tensor = from_dlpack(&every_other.managed);
  ASSERT_TRUE(tensor);
  EXPECT_EQ(tensor->strides, (Shape{48, 16, 8}));
  EXPECT_EQ(tensor->memory->size(), 23 * 4u) << "to the last element, not to the end of its row";
  Foreign scalar;
  scalar.tensor().ndim = 0;
  EXPECT_EQ(from_dlpack(&scalar.managed)->shape, Shape{1});
}

TEST(FromDlpack, KnowsEveryType) {
  struct {
    DLDataType type;
    DataType expected;
  } const cases[] = {{{kDLBfloat, 16, 1}, DataType::bf16}, {{kDLFloat, 16, 1}, DataType::f16},
                     {{kDLBool, 8, 1}, DataType::boolean}, {{kDLUInt, 8, 1}, DataType::u8},
                     {{kDLInt, 64, 1}, DataType::i64},     {{kDLUInt, 32, 1}, DataType::u32}};
  for (const auto& [type, expected] : cases) {
    Foreign foreign;
    foreign.values.resize(48);
    foreign.tensor().dtype = type;
    auto tensor = from_dlpack(&foreign.managed);
    ASSERT_TRUE(tensor);
    EXPECT_EQ(tensor->type, expected);
    auto back = to_dlpack(*tensor);
    ASSERT_TRUE(back);
    EXPECT_EQ((*back)->dl_tensor.dtype.code, type.code);
    EXPECT_EQ((*back)->dl_tensor.dtype.bits, type.bits);
    (*back)->deleter(*back);
  }
}

TEST(FromDlpack, LeavesWhatItRefusesToTheCaller) {
  const auto refused = [](auto change) {
    Foreign foreign;
    change(foreign);
    auto tensor = from_dlpack(&foreign.managed);
    EXPECT_FALSE(tensor);
    EXPECT_EQ(foreign.deleted, 0);
    return tensor ? ErrorCode::internal : tensor.error().code;
  };
  EXPECT_EQ(refused([](auto& f) { f.strides[1] = -4; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.tensor().data = nullptr; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& f) { f.tensor().ndim = 9; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.tensor().ndim = -1; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.tensor().shape = nullptr; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.shape[1] = -3; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.shape[1] = INT64_MAX; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.strides[0] = INT64_MAX; }), ErrorCode::corrupt);
  EXPECT_EQ(refused([](auto& f) { f.tensor().device.device_type = kDLVulkan; }), ErrorCode::unavailable);
  EXPECT_EQ(refused([](auto& f) { f.tensor().dtype.lanes = 4; }), ErrorCode::unsupported);
  EXPECT_EQ(refused([](auto& f) { f.tensor().dtype = {kDLComplex, 64, 1}; }), ErrorCode::unsupported);
  EXPECT_EQ(from_dlpack(static_cast<DLManagedTensor*>(nullptr)).error().code, ErrorCode::invalid_argument);
}

TEST(FromDlpack, HonoursReadOnlyAndVersion) {
  Foreign<DLManagedTensorVersioned> foreign;
  foreign.managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  auto tensor = from_dlpack(&foreign.managed);
  ASSERT_TRUE(tensor);
  EXPECT_TRUE(map(*tensor, Access::read));
  EXPECT_FALSE(map(*tensor, Access::write));
  *tensor = {};
  EXPECT_EQ(foreign.deleted, 1);
  Foreign<DLManagedTensorVersioned> later;
  later.managed.version.major = 2;
  EXPECT_EQ(from_dlpack(&later.managed).error().code, ErrorCode::unsupported);
  EXPECT_FALSE(from_dlpack(static_cast<DLManagedTensorVersioned*>(nullptr)));
}

TEST(FromDlpack, MayHaveNoDeleter) {
  Foreign foreign;
  foreign.managed.deleter = nullptr;
  EXPECT_TRUE(from_dlpack(&foreign.managed));
}

TEST(ToDlpack, KeepsTheMemoryUntilItsDeleterIsCalled) {
  auto memory = allocate_memory(200);
  std::byte* data = (*memory)->data();
  auto* watched = (*memory).get();
  Tensor tensor = tensor_in(*memory, {.type = DataType::f16, .shape = {2, 5}, .strides = {32, 2}}, 64);
  auto managed = to_dlpack(tensor);
  ASSERT_TRUE(managed) << managed.error().message;
  tensor = {};
  const MemoryRef kept = *memory;
  *memory = nullptr;
  EXPECT_FALSE(watched->unique());
  const DLTensor& out = (*managed)->dl_tensor;
  EXPECT_EQ(static_cast<std::byte*>(out.data) + out.byte_offset, data + 64);
  EXPECT_EQ(out.strides[0], 16) << "elements";
  EXPECT_EQ(out.strides[1], 1);
  (*managed)->deleter(*managed);
  EXPECT_TRUE(watched->unique());
}

TEST(ToDlpack, SaysWhatMayNotBeWritten) {
  const auto tensor = allocate_tensor({.type = DataType::i64, .shape = {3}});
  auto managed = to_dlpack_versioned(*tensor, Access::read);
  ASSERT_TRUE(managed);
  EXPECT_EQ((*managed)->version.major, 1u);
  EXPECT_EQ((*managed)->flags, DLPACK_FLAG_BITMASK_READ_ONLY);
  auto back = from_dlpack(*managed);
  ASSERT_TRUE(back);
  EXPECT_FALSE(map(*back, Access::write));
}

TEST(ToDlpack, RefusesWhatItCannotSay) {
  EXPECT_FALSE(to_dlpack({}));
  auto memory = allocate_memory(100);
  EXPECT_EQ(to_dlpack(tensor_in(*memory, {.type = DataType::f32, .shape = {2, 2}, .strides = {10, 4}}))
                .error()
                .code,
            ErrorCode::unsupported);
  EXPECT_EQ(to_dlpack(tensor_in(*memory, {.type = DataType::f32, .shape = {2, 2}, .strides = {-8, 4}}))
                .error()
                .code,
            ErrorCode::unsupported);
  EXPECT_EQ(to_dlpack(tensor_in(*memory, {.type = DataType::f32, .shape = {26}})).error().code,
            ErrorCode::corrupt);
  auto fence = make_ref<CompletionFence>();
  fence->set_error({ErrorCode::internal, "the run failed", {}, {}});
  (*memory)->set_fence(fence);
  EXPECT_EQ(to_dlpack(tensor_in(*memory, {.type = DataType::u8, .shape = {3}})).error().message,
            "the run failed");
}

TEST(Dlpack, OfCudaMemoryNeedsADevice) {
  Foreign foreign;
  foreign.tensor().device = {kDLCUDA, 0};
  if (cuda_devices() == 0) {
    EXPECT_EQ(from_dlpack(&foreign.managed).error().code, ErrorCode::unavailable);
    EXPECT_EQ(foreign.deleted, 0);
    GTEST_SKIP() << "no CUDA device";
  }
  auto memory = allocate_cuda(nullptr, 1000);
  ASSERT_TRUE(memory) << memory.error().message;
  Tensor tensor = tensor_in(*memory, {.type = DataType::f32, .shape = {3, 4}, .strides = {64, 4}}, 128);
  auto managed = to_dlpack(tensor);
  ASSERT_TRUE(managed) << managed.error().message;
  EXPECT_EQ((*managed)->dl_tensor.device.device_type, kDLCUDA);
  EXPECT_EQ(reinterpret_cast<uint64_t>((*managed)->dl_tensor.data), cuda_pointer(tensor));
  auto back = from_dlpack(*managed);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->memory->kind(), MemoryKind::cuda);
  EXPECT_EQ(cuda_pointer(*back), cuda_pointer(tensor));
}

TEST(DlpackMapper, SharesPicturesThereAndBack) {
  const VideoInfo video{.format = PixelFormat::nv12, .width = 5, .height = 3};
  auto frame = allocate_frame(video);
  ASSERT_TRUE(frame);
  CopyLedger ledger;
  const MapOptions strict{.hop = &ledger.hop("test"), .strict_zero_copy = true};
  auto mapped =
      map_to(*frame, {.form = {MemoryKind::dlpack, video.format}, .access = Access::read_write}, strict);
  ASSERT_TRUE(mapped) << mapped.error().message;
  const auto* managed = dlpack_tensor(mapped->frame().tensors[1]);
  ASSERT_TRUE(managed);
  EXPECT_EQ(managed->dl_tensor.data, map(frame->tensors[1], Access::read)->data());
  EXPECT_EQ(managed->dl_tensor.shape[1], 6);
  EXPECT_FALSE(dlpack_tensor(frame->tensors[1]));
  EXPECT_FALSE(dlpack_tensor({}));

  const Frame theirs = mapped->frame();
  auto back = map_to(theirs, {.form = {MemoryKind::system, video.format}, .access = Access::read}, strict);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->frame().tensors[1].memory, frame->tensors[1].memory);
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
}

}  // namespace
}  // namespace sightglass
