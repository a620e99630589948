#include "sightglass/memory/dmabuf/dmabuf_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// A memfd whose bytes count up.
int counting_memfd(size_t size) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  EXPECT_EQ(ftruncate(fd, off_t(size)), 0);
  for (size_t i = 0; i < size; ++i) {
    const auto byte = uint8_t(i * 7 + i / 251);
    EXPECT_EQ(pwrite(fd, &byte, 1, off_t(i)), 1);
  }
  return fd;
}

uint8_t expected_at(size_t offset) { return uint8_t(offset * 7 + offset / 251); }

constexpr VideoInfo nv12{.format = PixelFormat::nv12, .width = 31, .height = 17};

TEST(DmabufMemory, IsThereAfterItsDescriptorWasClosed) {
  const int fd = counting_memfd(10000);
  auto memory = wrap_dmabuf(fd);
  ASSERT_TRUE(memory) << memory.error().message;
  close(fd);
  EXPECT_NE(dmabuf_fd(**memory), fd);
  EXPECT_EQ((*memory)->size(), 10000u);
  auto data = (*memory)->map(Access::read);
  ASSERT_TRUE(data);
  EXPECT_EQ(uint8_t((*data)[9999]), expected_at(9999));
  (*memory)->unmap(Access::read);
}

TEST(DmabufMemory, StartsAtAnyOffset) {
  const int fd = counting_memfd(20000);
  for (size_t offset : {1u, 4096u, 5001u}) {
    auto memory = wrap_dmabuf(fd, offset, 100);
    ASSERT_TRUE(memory);
    EXPECT_EQ((*memory)->size(), 100u);
    EXPECT_EQ(dmabuf_offset(**memory), offset);
    auto data = (*memory)->map(Access::read);
    ASSERT_TRUE(data);
    EXPECT_EQ(uint8_t((*data)[99]), expected_at(offset + 99));
    (*memory)->unmap(Access::read);
  }
  close(fd);
}

TEST(DmabufMemory, RefusesWhatIsNoSuchDescriptor) {
  const int closed = counting_memfd(10);
  close(closed);
  EXPECT_EQ(wrap_dmabuf(closed).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(wrap_dmabuf(-1).error().code, ErrorCode::invalid_argument);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(wrap_dmabuf(ends[0]).error().code, ErrorCode::invalid_argument);
  close(ends[0]);
  close(ends[1]);
  const int fd = counting_memfd(100);
  EXPECT_EQ(wrap_dmabuf(fd, 100).error().code, ErrorCode::corrupt);
  EXPECT_EQ(wrap_dmabuf(fd, 1, 100).error().code, ErrorCode::corrupt);
  EXPECT_EQ(wrap_dmabuf(fd, SIZE_MAX, SIZE_MAX).error().code, ErrorCode::corrupt);
  close(fd);
}

TEST(DmabufMemory, OpenForReadingOnlyIsNotWrittenTo) {
  const int fd = counting_memfd(100);
  const int reading = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(reading, 0);
  auto memory = wrap_dmabuf(reading);
  ASSERT_TRUE(memory);
  EXPECT_TRUE((*memory)->map(Access::read));
  (*memory)->unmap(Access::read);
  EXPECT_FALSE((*memory)->map(Access::write));
  close(reading);
  close(fd);
}

TEST(DmabufMemory, IsAllocatedInWholePages) {
  auto memory = allocate_dmabuf(5000);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ((*memory)->size(), 5000u);
  auto data = (*memory)->map(Access::write);
  ASSERT_TRUE(data);
  std::memset(*data, 9, 5000);
  (*memory)->unmap(Access::write);
  auto other = wrap_dmabuf(dmabuf_fd(**memory), 4096, 100);
  ASSERT_TRUE(other);
  auto same = (*other)->map(Access::read);
  ASSERT_TRUE(same);
  EXPECT_EQ((*same)[99], std::byte{9});
  (*other)->unmap(Access::read);
  EXPECT_FALSE(allocate_dmabuf(SIZE_MAX));
}

TEST(DmabufFrame, HasItsPlanesInOneDescriptor) {
  const int fd = counting_memfd(8192);
  const DmabufPlane planes[] = {{fd, 100, 64}, {fd, 3000, 40}};
  auto frame = dmabuf_frame(nv12, planes);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->tensors[0].memory, frame->tensors[1].memory) << "duplicated once";
  EXPECT_EQ(form_of(*frame), (Form{MemoryKind::dmabuf, PixelFormat::nv12}));
  auto chroma = map(frame->tensors[1], Access::read);
  ASSERT_TRUE(chroma);
  EXPECT_EQ(chroma->row<uint8_t>(8)[31], expected_at(3000 + 8 * 40 + 31));
  close(fd);
}

TEST(DmabufFrame, MayHaveADescriptorPerPlane) {
  const int luma = counting_memfd(4096), chroma = counting_memfd(1024);
  const DmabufPlane planes[] = {{luma, 0, 32}, {chroma, 0, 32}};
  auto frame = dmabuf_frame(nv12, planes);
  ASSERT_TRUE(frame);
  EXPECT_NE(frame->tensors[0].memory, frame->tensors[1].memory);
  close(luma);
  close(chroma);
}

TEST(DmabufFrame, HasToLieWithinItsDescriptor) {
  const int fd = counting_memfd(31 * 17 + 32 * 9 - 1);
  const auto error = [&](size_t pitch, size_t offset) {
    const DmabufPlane planes[] = {{fd, 0, 31}, {fd, offset, pitch}};
    return dmabuf_frame(nv12, planes).error().code;
  };
  EXPECT_EQ(error(32, 31 * 17), ErrorCode::corrupt) << "a byte too small";
  EXPECT_EQ(error(31, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(error(SIZE_MAX, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(error(32, SIZE_MAX), ErrorCode::corrupt);
  EXPECT_FALSE(dmabuf_frame(nv12, {}));
  close(fd);
}

TEST(DmabufMapper, SharesTheBytesWithTheCpu) {
  const int fd = counting_memfd(8192);
  const DmabufPlane planes[] = {{fd, 0, 64}, {fd, 3000, 40}};
  auto frame = dmabuf_frame(nv12, planes);
  ASSERT_TRUE(frame);
  CopyLedger ledger;
  auto mapped =
      map_to(*frame, {.form = {MemoryKind::system, PixelFormat::nv12}, .access = Access::read_write},
             {.hop = &ledger.hop("test"), .strict_zero_copy = true});
  ASSERT_TRUE(mapped) << mapped.error().message;
  Frame system = mapped->frame();
  *frame = {};  // the source goes first
  {
    auto luma = map(system.tensors[0], Access::read_write);
    ASSERT_TRUE(luma);
    EXPECT_EQ(luma->row<uint8_t>(16)[30], expected_at(16 * 64 + 30));
    luma->row<uint8_t>(16)[30] = 1;
  }
  ASSERT_TRUE(mapped->finish());
  uint8_t written = 0;
  EXPECT_EQ(pread(fd, &written, 1, 16 * 64 + 30), 1);
  EXPECT_EQ(written, 1);
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
  close(fd);
}

TEST(DmabufMapper, CopiesThereAndBack) {
  Frame frame;
  frame.tensors = {*allocate_tensor({.type = DataType::f32, .shape = {3, 5}, .strides = {32, 4}}),
                   *allocate_tensor({.type = DataType::u8, .shape = {7}})};
  for (int row = 0; row < 3; ++row) {
    auto rows = map(frame.tensors[0], Access::write);
    for (int i = 0; i < 5; ++i) rows->row<float>(row)[i] = float(row * 5 + i);
  }
  auto mapped = map_to(frame, {.form = {MemoryKind::dmabuf, {}}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const Tensor& tensor = mapped->frame().tensors[0];
  EXPECT_GE(dmabuf_fd(*tensor.memory), 0);
  {
    auto copy = map(tensor, Access::read_write);
    ASSERT_TRUE(copy);
    EXPECT_TRUE(copy->dense());
    EXPECT_EQ(copy->as<float>()[14], 14.f);
    copy->as<float>()[14] = 99.f;
  }
  ASSERT_TRUE(mapped->finish());
  EXPECT_EQ(map(frame.tensors[0], Access::read)->row<float>(2)[4], 99.f);
  EXPECT_EQ(dmabuf_fd(*frame.tensors[0].memory), -1);
}

}  // namespace
}  // namespace sightglass
