// With the driver of tests/cuda, and without GStreamer's CUDA library.
#include "sightglass/memory/gst/gst_cuda.h"

#include <gmock/gmock.h>

#include <cstring>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapping.h"
#include "tests/cuda/driver_double.h"

namespace sightglass::gst {
namespace {

uint64_t copies() {
  for (const auto& entry : CopyLedger::process().snapshot())
    if (entry.name == "CUDA memory copied before it is drawn on") return entry.copies;
  return 0;
}

// Memory that calls itself that of GStreamer's CUDA elements.
struct SurfaceAllocator {
  GstAllocator base;
};
struct SurfaceAllocatorClass {
  GstAllocatorClass base;
};
struct Surface {
  GstMemory base;
  GObject* context;
  GstVideoInfo info;
  uint64_t address;
};
int last_flags = 0;
G_DEFINE_TYPE(SurfaceAllocator, surface_allocator, GST_TYPE_ALLOCATOR)
void surface_allocator_class_init(SurfaceAllocatorClass* klass) {
  klass->base.free = [](GstAllocator*, GstMemory* memory) { g_free(memory); };
}
void surface_allocator_init(SurfaceAllocator* self) {
  self->base.mem_type = "gst.cuda.memory";
  self->base.mem_map_full = [](GstMemory* memory, GstMapInfo* map, gsize) -> gpointer {
    std::memcpy(&last_flags, &map->flags, sizeof last_flags);  // GST_MAP_CUDA is no value of the enum
    return reinterpret_cast<gpointer>(reinterpret_cast<Surface*>(memory)->address);
  };
  self->base.mem_unmap_full = [](GstMemory*, GstMapInfo*) {};
  GST_OBJECT_FLAG_SET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

// A context of theirs, as far as its property goes.
struct DeviceContext {
  GObject base;
  int device;
};
struct DeviceContextClass {
  GObjectClass base;
};
G_DEFINE_TYPE(DeviceContext, device_context, G_TYPE_OBJECT)
void device_context_class_init(DeviceContextClass* klass) {
  klass->base.get_property = [](GObject* self, guint, GValue* value, GParamSpec*) {
    g_value_set_int(value, reinterpret_cast<DeviceContext*>(self)->device);
  };
  g_object_class_install_property(
      &klass->base, 1, g_param_spec_int("cuda-device-id", nullptr, nullptr, 0, 7, 0, G_PARAM_READABLE));
}
void device_context_init(DeviceContext*) {}

class GstCuda : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
  void SetUp() override {
    ASSERT_NE(test::cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
    gst_video_info_set_format(&info_, GST_VIDEO_FORMAT_NV12, 64, 32);
    auto block = allocate_cuda(nullptr, info_.size);
    ASSERT_TRUE(block) << block.error().message;
    block_ = *block;
  }
  void TearDown() override { test::cuda_double().heal(); }

  static Tensor whole(const MemoryRef& block) {
    Tensor tensor{.type = DataType::u8, .shape = {int64_t(block->size())}, .strides = {1}};
    tensor.memory = block;
    return tensor;
  }
  static void fill(const MemoryRef& block, int value) {
    auto mapped = map(whole(block), Access::write);
    ASSERT_TRUE(mapped);
    std::memset(mapped->data(), value, mapped->bytes());
  }
  static int first_byte(const MemoryRef& block) {
    auto mapped = map(whole(block), Access::read);
    return mapped ? int(mapped->as<uint8_t>()[0]) : -1;
  }
  BufferPtr buffer_of(GstMemory* memory) {
    BufferPtr buffer(gst_buffer_new());
    gst_buffer_append_memory(buffer.get(), memory);
    return buffer;
  }
  GstMemory* surface() {
    static auto* const allocator = GST_ALLOCATOR(g_object_new(surface_allocator_get_type(), nullptr));
    auto* made = g_new0(Surface, 1);
    gst_memory_init(&made->base, GstMemoryFlags(0), allocator, nullptr, info_.size, 0, 0, info_.size);
    made->info = info_;
    made->address = static_cast<CudaMemory&>(*block_).address();
    return &made->base;
  }

  GstVideoInfo info_;
  MemoryRef block_;
};

TEST_F(GstCuda, MemoryThatNobodyElseHoldsIsWrittenToAsItIs) {
  CudaWriting writing;
  const uint64_t before = copies();
  const BufferPtr theirs = buffer_of(surface());
  const BufferPtr buffer = buffer_of(wrap_memory(block_));
  const Memory* const block = std::exchange(block_, nullptr).get();
  ASSERT_TRUE(writing.own(buffer.get(), info_));
  EXPECT_EQ(unwrap_memory(gst_buffer_peek_memory(buffer.get(), 0)).get(), block);
  GstMemory* const memory = gst_buffer_peek_memory(theirs.get(), 0);
  ASSERT_TRUE(writing.own(theirs.get(), info_));
  EXPECT_EQ(gst_buffer_peek_memory(theirs.get(), 0), memory);
  EXPECT_EQ(copies(), before);
}

TEST_F(GstCuda, SharedMemoryOfOursIsCopiedOnTheDevice) {
  CudaWriting writing;
  fill(block_, 7);
  const BufferPtr buffer = buffer_of(wrap_memory(block_));
  for (int i = 0; i < 3; ++i) {
    const BufferPtr other(gst_buffer_copy(buffer.get()));
    const uint64_t before = copies();
    const auto owned = writing.own(other.get(), info_);
    ASSERT_TRUE(owned) << owned.error().message;
    EXPECT_EQ(copies(), before + 1);
    const MemoryRef copy = unwrap_memory(gst_buffer_peek_memory(other.get(), 0));
    ASSERT_TRUE(copy && copy != block_);
    EXPECT_EQ(first_byte(copy), 7);
    fill(copy, 9);
    EXPECT_EQ(first_byte(block_), 7);
  }
}

// Such as a model whose batch is not full yet, of which GStreamer knows nothing.
TEST_F(GstCuda, MemoryThatIsStillReadIsCopied) {
  CudaWriting writing;
  const BufferPtr buffer = buffer_of(wrap_memory(block_));
  ASSERT_TRUE(gst_buffer_is_all_memory_writable(buffer.get()));
  ASSERT_TRUE(writing.own(buffer.get(), info_));
  EXPECT_NE(unwrap_memory(gst_buffer_peek_memory(buffer.get(), 0)), block_);
}

TEST_F(GstCuda, ACopyThatFailsIsAnError) {
  CudaWriting writing;
  const BufferPtr theirs = buffer_of(surface());
  const BufferPtr buffer = buffer_of(wrap_memory(block_)), other(gst_buffer_copy(buffer.get()));
  test::cuda_double().fail("cuMemcpy2DAsync_v2", 1, test::device_gone);
  EXPECT_FALSE(writing.own(other.get(), info_));
  test::cuda_double().heal();
  EXPECT_TRUE(writing.own(other.get(), info_));
  const BufferPtr again(gst_buffer_copy(theirs.get()));
  const auto owned = writing.own(again.get(), info_);  // there is nothing to copy it with
  ASSERT_FALSE(owned);
  EXPECT_EQ(owned.error().code, ErrorCode::unsupported);
}

TEST_F(GstCuda, AContextWhereAnotherOneWasIsItsOwn) {
  for (const int device : {1, 0, 1, 0}) {  // freed and made again, mostly at the same address
    auto* const theirs = static_cast<DeviceContext*>(g_object_new(device_context_get_type(), nullptr));
    theirs->device = device;
    const BufferPtr buffer = buffer_of(surface());
    GstMemory* const memory = gst_buffer_peek_memory(buffer.get(), 0);
    reinterpret_cast<Surface*>(memory)->context = &theirs->base;
    for (int i = 0; i < 2; ++i) {
      const auto wrapped = wrap_cuda_memory(buffer.get(), memory);
      ASSERT_TRUE(wrapped) << wrapped.error().message;
      EXPECT_EQ((*wrapped)->context(), cuda_context(device).value().get());
    }
    g_object_unref(theirs);
  }
}

// What GStreamer has of it on the CPU becomes stale by that, and its elements wait.
TEST_F(GstCuda, SurfacesAreMappedForWritingAndHandedOver) {
  const BufferPtr buffer = buffer_of(surface());
  GstMemory* const memory = gst_buffer_peek_memory(buffer.get(), 0);
  Frame frame;
  {
    auto read = wrap_cuda_memory(buffer.get(), memory);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(last_flags & GST_MAP_WRITE, 0);
  }
  auto wrapped = wrap_cuda_memory(buffer.get(), memory, Access::read_write);
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  EXPECT_NE(last_flags & GST_MAP_WRITE, 0);
  EXPECT_NE(last_flags & (GST_MAP_FLAG_LAST << 1), 0);
  frame.tensors.push_back(whole(*wrapped));
  ASSERT_TRUE(cuda_written(frame.tensors[0], nullptr));
  const unsigned waited = test::cuda_double().calls("cuEventSynchronize");
  ASSERT_TRUE(CudaWriting::hand_over(buffer.get(), frame));  // a memory without a stream
  EXPECT_GE(test::cuda_double().calls("cuEventSynchronize"), waited);
  // Although it is still held, as by who waits for a kernel.
  EXPECT_TRUE(gst_buffer_is_writable(buffer.get()));
  EXPECT_TRUE(gst_buffer_is_all_memory_writable(buffer.get()));
}

}  // namespace
}  // namespace sightglass::gst
