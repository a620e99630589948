// Wrapped elements and memory that is not the CPU's, or that there is none of.
#include <gst/check/gstharness.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include "sightglass/gst/element.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

// Looks at nothing but the time of a frame.
class Watch final : public TransformInplace {
 public:
  Result<Verdict> process(Frame& frame) override {
    last_seen = frame.pts;
    return Verdict::pass;
  }
  static inline Time last_seen = no_time;
};

// A picture becomes one number, which nobody writes.
class Reduce final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override {
    if (from == Direction::output)
      return {FormatSpec{VideoSpec{}}, FormatSpec{VideoSpec{}, MemoryKind::cuda}};
    return {
        FormatSpec{TensorsSpec{{{.types = {DataType::f32}, .shape = {1, 1}, .strides = {}, .name = ""}}, ""},
                   spec.memory}};
  }
  Status process(const Frame& frame, Output& output) override {
    if (auto status = output.allocate(out_); !status) return status;
    out_.pts = frame.pts;
    return output.push(out_);
  }

 private:
  Frame out_;
};

template <class T>
ElementDesc described(std::string name, std::vector<FormatSpec> input, std::vector<FormatSpec> output) {
  struct None {};
  return {
      .name = std::move(name),
      .title = "Test element",
      .klass = "Filter",
      .doc = "For tests",
      .kind =
          std::is_base_of_v<TransformInplace, T> ? ElementKind::transform_inplace : ElementKind::transform,
      .input = std::move(input),
      .output = std::move(output),
      .params = ParamTable::of<None>({}),
      .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> { return std::make_unique<T>(); }};
}

constexpr const char* gray_caps = "video/x-raw,format=GRAY8,width=4,height=2,framerate=10/1";

class ElementMemory : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    gst_init(nullptr, nullptr);
    register_frame_metas();
    static const ElementDesc watch = described<Watch>("test_watch", {{AnySpec{}}}, {{AnySpec{}}}),
                             reduce = described<Reduce>("test_reduce",
                                                        {{VideoSpec{}}, {VideoSpec{}, MemoryKind::cuda}},
                                                        {{TensorsSpec{}}, {TensorsSpec{}, MemoryKind::cuda}});
    register_element(nullptr, watch);
    register_element(nullptr, reduce);
  }
  void TearDown() override {
    if (harness) gst_harness_teardown(harness);
  }
  GstHarness* harness = nullptr;
};

// One that has no block left.
class EmptyPool final : public MemoryPool {
 public:
  size_t block_size() const override { return 4; }
  Result<MemoryRef> acquire() override { return fail(ErrorCode::exhausted, "nothing"); }
};

TEST_F(ElementMemory, SaysThatThereIsNoMemoryForItsOutput) {
  harness = gst_harness_new("test_reduce");
  gst_pad_add_probe(
      harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
      [](GstPad*, GstPadProbeInfo* info, gpointer) {
        auto* query = GST_PAD_PROBE_INFO_QUERY(info);
        if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return GST_PAD_PROBE_OK;
        const BufferPoolPtr pool(make_buffer_pool(make_ref<EmptyPool>()));
        gst_query_add_allocation_pool(query, pool.get(), 4, 0, 0);
        return GST_PAD_PROBE_HANDLED;
      },
      nullptr, nullptr);
  auto* bus = gst_bus_new();
  gst_element_set_bus(harness->element, bus);
  gst_harness_set_src_caps_str(harness, gray_caps);
  EXPECT_EQ(gst_harness_push(harness, gst_buffer_new_allocate(nullptr, 8, nullptr)), GST_FLOW_ERROR);
  auto* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  ASSERT_NE(message, nullptr) << "a flush would be silent";
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  EXPECT_NE(std::string(error->message).find("no system memory for an output of 4 bytes"), std::string::npos)
      << error->message;
  g_error_free(error);
  gst_message_unref(message);
  gst_element_set_bus(harness->element, nullptr);
  gst_object_unref(bus);
}

// Memory that calls itself that of GStreamer's CUDA elements, and whoever maps it is counted.
struct SurfaceAllocator {
  GstAllocator base;
};
struct SurfaceAllocatorClass {
  GstAllocatorClass base;
};
struct Surface {
  GstMemory base;
  GObject* context;
};
int surface_maps = 0;
G_DEFINE_TYPE(SurfaceAllocator, surface_allocator, GST_TYPE_ALLOCATOR)
void surface_allocator_class_init(SurfaceAllocatorClass* klass) {
  klass->base.free = [](GstAllocator*, GstMemory* memory) { g_free(memory); };
}
void surface_allocator_init(SurfaceAllocator* self) {
  self->base.mem_type = "gst.cuda.memory";
  self->base.mem_map_full = [](GstMemory*, GstMapInfo*, gsize) -> gpointer {
    ++surface_maps;
    return nullptr;
  };
  GST_OBJECT_FLAG_SET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

TEST_F(ElementMemory, TouchesNoSurfaceOfADeviceWhenItLooksAtResultsOnly) {
  static auto* const allocator = GST_ALLOCATOR(g_object_new(surface_allocator_get_type(), nullptr));
  harness = gst_harness_new("test_watch");
  gst_harness_set_src_caps_str(harness,
                               "video/x-raw(memory:CUDAMemory),format=GRAY8,width=4,height=2,framerate=10/1");
  auto* surface = g_new0(Surface, 1);
  gst_memory_init(&surface->base, GstMemoryFlags(0), allocator, nullptr, 8, 0, 0, 8);
  auto* in = gst_buffer_new();
  gst_buffer_append_memory(in, &surface->base);
  GST_BUFFER_PTS(in) = 7;
  BufferPtr out(gst_harness_push_and_pull(harness, in));
  ASSERT_TRUE(out);
  EXPECT_EQ(Watch::last_seen, 7);
  EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), &surface->base);
  EXPECT_EQ(surface_maps, 0);
}

// What is held of a decoder that gives out no more than so many would wait for ever for the next one.
TEST_F(ElementMemory, TellTheDecoderHowManySurfacesAreHeld) {
  ElementPtr element(gst_element_factory_make("test_reduce", nullptr));
  gst_object_ref_sink(element.get());
  harness = gst_harness_new_with_element(element.get(), "sink", "src");
  const auto asked = [&](const char* caps) {
    gst_harness_set_src_caps_str(harness, caps);
    const CapsPtr parsed(gst_caps_from_string(caps));
    auto* query = gst_query_new_allocation(parsed.get(), TRUE);
    guint least = 0;
    EXPECT_TRUE(gst_pad_peer_query(harness->srcpad, query));
    if (gst_query_get_n_allocation_pools(query) > 0)
      gst_query_parse_nth_allocation_pool(query, 0, nullptr, nullptr, &least, nullptr);
    gst_query_unref(query);
    return least;
  };
  EXPECT_EQ(asked(gray_caps), 0u);
  EXPECT_EQ(asked("video/x-raw(memory:CUDAMemory),format=NV12,width=64,height=32,framerate=10/1"), 6u);
}

}  // namespace
}  // namespace sightglass::gst
