#include <gst/video/video.h>

#include <algorithm>
#include <vector>

#include "sightglass/memory/gst/gst_frame.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/mapper.h"
#include "sightglass/memory/system/frame_memory.h"

namespace sightglass {
namespace gst {
namespace {

struct Planes {
  gsize offset[GST_VIDEO_MAX_PLANES] = {};
  gint stride[GST_VIDEO_MAX_PLANES] = {};
};

struct MemoryUnref {
  void operator()(GstMemory* memory) const { gst_memory_unref(memory); }
};
using GstMemoryPtr = std::unique_ptr<GstMemory, MemoryUnref>;

Status initialized() {
  GError* error = nullptr;
  if (gst_init_check(nullptr, nullptr, &error)) return {};
  const std::string reason = error ? error->message : "no reason is given";
  g_clear_error(&error);
  return fail(ErrorCode::unavailable, "GStreamer cannot be initialised: {}", reason);
}

// What the memory is to GStreamer: the block of a buffer that it came from, or one of ours around it.
GstMemoryPtr memory_for(const MemoryRef& memory) {
  const MemoryRef below = below_host_view(*memory);
  if (auto* foreign = foreign_memory(below ? *below : *memory)) return GstMemoryPtr(gst_memory_ref(foreign));
  return GstMemoryPtr(wrap_memory(memory));
}

// The buffer that all tensors lie in already, where it says of them what they are.
GstBuffer* original_of(const Frame& frame) {
  GstBuffer* buffer = nullptr;
  const auto* meta = static_cast<GstVideoMeta*>(nullptr);
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const Tensor& tensor = frame.tensors[i];
    if (!tensor.memory) return nullptr;
    const MemoryRef below = below_host_view(*tensor.memory);
    const Memory& memory = below ? *below : *tensor.memory;
    GstBuffer* held = held_buffer(memory);
    if (!held || (buffer && held != buffer)) return nullptr;
    buffer = held;
    if (!meta) meta = gst_buffer_get_video_meta(buffer);
    if (!frame.video || !meta || meta->n_planes != frame.tensors.size() ||
        int(meta->width) != frame.video->width || int(meta->height) != frame.video->height)
      return nullptr;
    guint index = 0, length = 0;
    gsize skip = 0;
    if (!gst_buffer_find_memory(buffer, meta->offset[i], tensor.bytes(), &index, &length, &skip) ||
        length != 1 || gst_buffer_peek_memory(buffer, index) != foreign_memory(memory) ||
        skip != tensor.offset || meta->stride[i] != tensor.strides[0])
      return nullptr;
  }
  return buffer;
}

Status check_picture(const Frame& frame) {
  for (const Tensor& tensor : frame.tensors)
    if (tensor.shape.rank() != 2 || tensor.strides[1] != 1 || tensor.strides[0] < tensor.shape[1] ||
        tensor.strides[0] > G_MAXINT)
      return fail(ErrorCode::unsupported,
                  "GStreamer knows rows of bytes one behind the other, not a plane {} with strides {}",
                  tensor.shape.to_string(), tensor.strides.to_string());
  return {};
}

// Appends the memories of the tensors, each once, and says which of the buffer's memories each lies in.
Status append_memories(const Frame& frame, GstBuffer* buffer, std::vector<guint>& index, Planes& planes) {
  std::vector<std::pair<MemoryRef, gsize>> appended;  // and where it starts in the buffer
  gsize end = 0;
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const Tensor& tensor = frame.tensors[i];
    const auto known = std::ranges::find(appended, tensor.memory, &std::pair<MemoryRef, gsize>::first);
    index.push_back(guint(known - appended.begin()));
    if (known == appended.end()) {
      if (gst_buffer_n_memory(buffer) == gst_buffer_get_max_memory())
        return fail(ErrorCode::unsupported, "a GstBuffer holds at most {} memories",
                    gst_buffer_get_max_memory());
      auto memory = memory_for(tensor.memory);
      if (!memory)
        return fail(ErrorCode::io, "GStreamer cannot wrap {} memory", to_string(tensor.memory->kind()));
      appended.emplace_back(tensor.memory, end);
      end += gst_memory_get_sizes(memory.get(), nullptr, nullptr);
      gst_buffer_append_memory(buffer, memory.release());
    }
    if (i < GST_VIDEO_MAX_PLANES) {
      planes.offset[i] = appended[index[i]].second + tensor.offset;
      planes.stride[i] = gint(tensor.strides[0]);
    }
  }
  return {};
}

Result<BufferPtr> make_buffer(const Frame& frame, std::vector<guint>& index) {
  if (frame.tensors.empty())
    return fail(ErrorCode::invalid_argument, "a frame without tensors cannot be mapped");
  for (const Tensor& tensor : frame.tensors)
    if (!tensor.memory) return fail(ErrorCode::invalid_argument, "a tensor without memory cannot be mapped");
  if (frame.video)
    if (auto status = check_picture(frame); !status) return forward_error(status);
  BufferPtr buffer(gst_buffer_new());
  Planes planes;
  if (auto status = append_memories(frame, buffer.get(), index, planes); !status)
    return forward_error(status);
  if (frame.video)
    gst_buffer_add_video_meta_full(
        buffer.get(), GST_VIDEO_FRAME_FLAG_NONE,
        gst_video_format_from_string(std::string(to_string(frame.video->format)).c_str()),
        guint(frame.video->width), guint(frame.video->height), guint(frame.tensors.size()), planes.offset,
        planes.stride);
  return buffer;
}

class MapBuffer final : public Mapper {
 public:
  std::string_view name() const override { return "GstBuffer mapped for the CPU"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::gst) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget&, Frame& result) const override {
    return replace_memory(frame, result, [](const MemoryRef& memory) -> Result<MemoryRef> {
      if (memory->kind() != MemoryKind::gst)
        return fail(ErrorCode::invalid_argument, "one of the planes lies in {} memory, not in a GstBuffer",
                    to_string(memory->kind()));
      return host_view(memory);
    });
  }
};

class WrapInBuffer final : public Mapper {
 public:
  std::string_view name() const override { return "GstBuffer around memory"; }
  Status available() const override { return initialized(); }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system || from.memory == MemoryKind::dmabuf)
      out.push_back({.to = {MemoryKind::gst, from.pixels}});
  }

  Status map(const Frame& frame, const MapTarget&, Frame& result) const override {
    static auto& memories = *new Ref(new BufferMemories(MemoryKind::gst));
    if (GstBuffer* original = original_of(frame))
      return replace_memory(frame, result, [original](const MemoryRef& memory) -> Result<MemoryRef> {
        const MemoryRef below = below_host_view(*memory);
        return memories->wrap(original, foreign_memory(below ? *below : *memory));
      });
    std::vector<guint> index;
    auto buffer = make_buffer(frame, index);
    if (!buffer) return forward_error(buffer);
    result.video = frame.video;
    result.tensors = frame.tensors;
    for (size_t i = 0; i < index.size(); ++i) {
      const auto same = std::ranges::find(index, index[i]) - index.begin();
      result.tensors[i].memory =
          size_t(same) < i ? result.tensors[size_t(same)].memory
                           : memories->wrap(buffer->get(), gst_buffer_peek_memory(buffer->get(), index[i]));
    }
    return {};
  }
};

// Kept in the graph so that whoever asks for a VASurface is told what to do instead.
class VaSurfaces final : public Mapper {
 public:
  std::string_view name() const override { return "VASurface"; }
  Status available() const override {
    return fail(
        ErrorCode::unavailable,
        "VA surfaces are reached through GStreamer only: take buffers of VAMemory as gst, or have the "
        "element give memory:DMABuf, which comes as dmabuf");
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::va) out.push_back({.to = {MemoryKind::dmabuf, from.pixels}});
    if (from.memory == MemoryKind::dmabuf) out.push_back({.to = {MemoryKind::va, from.pixels}});
  }
  Status map(const Frame&, const MapTarget&, Frame&) const override { return available(); }
};

const MapperRegistration map_buffer(std::make_unique<MapBuffer>());
const MapperRegistration wrap_in_buffer(std::make_unique<WrapInBuffer>());
const MapperRegistration va_surfaces(std::make_unique<VaSurfaces>());
const ContextRegistration va_display(MemoryKind::va, []() -> Result<ContextRef> {
  return fail(ErrorCode::unavailable,
              "a VADisplay of our own is not supported; GStreamer's VA elements open theirs");
});

}  // namespace
}  // namespace gst

Result<GstBuffer*> to_gst(const Frame& frame) {
  if (auto status = gst::initialized(); !status) return forward_error(status);
  std::vector<guint> index;
  auto buffer = gst::make_buffer(frame, index);
  if (!buffer) return forward_error(buffer);
  GST_BUFFER_PTS(buffer->get()) = gst::to_clock_time(frame.pts);
  GST_BUFFER_DURATION(buffer->get()) = gst::to_clock_time(frame.duration);
  if (frame.crop) {
    auto* crop = gst_buffer_add_video_crop_meta(buffer->get());
    crop->x = guint(frame.crop->x), crop->y = guint(frame.crop->y);
    crop->width = guint(frame.crop->w), crop->height = guint(frame.crop->h);
  }
  return buffer->release();
}

}  // namespace sightglass
