#include "sightglass/memory/shm/shm_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <format>
#include <functional>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

std::string unique_name(std::string_view what) {
  return std::format("sightglass-test-{}-{}", what, getpid());
}

bool name_exists(const std::string& name) {
  const int fd = shm_open(("/" + name).c_str(), O_RDONLY, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// Runs `work` in another process, which has inherited nothing that it uses. The number of the first check
// that failed, 0: none.
int in_another_process(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::byte* address(const MemoryRef& memory) { return *memory->map(Access::read_write); }

TEST(ShmMemory, IsSharedByTwoProcesses) {
  const auto name = unique_name("two");
  auto memory = create_shm(name, 10000);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(shm_name(**memory), name);
  EXPECT_EQ((*memory)->kind(), MemoryKind::shm);
  EXPECT_EQ(address(*memory)[9999], std::byte{0});
  std::memset(address(*memory), 5, 10000);
  EXPECT_EQ(in_another_process([&] {
              auto same = open_shm("/" + name);
              if (!same) return 1;
              if ((*same)->size() != 10000) return 2;
              if (address(*same)[9999] != std::byte{5}) return 3;
              address(*same)[0] = std::byte{6};
              return 0;
            }),
            0);
  EXPECT_EQ(address(*memory)[0], std::byte{6});
  EXPECT_TRUE(name_exists(name)) << "the other process was not the last";
  *memory = nullptr;
  EXPECT_FALSE(name_exists(name));
}

TEST(ShmMemory, StaysUntilTheLastOwnerHasGone) {
  const auto name = unique_name("last");
  auto first = create_shm(name, 100);
  ASSERT_TRUE(first);
  auto second = open_shm(name);
  ASSERT_TRUE(second);
  *first = nullptr;
  EXPECT_TRUE(name_exists(name));
  address(*second)[99] = std::byte{1};
  *second = nullptr;
  EXPECT_FALSE(name_exists(name));
  EXPECT_EQ(open_shm(name).error().code, ErrorCode::not_found);
}

TEST(ShmMemory, IsNotRemovedByAChildThatInheritsIt) {
  const auto name = unique_name("fork");
  auto memory = create_shm(name, 100);
  ASSERT_TRUE(memory);
  EXPECT_EQ(in_another_process([&] {
              *memory = nullptr;
              return name_exists(name) ? 0 : 1;
            }),
            0);
  EXPECT_TRUE(name_exists(name));
  EXPECT_TRUE(open_shm(name));
}

TEST(ShmMemory, OfACrashedProcessIsReplaced) {
  const auto name = unique_name("crash");
  ASSERT_EQ(in_another_process([&] {
              auto memory = create_shm(name, 100);
              if (!memory) return 1;
              static_cast<void>(memory->release());  // dies without giving it back
              return 0;
            }),
            0);
  EXPECT_TRUE(name_exists(name));
  auto memory = create_shm(name, 200);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ((*memory)->size(), 200u);
}

TEST(ShmMemory, InUseIsNotReplaced) {
  const auto name = unique_name("used");
  auto memory = create_shm(name, 100);
  ASSERT_TRUE(memory);
  EXPECT_EQ(create_shm(name, 100).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(in_another_process([&] { return create_shm(name, 100) ? 1 : 0; }), 0);
  EXPECT_TRUE(remove_shm(name));
  EXPECT_FALSE(remove_shm(name));
  auto next = create_shm(name, 50);
  ASSERT_TRUE(next);
  *memory = nullptr;
  EXPECT_TRUE(name_exists(name)) << "the name is that of the next by now";
}

TEST(ShmMemory, RefusesWhatCannotBe) {
  for (const char* name : {"", "/", "a/b", "..", "with space", ".hidden"})
    EXPECT_EQ(create_shm(name, 10).error().code, ErrorCode::invalid_argument) << name;
  EXPECT_FALSE(create_shm(std::string(201, 'a'), 10));
  EXPECT_FALSE(open_shm("a/b"));
  EXPECT_FALSE(create_shm(unique_name("zero"), 0));
  EXPECT_FALSE(create_shm(unique_name("huge"), SIZE_MAX));
  EXPECT_FALSE(create_shm(unique_name("large"), size_t(1) << 60));
  EXPECT_FALSE(name_exists(unique_name("large")));
  EXPECT_EQ(open_shm(unique_name("nobody")).error().code, ErrorCode::not_found);
}

TEST(ShmMapper, CopiesAPictureThatAnotherProcessReads) {
  const VideoInfo video{.format = PixelFormat::i420, .width = 7, .height = 5};
  auto frame = allocate_frame(video);
  ASSERT_TRUE(frame);
  for (const Tensor& plane : frame->tensors) {
    auto rows = map(plane, Access::write);
    for (int y = 0; y < plane.shape[0]; ++y)
      std::memset(rows->row<uint8_t>(y), 10 + y, size_t(plane.shape[1]));
  }
  auto mapped = map_to(*frame, {.form = {MemoryKind::shm, video.format}, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  const Frame shared = mapped->frame();
  const std::string name = shm_name(*shared.tensors[2].memory);
  EXPECT_FALSE(name.empty());
  EXPECT_EQ(in_another_process([&] {
              auto same = open_shm(name);
              if (!same) return 1;
              std::byte* row = address(*same) + shared.tensors[2].offset + 2 * shared.tensors[2].strides[0];
              if (row[3] != std::byte{12}) return 2;
              row[3] = std::byte{77};
              return 0;
            }),
            0);
  ASSERT_TRUE(mapped->finish());
  EXPECT_EQ(map(frame->tensors[2], Access::read)->row<uint8_t>(2)[3], 77);
}

TEST(ShmMapper, SharesItsBytesWithTheCpu) {
  auto memory = create_shm(100);
  ASSERT_TRUE(memory);
  Frame frame;
  frame.tensors = {tensor_in(*memory, {.type = DataType::u16, .shape = {3, 4}}, 10)};
  auto mapped =
      map_to(frame, {.form = {MemoryKind::system, {}}, .access = Access::write}, {.strict_zero_copy = true});
  ASSERT_TRUE(mapped) << mapped.error().message;
  map(mapped->frame().tensors[0], Access::write)->as<uint16_t>()[11] = 0x1234;
  EXPECT_EQ(address(*memory)[10 + 22], std::byte{0x34});
  frame = {};
  const std::string name = shm_name(**memory);
  *memory = nullptr;
  EXPECT_TRUE(map(mapped->frame().tensors[0], Access::read)) << "the mapping keeps it";
  EXPECT_TRUE(name_exists(name));
}

}  // namespace
}  // namespace sightglass
