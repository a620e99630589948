#include "sightglass/memory/dmabuf/dmabuf_memory.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

namespace sightglass {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

int retried_ioctl(int fd, unsigned long request, void* argument) {
  int done = 0;
  do done = ioctl(fd, request, argument);
  while (done < 0 && (errno == EINTR || errno == EAGAIN));
  return done;
}

size_t page_size() {
  static const size_t size = size_t(sysconf(_SC_PAGESIZE));
  return size;
}

bool is_dma_buf(int fd) {
  struct statfs file_system = {};
  return fstatfs(fd, &file_system) == 0 && file_system.f_type == 0x444d4142;  // DMA_BUF_MAGIC
}

class DmabufMemory final : public Memory {
 public:
  DmabufMemory(Descriptor fd, size_t offset, size_t size)
      : Memory(MemoryKind::dmabuf, size),
        fd_(std::move(fd)),
        offset_(offset),
        is_dma_buf_(is_dma_buf(fd_.get())) {}
  ~DmabufMemory() override {
    if (file_) munmap(file_, mapped_bytes_);
    if (release_) release_();
  }
  void when_gone(ReleaseMemory release) { release_ = std::move(release); }

  int fd() const { return fd_.get(); }
  size_t offset() const { return offset_; }

  Result<std::byte*> map(Access access) override {
    std::lock_guard lock(mutex_);
    if (!file_)
      if (auto mapped = map_file(); !mapped) return forward_error(mapped);
    if (!writable_ && (int(access) & int(Access::write)))
      return fail(ErrorCode::invalid_argument, "the descriptor of this DMA-BUF is open for reading only");
    if (auto synced = sync(DMA_BUF_SYNC_START, access); !synced) return forward_error(synced);
    return static_cast<std::byte*>(file_) + offset_ % page_size();
  }

  void unmap(Access access) override {
    // A device that cannot be told now will not be told later either.
    static_cast<void>(sync(DMA_BUF_SYNC_END, access));
  }

 private:
  Status map_file() {
    const size_t start = offset_ / page_size() * page_size();
    writable_ = (fcntl(fd_.get(), F_GETFL) & O_ACCMODE) == O_RDWR;
    mapped_bytes_ = size() + offset_ - start;
    void* address = mmap(nullptr, mapped_bytes_, PROT_READ | (writable_ ? PROT_WRITE : 0), MAP_SHARED,
                         fd_.get(), off_t(start));
    if (address == MAP_FAILED)
      return fail(ErrorCode::io, "the DMA-BUF cannot be mapped for the CPU: {}", std::strerror(errno));
    file_ = address;
    return {};
  }

  Status sync(uint64_t when, Access access) {
    if (!is_dma_buf_) return {};
    dma_buf_sync request{.flags = when | (int(access) & int(Access::read) ? DMA_BUF_SYNC_READ : 0) |
                                  (int(access) & int(Access::write) ? DMA_BUF_SYNC_WRITE : 0)};
    if (retried_ioctl(fd_.get(), DMA_BUF_IOCTL_SYNC, &request) == 0 || errno == ENOTTY) return {};
    return fail(ErrorCode::io, "the device did not hand the DMA-BUF to the CPU: {}", std::strerror(errno));
  }

  const Descriptor fd_;
  const size_t offset_;
  const bool is_dma_buf_;
  std::mutex mutex_;  // guards the first mapping
  void* file_ = nullptr;
  size_t mapped_bytes_ = 0;
  bool writable_ = false;
  ReleaseMemory release_;
};

const DmabufMemory* as_dmabuf(const Memory& memory) { return dynamic_cast<const DmabufMemory*>(&memory); }

Descriptor from_heap(size_t size) {
  const Descriptor heap(open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC));
  if (!heap) return Descriptor();
  dma_heap_allocation_data request{.len = size, .fd = 0, .fd_flags = O_RDWR | O_CLOEXEC, .heap_flags = 0};
  if (retried_ioctl(heap.get(), DMA_HEAP_IOCTL_ALLOC, &request) != 0) return Descriptor();
  return Descriptor(int(request.fd));
}

// Sealed, since a DMA-BUF over it wants to be sure of its pages.
Descriptor from_memfd(size_t size) {
  Descriptor memory(memfd_create("sightglass", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory || ftruncate(memory.get(), off_t(size)) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0)
    return Descriptor();
  return memory;
}

Descriptor from_udmabuf(const Descriptor& memory, size_t size) {
  const Descriptor device(open("/dev/udmabuf", O_RDWR | O_CLOEXEC));
  if (!device) return Descriptor();
  udmabuf_create request{
      .memfd = uint32_t(memory.get()), .flags = UDMABUF_FLAGS_CLOEXEC, .offset = 0, .size = size};
  return Descriptor(ioctl(device.get(), UDMABUF_CREATE, &request));
}

Result<Ref<DmabufMemory>> wrap(int fd, size_t offset, size_t size) {
  Descriptor own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own)
    return fail(ErrorCode::invalid_argument, "{} is no file descriptor that can be used as DMA-BUF: {}", fd,
                std::strerror(errno));
  struct stat file = {};
  off_t end = fstat(own.get(), &file) == 0 ? file.st_size : -1;
  if (end <= 0) end = lseek(own.get(), 0, SEEK_END);  // how exporters of old kernels tell
  if (end <= 0)
    return fail(ErrorCode::invalid_argument, "file descriptor {} is neither a DMA-BUF nor a memfd", fd);
  if (offset >= size_t(end) || size > size_t(end) - offset)
    return fail(ErrorCode::corrupt, "a DMA-BUF of {} bytes does not hold {} bytes from {} on", end, size,
                offset);
  return make_ref<DmabufMemory>(std::move(own), offset, size ? size : size_t(end) - offset);
}

}  // namespace

Result<MemoryRef> wrap_dmabuf(int fd, size_t offset, size_t size, ReleaseMemory release) {
  auto memory = wrap(fd, offset, size);
  if (memory)
    (*memory)->when_gone(std::move(release));
  else if (release)
    release();
  if (!memory) return forward_error(memory);
  return MemoryRef(*std::move(memory));
}

Result<MemoryRef> allocate_dmabuf(size_t size) {
  const size_t pages = size / page_size() + (size % page_size() != 0 || size == 0);
  if (pages > size_t(PTRDIFF_MAX) / page_size())
    return fail(ErrorCode::exhausted, "there is no memory for a DMA-BUF of {} bytes", size);
  const size_t rounded = pages * page_size();
  Descriptor fd = from_heap(rounded);
  if (!fd) {
    Descriptor memory = from_memfd(rounded);
    if (!memory)
      return fail(ErrorCode::exhausted, "there is no memory for a DMA-BUF of {} bytes: {}", size,
                  std::strerror(errno));
    fd = from_udmabuf(memory, rounded);
    if (!fd) fd = std::move(memory);
  }
  return make_ref<DmabufMemory>(std::move(fd), 0, std::max<size_t>(size, 1));
}

Result<Frame> dmabuf_frame(const VideoInfo& video, std::span<const DmabufPlane> planes) {
  if (planes.size() != plane_count(video.format) || video.width <= 0 || video.height <= 0)
    return fail(ErrorCode::invalid_argument, "a picture {} of {}x{} pixels has {} planes, not {}",
                to_string(video.format), video.width, video.height, plane_count(video.format), planes.size());
  Frame frame;
  frame.video = video;
  for (size_t i = 0; i < planes.size(); ++i) {
    const int64_t row = int64_t(plane_width(video, i)) * plane_layout(video.format, i).pixel_bytes;
    if (planes[i].pitch < size_t(row) || planes[i].pitch > size_t(INT32_MAX))
      return fail(ErrorCode::invalid_argument, "a pitch of {} bytes does not hold rows of {} bytes",
                  planes[i].pitch, row);
    Tensor& tensor = frame.tensors.emplace_back();
    size_t same = 0;
    while (planes[same].fd != planes[i].fd) ++same;
    if (same < i) {
      tensor.memory = frame.tensors[same].memory;
    } else {
      auto memory = wrap_dmabuf(planes[i].fd);
      if (!memory) return forward_error(memory);
      tensor.memory = *std::move(memory);
    }
    tensor.offset = planes[i].offset;
    tensor.layout = Layout::hw;
    tensor.shape = {plane_height(video, i), row};
    tensor.strides = {int64_t(planes[i].pitch), 1};
    if (tensor.offset > tensor.memory->size() || tensor.bytes() > tensor.memory->size() - tensor.offset)
      return fail(ErrorCode::corrupt,
                  "plane {} with {} rows of {} bytes from {} on does not lie within {} bytes", i,
                  tensor.shape[0], planes[i].pitch, planes[i].offset, tensor.memory->size());
  }
  return frame;
}

int dmabuf_fd(const Memory& memory) {
  const auto* dmabuf = as_dmabuf(memory);
  return dmabuf ? dmabuf->fd() : -1;
}

size_t dmabuf_offset(const Memory& memory) {
  const auto* dmabuf = as_dmabuf(memory);
  return dmabuf ? dmabuf->offset() : 0;
}

}  // namespace sightglass
