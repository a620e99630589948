// The edges of OpenCL memory: buffers that are the memory of the CPU where the device has no other, copies
// elsewhere, and images.
#include <algorithm>
#include <array>
#include <optional>

#include "sightglass/memory/mapper.h"
#include "sightglass/memory/opencl/opencl_block.h"
#include "sightglass/memory/opencl/opencl_error.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/system/wrapped_memory.h"
#include "sightglass/memory/tensor_rows.h"

namespace sightglass {
namespace {

WrapPool& wrappers() {
  static WrapPool& pool = *make_ref<WrapPool>().release();  // never destroyed: mappings may outlive main()
  return pool;
}

// Rows of what we allocate: a cache line, which every device can work with.
constexpr size_t row_alignment = 64;
// Relative to a copy within the memory of the CPU.
constexpr double cost_of_bus = 2, cost_on_device = 0.5;

// Memory that may be lent by another library, and its device.
struct Block {
  OpenCLMemory* memory;
  OpenCLContext* device;
};

Result<Block> block_of(const Tensor& tensor) {
  auto* memory = dynamic_cast<OpenCLMemory*>(tensor.memory.get());
  auto* device = memory ? dynamic_cast<OpenCLContext*>(const_cast<Context*>(memory->context())) : nullptr;
  if (device) return Block{memory, device};
  return fail(ErrorCode::unsupported,
              "the OpenCL memory is of no known device; map it to system memory first");
}

// For each memory of the frame once: tensors that lie in one block lie in one block afterwards.
template <class Share>
Status share_blocks(const Frame& frame, Frame& result, Share share) {
  result.video = frame.video;
  result.tensors = frame.tensors;
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const auto same = std::ranges::find(frame.tensors, frame.tensors[i].memory, &Tensor::memory);
    const size_t first = size_t(same - frame.tensors.begin());
    if (first < i) {
      result.tensors[i].memory = result.tensors[first].memory;
      continue;
    }
    Result<MemoryRef> shared = share(frame.tensors[i].memory);
    if (!shared) return forward_error(shared);
    result.tensors[i].memory = std::move(*shared);
  }
  return {};
}

class SharedMapper final : public Mapper {
 public:
  std::string_view name() const override { return "OpenCL buffer on memory of the CPU"; }
  Status available() const override {
    auto device = OpenCLContext::of(nullptr);
    if (!device) return forward_error(device);
    if ((*device)->shares_host_memory()) return {};
    return fail(ErrorCode::unavailable, "{} has memory of its own", (*device)->description());
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back({.to = {MemoryKind::opencl, from.pixels}, .alignment = alignment()});
    if (from.memory == MemoryKind::opencl) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    if (target.form.memory == MemoryKind::system)
      return share_blocks(frame, result, [&](const MemoryRef& memory) -> Result<MemoryRef> {
        auto address = memory->map(target.access);
        if (!address) return forward_error(address);
        return MemoryRef(wrappers().wrap(
            *address, memory->size(), [memory, access = target.access] noexcept { memory->unmap(access); }));
      });
    auto device = OpenCLContext::of(target.context);
    if (!device) return forward_error(device);
    if (!(*device)->shares_host_memory())
      return fail(ErrorCode::unsupported, "{} does not share the memory of the CPU",
                  (*device)->description());
    return share_blocks(frame, result, [&](const MemoryRef& memory) -> Result<MemoryRef> {
      auto block = OpenCLBlock::on_host(*device, memory, target.access);
      if (!block) return forward_error(block);
      return MemoryRef(std::move(*block));
    });
  }
  Status publish(const Frame& mapped, const Frame&) const override {
    for (const Tensor& tensor : mapped.tensors)
      if (auto* block = dynamic_cast<OpenCLBlock*>(tensor.memory.get())) block->publish_to_host();
    return {};
  }

 private:
  // Asked for while planning, also where there is no device.
  static size_t alignment() {
    auto device = OpenCLContext::of(nullptr);
    return device ? (*device)->alignment() : 1;
  }
};

enum class Way { up, down };

// Waits: the memory of the CPU may change or go as soon as this returns.
Status copy_rows(const Block& block, const Tensor& buffer, std::byte* host, const Tensor& on_host, Way way) {
  auto there = rows_of(buffer);
  if (!there) return forward_error(there);
  auto here = rows_of(on_host);
  if (!here) return forward_error(here);
  if (there->row_bytes == 0 || here->row_bytes == 0) return {};
  // The one may be in fewer rows than the other, never in rows that do not divide.
  const TensorRows& finer = there->row_bytes <= here->row_bytes ? *there : *here;
  const size_t row = finer.row_bytes, rows = finer.rows, slices = finer.slices;
  const auto pitch_of = [&](const TensorRows& side) {
    return &side == &finer || side.row_bytes == row ? std::pair(side.pitch, side.slice_pitch)
                                                    : std::pair(row, row * rows);
  };
  const auto [buffer_pitch, buffer_slice] = pitch_of(*there);
  const auto [host_pitch, host_slice] = pitch_of(*here);
  const cl_command_queue queue = block.device->queue();
  if (auto status = block.memory->wait_in(queue); !status) return status;
  const size_t region[3] = {row, rows, slices};
  for (size_t slice = 0; slice < slices; ++slice) {
    // Slice by slice: drivers want a slice's pitch to be a multiple of its rows'.
    const size_t origin[3] = {buffer.offset + slice * buffer_slice, 0, 0}, from_start[3] = {0, 0, 0};
    const size_t one[3] = {region[0], region[1], 1};
    std::byte* start = host + slice * host_slice;
    const cl_int code =
        way == Way::up
            ? clEnqueueWriteBufferRect(queue, block.memory->handle(), CL_TRUE, origin, from_start, one,
                                       buffer_pitch, 0, host_pitch, 0, start, 0, nullptr, nullptr)
            : clEnqueueReadBufferRect(queue, block.memory->handle(), CL_TRUE, origin, from_start, one,
                                      buffer_pitch, 0, host_pitch, 0, start, 0, nullptr, nullptr);
    if (code != CL_SUCCESS)
      return opencl_error(way == Way::up ? "a copy to an OpenCL buffer has failed"
                                         : "a copy from an OpenCL buffer has failed",
                          code);
  }
  return {};
}

Status copy_between(const Tensor& buffer, const Tensor& host, Way way) {
  auto block = block_of(buffer);
  if (!block) return forward_error(block);
  const Access access = way == Way::up ? Access::read : Access::write;
  auto start = host.memory->map(access);
  if (!start) return forward_error(start);
  auto status = copy_rows(*block, buffer, *start + host.offset, host, way);
  host.memory->unmap(access);
  return status;
}

class CopyMapper final : public Mapper {
 public:
  std::string_view name() const override { return "copy to and from an OpenCL buffer"; }
  Status available() const override {
    auto device = OpenCLContext::of(nullptr);
    return device ? Status() : Status(forward_error(device));
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back({.to = {MemoryKind::opencl, from.pixels}, .cost_per_byte = cost_of_bus});
    if (from.memory == MemoryKind::opencl)
      out.push_back({.to = {MemoryKind::system, from.pixels}, .cost_per_byte = cost_of_bus});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    const size_t bytes = lay_out(frame, row_alignment, result);
    const bool is_up = target.form.memory == MemoryKind::opencl;
    MemoryRef memory;
    if (is_up) {
      auto device = OpenCLContext::of(target.context);
      if (!device) return forward_error(device);
      auto block = (*device)->pool({.bytes = bytes})->acquire(*device);
      if (!block) return forward_error(block);
      memory = std::move(*block);
    } else {
      auto block = allocate_memory(bytes);
      if (!block) return forward_error(block);
      memory = std::move(*block);
    }
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      result.tensors[i].memory = memory;
      if (target.access == Access::write) continue;
      auto status = is_up ? copy_between(result.tensors[i], frame.tensors[i], Way::up)
                          : copy_between(frame.tensors[i], result.tensors[i], Way::down);
      if (!status) return status;
    }
    return {};
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const bool was_up = mapped.tensors[i].memory->kind() == MemoryKind::opencl;
      auto status = was_up ? copy_between(mapped.tensors[i], frame.tensors[i], Way::down)
                           : copy_between(frame.tensors[i], mapped.tensors[i], Way::up);
      if (!status) return status;
    }
    return {};
  }
};

// The image that holds a plane; none: no kind of image does.
std::optional<cl_image_format> image_format(PixelFormat pixels, size_t plane) {
  switch (pixels) {
    case PixelFormat::rgb:
    case PixelFormat::bgr:
      return {};  // no device has images of three bytes
    case PixelFormat::rgba:
    case PixelFormat::rgbx:
      return cl_image_format{CL_RGBA, CL_UNORM_INT8};
    case PixelFormat::bgra:
    case PixelFormat::bgrx:
      return cl_image_format{CL_BGRA, CL_UNORM_INT8};
    case PixelFormat::gray16:
    case PixelFormat::p010:
      return cl_image_format{cl_channel_order(plane == 0 ? CL_R : CL_RG), CL_UNORM_INT16};
    default:
      return cl_image_format{cl_channel_order(plane_layout(pixels, plane).pixel_bytes == 1 ? CL_R : CL_RG),
                             CL_UNORM_INT8};
  }
}

class ImageMapper final : public Mapper {
 public:
  std::string_view name() const override { return "OpenCL image, a copy on the device"; }
  Status available() const override {
    auto device = OpenCLContext::of(nullptr);
    if (!device) return forward_error(device);
    if ((*device)->has_images()) return {};
    return fail(ErrorCode::unavailable, "{} has no images", (*device)->description());
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (!from.pixels || !image_format(*from.pixels, 0)) return;
    if (from.memory == MemoryKind::opencl)
      out.push_back({.to = {MemoryKind::opencl_image, from.pixels}, .cost_per_byte = cost_on_device});
    if (from.memory == MemoryKind::opencl_image)
      out.push_back({.to = {MemoryKind::opencl, from.pixels}, .cost_per_byte = cost_on_device});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    const size_t bytes = lay_out(frame, row_alignment, result);
    const bool to_image = target.form.memory == MemoryKind::opencl_image;
    Ref<OpenCLBlock> buffer;
    for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
      auto from = block_of(frame.tensors[plane]);
      if (!from) return forward_error(from);
      const Ref<OpenCLContext> device(from->device);
      Tensor& to = result.tensors[plane];
      if (to_image) {
        const size_t pixel = plane_layout(frame.video->format, plane).pixel_bytes;
        const size_t width = size_t(to.shape[1]) / pixel, height = size_t(to.shape[0]);
        auto image = device
                         ->pool({.bytes = width * height * pixel,
                                 .format = *image_format(frame.video->format, plane),
                                 .width = width,
                                 .height = height})
                         ->acquire(device);
        if (!image) return forward_error(image);
        to.memory = *image;
        to.offset = 0;
        to.strides = {int64_t(width * pixel), 1};
      } else {
        if (!buffer) {
          auto block = device->pool({.bytes = bytes})->acquire(device);
          if (!block) return forward_error(block);
          buffer = std::move(*block);
        }
        to.memory = buffer;
      }
      if (target.access == Access::write) continue;
      if (auto status = copy_plane(frame, result, plane); !status) return status;
    }
    return {};
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    for (size_t plane = 0; plane < frame.tensors.size(); ++plane)
      if (auto status = copy_plane(mapped, frame, plane); !status) return status;
    return {};
  }

 private:
  // One of the two is an image.
  static Status copy_plane(const Frame& from_frame, const Frame& to_frame, size_t plane) {
    const Tensor& from = from_frame.tensors[plane];
    const Tensor& to = to_frame.tensors[plane];
    const bool to_image = to.memory->kind() == MemoryKind::opencl_image;
    auto image = block_of(to_image ? to : from);
    if (!image) return forward_error(image);
    auto block = block_of(to_image ? from : to);
    if (!block) return forward_error(block);
    const Tensor& buffer = to_image ? from : to;
    const size_t pixel = plane_layout(from_frame.video->format, plane).pixel_bytes;
    const size_t row = size_t(buffer.shape[1]), rows = size_t(buffer.shape[0]);
    if (buffer.strides[1] != 1 || buffer.strides[0] < int64_t(row))
      return fail(ErrorCode::unsupported, "a plane of strides {} cannot become an OpenCL image",
                  buffer.strides.to_string());
    OpenCLContext& device = *image->device;
    const cl_command_queue queue = device.queue();
    for (OpenCLMemory* side : {image->memory, block->memory})
      if (auto status = side->wait_in(queue); !status) return status;

    // Images are copied from and to buffers without gaps.
    Ref<OpenCLMemory> dense(block->memory);
    size_t dense_offset = buffer.offset;
    const bool has_gaps = buffer.strides[0] != int64_t(row) && rows > 1;
    if (has_gaps) {
      auto staging = device.pool({.bytes = row * rows})->acquire(Ref(&device));
      if (!staging) return forward_error(staging);
      dense = std::move(*staging);
      dense_offset = 0;
    }
    const size_t image_origin[3] = {0, 0, 0}, image_region[3] = {row / pixel, rows, 1};
    const size_t padded_origin[3] = {buffer.offset, 0, 0}, dense_origin[3] = {0, 0, 0},
                 bytes[3] = {row, rows, 1};
    cl_int code = CL_SUCCESS;
    if (to_image) {
      if (has_gaps)
        code = clEnqueueCopyBufferRect(queue, block->memory->handle(), dense->handle(), padded_origin,
                                       dense_origin, bytes, size_t(buffer.strides[0]), 0, row, 0, 0, nullptr,
                                       nullptr);
      if (code == CL_SUCCESS)
        code = clEnqueueCopyBufferToImage(queue, dense->handle(), image->memory->handle(), dense_offset,
                                          image_origin, image_region, 0, nullptr, nullptr);
    } else {
      code = clEnqueueCopyImageToBuffer(queue, image->memory->handle(), dense->handle(), image_origin,
                                        image_region, dense_offset, 0, nullptr, nullptr);
      if (code == CL_SUCCESS && has_gaps)
        code = clEnqueueCopyBufferRect(queue, dense->handle(), block->memory->handle(), dense_origin,
                                       padded_origin, bytes, row, 0, size_t(buffer.strides[0]), 0, 0, nullptr,
                                       nullptr);
    }
    clFlush(queue);
    return opencl_status("a copy between an OpenCL buffer and an image has failed", code);
  }
};

const MapperRegistration shared_registration(std::make_unique<SharedMapper>());
const MapperRegistration copy_registration(std::make_unique<CopyMapper>());
const MapperRegistration image_registration(std::make_unique<ImageMapper>());

}  // namespace
}  // namespace sightglass
