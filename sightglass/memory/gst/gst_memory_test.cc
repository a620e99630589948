#include "sightglass/memory/gst/gst_memory.h"

#include <gtest/gtest.h>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/cuda/device_bytes.h"
#include "sightglass/memory/gst/gst_cuda.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass::gst {
namespace {

class GstMemories : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
};

TEST_F(GstMemories, OfOursAreTheSameBytesInABuffer) {
  auto memory = allocate_memory(100);
  ASSERT_TRUE(memory);
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(), wrap_memory(*memory));
  GstMapInfo map;
  ASSERT_TRUE(gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE));
  EXPECT_EQ(reinterpret_cast<std::byte*>(map.data), (*memory)->data());
  gst_buffer_unmap(buffer.get(), &map);
  EXPECT_EQ(unwrap_memory(gst_buffer_peek_memory(buffer.get(), 0)).get(), memory->get());
}

// As if on a device, at 8 bytes of another block.
class Elsewhere final : public SystemMemory, public DeviceBytes {
 public:
  explicit Elsewhere(MemoryRef block) : SystemMemory(nullptr, 4), block_(std::move(block)) {}
  Result<DevicePlace> on_device() override { return DevicePlace{block_, 8}; }

 private:
  const MemoryRef block_;
};

TEST_F(GstMemories, WhatLiesOnADeviceIsFoundThereThroughABuffer) {
  const MemoryRef block = *allocate_memory(100);
  GstMemory* memory = wrap_memory(make_ref<Elsewhere>(block));
  const auto memories = make_ref<BufferMemories>();
  Tensor tensor{.memory = memories->wrap(nullptr, memory), .offset = 2, .shape = {2}, .strides = {1}};
  gst_memory_unref(memory);
  const auto there = device_tensor(tensor);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->memory, block);
  EXPECT_EQ(there->offset, 10u);
  // Others are nowhere else.
  GstMemory* plain = wrap_memory(block);
  tensor.memory = memories->wrap(nullptr, plain);
  gst_memory_unref(plain);
  EXPECT_FALSE(device_tensor(tensor)->memory);
}

TEST_F(GstMemories, WithAFailedFenceCannotBeMapped) {
  auto memory = allocate_memory(100);
  auto fence = make_ref<CompletionFence>();
  (*memory)->set_fence(fence);
  fence->set_error({ErrorCode::internal, "the run failed", {}, {}});
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(), wrap_memory(*memory));
  GstMapInfo map;
  EXPECT_FALSE(gst_buffer_map(buffer.get(), &map, GST_MAP_READ));
}

TEST_F(GstMemories, OfForeignBuffersKeepTheBufferAlive) {
  auto memories = make_ref<BufferMemories>();
  auto* buffer = gst_buffer_new_allocate(nullptr, 64, nullptr);
  gst_buffer_memset(buffer, 0, 7, 64);
  auto memory = memories->wrap(buffer, gst_buffer_peek_memory(buffer, 0));
  EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(buffer), 2);
  gst_buffer_unref(buffer);
  auto bytes = memory->map(Access::read);
  ASSERT_TRUE(bytes);
  EXPECT_EQ((*bytes)[63], std::byte{7});
  memory->unmap(Access::read);
  auto* first = memory.get();
  memory = nullptr;
  auto* next = gst_buffer_new_allocate(nullptr, 64, nullptr);
  memory = memories->wrap(next, gst_buffer_peek_memory(next, 0));
  EXPECT_EQ(memory.get(), first) << "used again";
  gst_buffer_unref(next);
}

TEST_F(GstMemories, OutliveTheirMaker) {
  auto memories = make_ref<BufferMemories>();
  auto* buffer = gst_buffer_new_allocate(nullptr, 64, nullptr);
  auto memory = memories->wrap(buffer, gst_buffer_peek_memory(buffer, 0));
  gst_buffer_unref(buffer);
  memories = nullptr;
  EXPECT_TRUE(memory->map(Access::read));
  memory->unmap(Access::read);
}

TEST_F(GstMemories, OfAPoolComeBackWhenNobodyUsesThem) {
  auto blocks = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = 256});
  BufferPoolPtr pool(make_buffer_pool(blocks));
  auto* config = gst_buffer_pool_get_config(pool.get());
  gst_buffer_pool_config_set_params(config, nullptr, 256, 0, 0);
  ASSERT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
  ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
  GstBuffer* buffer = nullptr;
  ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
  EXPECT_EQ(gst_buffer_get_size(buffer), 256u);
  auto in_use = unwrap_memory(gst_buffer_peek_memory(buffer, 0));  // an engine reads it still
  gst_buffer_unref(buffer);
  EXPECT_EQ(blocks->available(), 0u);
  in_use = nullptr;
  EXPECT_EQ(blocks->available(), 1u);
  gst_buffer_pool_set_active(pool.get(), FALSE);
  EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_FLUSHING);
}

// One that has nothing to give, for a reason.
class EmptyPool final : public MemoryPool {
 public:
  explicit EmptyPool(ErrorCode reason) : reason_(reason) {}
  size_t block_size() const override { return 256; }
  Result<MemoryRef> acquire() override { return fail(reason_, "nothing"); }

 private:
  const ErrorCode reason_;
};

TEST_F(GstMemories, ThatRunOutAreAnErrorAndNoFlush) {
  for (const auto& [reason, flow] :
       {std::pair(ErrorCode::exhausted, GST_FLOW_ERROR), std::pair(ErrorCode::unavailable, GST_FLOW_ERROR),
        std::pair(ErrorCode::cancelled, GST_FLOW_FLUSHING)}) {
    BufferPoolPtr pool(make_buffer_pool(make_ref<EmptyPool>(reason)));
    auto* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, nullptr, 256, 0, 0);
    ASSERT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
    ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
    GstBuffer* buffer = nullptr;
    EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), flow);
    gst_buffer_pool_set_active(pool.get(), FALSE);
  }
}

// An element that says which device it works on, as decoders of GStreamer's CUDA plug-in do.
struct Worker {
  GstElement element;
  guint device;
};
struct WorkerClass {
  GstElementClass parent;
};
GType worker_type() {
  static const GType type = [] {
    const auto of_class = [](gpointer made, gpointer) {
      auto* object = G_OBJECT_CLASS(made);
      object->get_property = [](GObject* self, guint, GValue* value, GParamSpec*) {
        g_value_set_uint(value, reinterpret_cast<Worker*>(self)->device);
      };
      g_object_class_install_property(
          object, 1, g_param_spec_uint("cuda-device-id", "", "", 0, 16, 0, G_PARAM_READABLE));
    };
    return g_type_register_static_simple(GST_TYPE_ELEMENT, "TestCudaWorker", sizeof(WorkerClass), of_class,
                                         sizeof(Worker), nullptr, GTypeFlags(0));
  }();
  return type;
}

TEST(GstCuda, TheDeviceOfWhoeverAsksIsFoundThroughBinsAndOtherElements) {
  gst_init(nullptr, nullptr);
  const auto make = [](const char* kind) { return gst_element_factory_make(kind, nullptr); };
  auto* const pipeline = gst_pipeline_new(nullptr);
  auto* const decoder = GST_ELEMENT(g_object_new(worker_type(), nullptr));
  reinterpret_cast<Worker*>(decoder)->device = 3;
  gst_element_add_pad(decoder, gst_pad_new("src", GST_PAD_SRC));

  auto *const queue = make("queue"), *const bin = gst_bin_new(nullptr), *const tee = make("tee"),
              *const last = make("identity");
  gst_bin_add_many(GST_BIN(bin), tee, last, nullptr);
  gst_element_link(tee, last);
  auto* const tee_sink = gst_element_get_static_pad(tee, "sink");
  gst_element_add_pad(bin, gst_ghost_pad_new("sink", tee_sink));
  gst_object_unref(tee_sink);
  gst_bin_add_many(GST_BIN(pipeline), decoder, queue, bin, nullptr);
  auto* const asked = gst_element_get_static_pad(last, "sink");
  EXPECT_EQ(cuda_device_beyond(asked), 0);  // nobody there yet
  ASSERT_TRUE(gst_element_link(queue, bin));
  EXPECT_EQ(cuda_device_beyond(asked), 0);
  ASSERT_TRUE(gst_element_link(decoder, queue));
  EXPECT_EQ(cuda_device_beyond(asked), 3);
  // From within a bin that is a decoder as well, such as decodebin.
  auto* const outer = gst_bin_new(nullptr);
  auto *const second = GST_ELEMENT(g_object_new(worker_type(), nullptr)), *const behind = make("identity");
  reinterpret_cast<Worker*>(second)->device = 1;
  auto* const its_pad = gst_pad_new("src", GST_PAD_SRC);
  gst_element_add_pad(second, its_pad);
  gst_bin_add(GST_BIN(outer), second);
  gst_element_add_pad(outer, gst_ghost_pad_new("src", its_pad));
  gst_bin_add_many(GST_BIN(pipeline), outer, behind, nullptr);
  ASSERT_TRUE(gst_element_link(outer, behind));
  auto* const pad = gst_element_get_static_pad(behind, "sink");
  EXPECT_EQ(cuda_device_beyond(pad), 1);
  gst_object_unref(pad);
  gst_object_unref(asked);
  gst_object_unref(pipeline);
}

}  // namespace
}  // namespace sightglass::gst
