// Memory behind a file descriptor: a DMA-BUF, or where a kernel has no source of these a memfd, which is used
// in the same way.
//
//   auto memory = wrap_dmabuf(fd);                       // the descriptor is duplicated: close yours when
//   you like auto frame = dmabuf_frame(nv12, {{{fd, 0, 2048}, {fd, 2048 * 1080, 2048}}}); int fd =
//   dmabuf_fd(*frame->tensors[0].memory);       // lent: valid as long as the memory
//
// Mapping for the CPU maps the file at the first time and keeps that; of a DMA-BUF each mapping brackets the
// access with DMA_BUF_IOCTL_SYNC, so that caches are right. Thread-safe. Whoever else holds the descriptor of
// a memfd must not shrink it while it is in use here.
#pragma once

#include <cstddef>
#include <span>

#include "sightglass/core/frame.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {

// `size` bytes from `offset` on; 0: all that there is. `release` is called when the memory goes, also when it
// cannot be made: whoever lends the descriptor out of a pool learns so that its content is not needed any
// more.
Result<MemoryRef> wrap_dmabuf(int fd, size_t offset = 0, size_t size = 0, ReleaseMemory release = {});

// New memory from /dev/dma_heap/system or /dev/udmabuf, where this machine has one and lets us, else a memfd.
Result<MemoryRef> allocate_dmabuf(size_t size);

// A picture as exporters describe it. A descriptor that several planes name is duplicated once.
struct DmabufPlane {
  int fd = -1;
  size_t offset = 0, pitch = 0;  // bytes
};
Result<Frame> dmabuf_frame(const VideoInfo& video, std::span<const DmabufPlane> planes);

// -1 for memory of another kind.
int dmabuf_fd(const Memory& memory);
// Of the memory's first byte in the file; a tensor's own offset comes on top.
size_t dmabuf_offset(const Memory& memory);

}  // namespace sightglass
