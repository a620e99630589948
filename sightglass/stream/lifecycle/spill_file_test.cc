#include "sightglass/stream/lifecycle/spill_file.h"
#include "tests/temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>

namespace {
std::atomic<int> fsync_fails_with = 0;
}
// In the place of the C library's, for all of this program: as a disk that fails.
extern "C" int fsync(int file) {
  if (const int error = fsync_fails_with) {
    errno = error;
    return -1;
  }
  return int(syscall(SYS_fsync, file));
}

namespace sightglass::stream {
namespace {

namespace fs = std::filesystem;

class SpillFileTest : public testing::Test {
 protected:
  using Limits = SpillFile::Limits;
  std::unique_ptr<SpillFile> open(const Limits& limits = {}) {
    auto file = SpillFile::open(folder_, limits);
    if (!file) ADD_FAILURE() << file.error().message;
    return file ? std::move(*file) : nullptr;
  }
  static std::vector<uint8_t> record(uint32_t number, size_t size = 100) {
    std::vector<uint8_t> bytes(std::max<size_t>(4, size), uint8_t(number * 7));
    std::memcpy(bytes.data(), &number, 4);
    return bytes;
  }
  static void add(SpillFile& file, uint32_t number, bool is_kept = false) {
    const auto bytes = record(number);
    auto& batch = file.begin_record();
    batch.insert(batch.end(), bytes.begin(), bytes.end());
    ASSERT_TRUE(file.end_record(is_kept));
  }
  static std::vector<uint32_t> read_all(SpillFile& file) {
    std::vector<uint32_t> numbers;
    std::vector<uint8_t> bytes;
    for (auto more = file.read(bytes); more && *more; more = file.read(bytes)) {
      uint32_t number = 0;
      std::memcpy(&number, bytes.data(), 4);
      EXPECT_EQ(bytes, record(number, bytes.size()));
      numbers.push_back(number);
    }
    return numbers;
  }
  static std::vector<uint32_t> range(uint32_t from, uint32_t to) {
    std::vector<uint32_t> numbers;
    for (uint32_t i = from; i < to; ++i) numbers.push_back(i);
    return numbers;
  }
  std::vector<fs::path> segments() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.path().extension() == ".spill") found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
  }
  void overwrite(const fs::path& path, uint64_t offset, char with) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(std::streamoff(offset));
    file.put(with);
  }

  const test::TemporaryFolder temporary_{};
  const std::string folder_ = temporary_.path();
  static constexpr Limits small{.most_bytes = 64 << 10, .segment_bytes = 4096};
};

TEST_F(SpillFileTest, GivesBackInOrderAcrossSegmentsWhatWasAppended) {
  auto file = open(small);
  for (uint32_t i = 0; i < 200; ++i) ASSERT_TRUE(file->append(record(i)));
  EXPECT_GT(segments().size(), 4u);
  EXPECT_EQ(file->unread(), 200u);
  EXPECT_EQ(read_all(*file), range(0, 200));
  EXPECT_EQ(file->records(), 200u);
  ASSERT_TRUE(file->commit(200));
  EXPECT_EQ(file->records(), 0u);
  EXPECT_EQ(file->bytes(), 0u);
  EXPECT_TRUE(segments().empty()) << "delivered: the disk is free again";
  ASSERT_TRUE(file->append(record(7)));
  EXPECT_EQ(read_all(*file), std::vector<uint32_t>{7});
}

TEST_F(SpillFileTest, TakesUpWhatAnEarlierProcessHasLeft) {
  {
    auto file = open(small);
    for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(file->append(record(i)));
    std::vector<uint8_t> bytes;
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(file->read(bytes));
    ASSERT_TRUE(file->commit(50));  // ten are with the sink
  }
  auto file = open(small);
  EXPECT_EQ(file->unread(), 50u);
  ASSERT_TRUE(file->append(record(100)));
  EXPECT_EQ(read_all(*file), range(50, 101));
  EXPECT_EQ(file->damaged(), 0u);
}

TEST_F(SpillFileTest, LimitIsAnErrorThatDroppingTheOldestCures) {
  auto file = open(small);
  uint32_t next = 0;
  sightglass::Status status;
  while ((status = file->append(record(next)))) ++next;
  EXPECT_EQ(status.error().code, ErrorCode::exhausted);
  EXPECT_LE(file->bytes(), small.most_bytes);
  auto lost = file->drop_oldest();
  ASSERT_TRUE(lost);
  EXPECT_GT(*lost, 0u);
  EXPECT_TRUE(file->append(record(next)));
  EXPECT_EQ(read_all(*file), range(uint32_t(*lost), next + 1));
}

TEST_F(SpillFileTest, KeptRecordIsReadOnlyAfterARestart) {
  {
    auto file = open(small);
    for (uint32_t i = 0; i < 100; ++i) {
      add(*file, i, true);
      size_t written = 0;
      ASSERT_TRUE(file->write(written));
      EXPECT_EQ(written, 1u);
      EXPECT_EQ(file->unread(), 0u);
    }
    ASSERT_TRUE(file->append(record(100)));
    EXPECT_EQ(read_all(*file), std::vector<uint32_t>{100});
    ASSERT_TRUE(file->commit(40));
  }
  auto file = open(small);
  EXPECT_EQ(read_all(*file), range(40, 101));
  ASSERT_TRUE(file->commit(61));
  EXPECT_TRUE(segments().empty());
}

TEST_F(SpillFileTest, BatchIsOnDiskOnceItIsWritten) {
  auto file = open(small);
  for (uint32_t i = 0; i < 100; ++i) add(*file, i, i < 30);  // of three segments
  EXPECT_EQ(file->batched(), 100u);
  EXPECT_EQ(file->records(), 0u);
  EXPECT_TRUE(segments().empty());
  size_t written = 0;
  ASSERT_TRUE(file->write(written));
  EXPECT_EQ(written, 100u);
  EXPECT_EQ(file->batched(), 0u);
  EXPECT_EQ(file->unread(), 70u);
  EXPECT_EQ(file->records(), 100u);
  EXPECT_GE(segments().size(), 3u);
  EXPECT_EQ(read_all(*file), range(30, 100));
  ASSERT_TRUE(file->commit(20));
  file.reset();
  file = open(small);
  EXPECT_EQ(read_all(*file), range(20, 100));
  EXPECT_EQ(file->damaged(), 0u);
}

TEST_F(SpillFileTest, RecordThatWasBegunAndNotEndedIsForgotten) {
  auto file = open(small);
  add(*file, 0);
  file->begin_record().resize(5000);
  add(*file, 1);
  file->begin_record().resize(500);
  size_t written = 0;
  ASSERT_TRUE(file->write(written));
  add(*file, 2);
  file->forget(1);
  ASSERT_TRUE(file->append(record(3)));
  EXPECT_EQ(read_all(*file), (std::vector<uint32_t>{0, 1, 3}));
}

// The file is reused; what it holds of its earlier life is not taken for records.
TEST_F(SpillFileTest, DeliveredSegmentIsWrittenAgainAndItsOldRecordsStayForgotten) {
  auto file = open({.most_bytes = 1 << 20, .segment_bytes = 128 << 10});
  ino_t inode = 0;
  for (uint32_t round = 0; round < 20; ++round) {
    const uint32_t count = 100 - 4 * round;  // each ends before the one before it
    for (uint32_t i = 0; i < count; ++i) ASSERT_TRUE(file->append(record(i, 20 + round)));
    ASSERT_EQ(segments().size(), 1u);
    struct stat status{};
    ASSERT_EQ(stat(segments()[0].c_str(), &status), 0);
    if (round > 0) {
      EXPECT_EQ(status.st_ino, inode) << "the same file";
    }
    inode = status.st_ino;
    // As another process would find it after a crash.
    const std::string copy = folder_ + "-copy";
    fs::remove_all(copy);
    fs::copy(folder_, copy);
    {
      auto after = SpillFile::open(copy, {});
      ASSERT_TRUE(after);
      EXPECT_EQ(read_all(**after), range(0, count));
      EXPECT_EQ((*after)->damaged(), 0u);
    }
    // And half of the last record, in the middle of old ones.
    const std::string last = copy + "/" + segments()[0].filename().string();
    fs::remove_all(copy);
    fs::copy(folder_, copy);
    overwrite(last, 16 + count * (32 + round) - (32 + round) + 9, '!');  // its check
    {
      auto after = SpillFile::open(copy, {});
      ASSERT_TRUE(after);
      EXPECT_EQ(read_all(**after), range(0, count - 1));
      EXPECT_EQ((*after)->damaged(), 0u) << "it was being written";
    }
    // Or only its header and a part of its bytes: what follows are the old ones'.
    fs::remove_all(copy);
    fs::copy(folder_, copy);
    for (uint32_t i = 0; i < 20; ++i) overwrite(last, 16 + count * (32 + round) - 5 + i, '!');
    {
      auto after = SpillFile::open(copy, {});
      ASSERT_TRUE(after);
      EXPECT_EQ(read_all(**after), range(0, count - 1));
      EXPECT_EQ((*after)->damaged(), 0u);
      EXPECT_NE((*after)->notice(), "");
    }
    EXPECT_EQ(read_all(*file), range(0, count));
    ASSERT_TRUE(file->commit(count));
    EXPECT_TRUE(segments().empty());
    EXPECT_LE(fs::file_size(folder_ + "/spare"), 16u << 10) << "an eighth of a segment";
  }
  fs::remove_all(folder_ + "-copy");
  file.reset();
  EXPECT_FALSE(fs::exists(folder_ + "/spare"));
}

TEST_F(SpillFileTest, RecordsInFlightMayBeDeliveredAfterTheirSegmentWasDropped) {
  auto file = open(small);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(file->append(record(i)));
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(file->read(bytes));
  const uint64_t lost = *file->drop_oldest();
  EXPECT_EQ(file->records(), 100 - lost);
  ASSERT_TRUE(file->commit(10));
  EXPECT_EQ(read_all(*file), range(uint32_t(10 + lost), 100));
  ASSERT_TRUE(file->commit(90 - lost));
  EXPECT_TRUE(segments().empty());
}

TEST_F(SpillFileTest, TornTailIsCutOff) {
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  fs::resize_file(segments()[0], fs::file_size(segments()[0]) - 30);
  auto file = open();
  EXPECT_EQ(file->damaged(), 0u) << "it has never counted as stored";
  EXPECT_TRUE(file->notice().ends_with("000000000001.spill: its end was torn, and was cut off"))
      << file->notice();
  ASSERT_TRUE(file->append(record(9)));
  EXPECT_EQ(read_all(*file), range(0, 10));
}

TEST_F(SpillFileTest, WhatIsNoTailIsDamageAndCounted) {
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  overwrite(segments()[0], 16 + 7 * 112 + 3, '\x7f');  // a length, whole records behind it
  auto file = open();
  EXPECT_EQ(file->notice(), "");
  EXPECT_EQ(read_all(*file), (std::vector<uint32_t>{0, 1, 2, 3, 4, 5, 6, 8, 9}));
  EXPECT_EQ(file->damaged(), 1u);
}

TEST_F(SpillFileTest, RecordsBehindAHeaderOfZerosAreKept) {
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  for (uint32_t i = 0; i < 12; ++i) overwrite(segments()[0], 16 + 4 * 112 + i, '\0');
  auto file = open();
  ASSERT_TRUE(file->append(record(10)));
  EXPECT_EQ(read_all(*file), (std::vector<uint32_t>{0, 1, 2, 3, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(file->damaged(), 1u);
}

// Of a sector with parts of three records none can be told from the others.
TEST_F(SpillFileTest, NextWholeRecordIsLookedForBehindADamageOfSeveral) {
  const auto damage = [&] {
    for (uint32_t i = 0; i < 200; ++i) overwrite(segments()[0], 16 + 3 * 112 + 50 + i, '!');
  };
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
    damage();
  }
  const std::vector<uint32_t> whole{0, 1, 2, 6, 7, 8, 9};
  {
    auto file = open();
    EXPECT_EQ(read_all(*file), whole);
    EXPECT_EQ(file->damaged(), 2u) << "3, and what follows as one";
    ASSERT_TRUE(file->commit(7));
    EXPECT_TRUE(segments().empty());
  }
  // Who has written them knows how many they were.
  auto file = open();
  for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  damage();
  EXPECT_EQ(read_all(*file), whole);
  EXPECT_EQ(file->damaged(), 3u);
  EXPECT_EQ(file->unread(), 0u);
}

TEST_F(SpillFileTest, FolderThatIsNotForcedToDiskIsAnError) {
  for (const SpillSync sync : {SpillSync::every_record, SpillSync::per_segment}) {
    Limits limits = small;
    limits.sync = sync;
    auto file = open(limits);
    ASSERT_TRUE(file->append(record(0)));
    fsync_fails_with = EIO;
    uint32_t next = 1;
    sightglass::Status status;
    while (next < 100 && (status = file->append(record(next)))) ++next;
    ASSERT_FALSE(status);
    EXPECT_TRUE(status.error().message.contains(folder_ + ": syncing failed")) << status.error().message;
    EXPECT_EQ(file->unread(), next);
    fsync_fails_with = EINVAL;  // of a file system that does not do it
    for (const uint32_t more = next + 50; next < more; ++next) ASSERT_TRUE(file->append(record(next)));
    fsync_fails_with = 0;
    EXPECT_EQ(read_all(*file), range(0, next));
    ASSERT_TRUE(file->commit(next));
  }
}

TEST_F(SpillFileTest, DamagedRecordIsSkippedAndCounted) {
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  overwrite(segments()[0], 16 + 3 * 112 + 50, '!');
  auto file = open();
  EXPECT_EQ(read_all(*file), (std::vector<uint32_t>{0, 1, 2, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(file->damaged(), 1u);
  EXPECT_EQ(file->unread(), 0u);
}

TEST_F(SpillFileTest, DamagedLengthCostsItsRecordOnly) {
  {
    auto file = open(small);
    for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  overwrite(segments()[0], 16 + 3 * 112 + 3, '\x7f');  // the length's top byte: 2 GB
  auto file = open(small);
  auto expected = range(0, 100);
  expected.erase(expected.begin() + 3);
  EXPECT_EQ(read_all(*file), expected);
  EXPECT_EQ(file->damaged(), 1u);
}

TEST_F(SpillFileTest, ForeignAndEmptyFilesDoNoHarm) {
  std::ofstream(folder_ + "/000000000003.spill") << "not one of ours, though it is called so";
  std::ofstream(folder_ + "/000000000004.spill");
  std::ofstream(folder_ + "/readme.txt") << "hello";
  std::ofstream(folder_ + "/position") << "garbage";
  std::ofstream(folder_ + "/5.spill") << "another's name";
  std::ofstream(folder_ + "/.spill") << "none at all";
  auto file = open();
  EXPECT_EQ(file->unread(), 0u);
  EXPECT_EQ(file->damaged(), 1u);
  EXPECT_TRUE(fs::exists(folder_ + "/000000000003.spill.unreadable")) << "of another version, perhaps";
  EXPECT_TRUE(file->notice().contains("000000000003.spill.unreadable")) << file->notice();
  EXPECT_FALSE(fs::exists(folder_ + "/000000000004.spill"));
  ASSERT_TRUE(file->append(record(1)));
  EXPECT_EQ(read_all(*file), std::vector<uint32_t>{1});
  EXPECT_TRUE(fs::exists(folder_ + "/readme.txt"));
  EXPECT_TRUE(fs::exists(folder_ + "/5.spill"));
  EXPECT_TRUE(fs::exists(folder_ + "/.spill"));
}

TEST_F(SpillFileTest, RecordsAfterADamageAreReadAlsoAfterARestart) {
  {
    auto file = open();
    for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
    for (uint32_t i = 5; i < 10; ++i) overwrite(segments()[0], 16 + i * 112 + 3, '\x7f');  // the lengths
    EXPECT_EQ(read_all(*file), range(0, 5));
    EXPECT_EQ(file->damaged(), 5u);
    for (uint32_t i = 10; i < 15; ++i) ASSERT_TRUE(file->append(record(i)));
    EXPECT_EQ(file->unread(), 5u);
    std::vector<uint8_t> bytes;
    ASSERT_TRUE(*file->read(bytes));
    EXPECT_EQ(bytes, record(10));
    ASSERT_TRUE(file->commit(6));
  }
  auto file = open();
  EXPECT_EQ(read_all(*file), range(11, 15));
}

TEST_F(SpillFileTest, SegmentThatSomebodyHasRemovedIsPassedAndCounted) {
  auto file = open(small);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(file->append(record(i)));
  const auto all = segments();
  ASSERT_GT(all.size(), 2u);
  fs::remove(all.front());
  fs::remove(all.back());  // the one being written
  const auto got = read_all(*file);
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got, range(got.front(), got.back() + 1));
  EXPECT_EQ(file->damaged(), 100 - got.size());
  EXPECT_EQ(file->unread(), 0u);
  ASSERT_TRUE(file->append(record(100)));
  EXPECT_EQ(read_all(*file), std::vector<uint32_t>{100});
  ASSERT_TRUE(file->commit(got.size() + 1));
  EXPECT_TRUE(segments().empty());
}

// A folder opens like a file, and answers no read: as a disk with a bad place.
TEST_F(SpillFileTest, SegmentThatCannotBeReadIsSetAside) {
  {
    auto file = open(small);
    for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(file->append(record(i)));
  }
  const auto bad = segments()[1];
  fs::remove(bad);
  fs::create_directory(bad);
  {
    auto file = open(small);
    EXPECT_EQ(file->damaged(), 1u);
    EXPECT_TRUE(fs::is_directory(bad.string() + ".unreadable"));
    EXPECT_EQ(read_all(*file).back(), 99u);
  }
  const auto first = segments()[0];
  auto file = open(small);
  fs::remove(first);
  fs::create_directory(first);
  const auto got = read_all(*file);
  EXPECT_EQ(got.back(), 99u);
  EXPECT_GT(file->damaged(), 0u);
}

TEST_F(SpillFileTest, SegmentThatIsFullTakesNoMoreOfTheDiskThanItHolds) {
  auto file = open(small);
  for (int round = 0; round < 5; ++round) {
    uint32_t count = 0;
    while (segments().size() < 2) ASSERT_TRUE(file->append(record(count++, 100 + 700 * size_t(round))));
    uint64_t sizes = 0;
    for (const auto& segment : segments()) sizes += fs::file_size(segment);
    EXPECT_LE(sizes, file->bytes() + 12 + (round > 0 ? 4096 : 0)) << "its end mark, what it was before";
    EXPECT_EQ(read_all(*file), range(0, count));
    ASSERT_TRUE(file->commit(count));
  }
}

TEST_F(SpillFileTest, DamageWhileItIsOpenIsSurvived) {
  auto file = open();
  for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(file->append(record(i)));
  fs::resize_file(segments()[0], 16 + 5 * 112);
  EXPECT_EQ(read_all(*file), range(0, 5));
  EXPECT_EQ(file->unread(), 0u);
  EXPECT_EQ(file->damaged(), 5u);
}

TEST_F(SpillFileTest, TwoProcessesDoNotShareAFolder) {
  auto file = open();
  auto second = SpillFile::open(folder_, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
}

TEST_F(SpillFileTest, FolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_ + "/file") << "x";
  auto file = SpillFile::open(folder_ + "/file/below", {});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::io);
}

TEST_F(SpillFileTest, RecordOverTheLimitIsRefused) {
  auto file = open({.most_record = 1000});
  EXPECT_FALSE(file->append(record(1, 1001)));
  EXPECT_TRUE(file->append(record(1, 1000)));
  EXPECT_TRUE(file->append({}));
  EXPECT_EQ(file->unread(), 2u);
  file.reset();
  file = open(small);
  const auto status = file->append(record(1, small.most_bytes - 32));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument) << "others need not make room for it";
}

// The kernel refuses what goes beyond 8 KiB of a file, in the middle of a record.
TEST_F(SpillFileTest, FullDiskIsAnErrorAndWhatWasThereStaysReadable) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{8192, 8192};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto file = SpillFile::open(folder_, {});
    if (!file) _exit(1);
    uint32_t next = 0;
    sightglass::Status status;
    while ((status = (*file)->append(record(next, 1000)))) ++next;
    if (status.error().code != ErrorCode::exhausted || next != 8) _exit(2);
    if ((*file)->append(record(next, 1000))) _exit(3);
    if (read_all(**file) != range(0, next)) _exit(4);
    if (!(*file)->commit(next) || !segments().empty()) _exit(5);
    if (!(*file)->append(record(next, 1000))) _exit(6);  // there is room again
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  auto file = open();
  EXPECT_EQ(read_all(*file), std::vector<uint32_t>{8});
}

TEST_F(SpillFileTest, BatchThatTheDiskHasNoRoomForIsWrittenAsFarAsItFits) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{8192, 8192};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto file = SpillFile::open(folder_, {});
    if (!file) _exit(1);
    for (uint32_t i = 0; i < 100; ++i) add(**file, i);
    size_t written = 0;
    const auto status = (*file)->write(written);
    if (status || status.error().code != ErrorCode::exhausted || written != 73) _exit(2);
    if ((*file)->batched() != 27 || (*file)->unread() != 73) _exit(3);
    if (read_all(**file) != range(0, 73) || !(*file)->commit(73)) _exit(4);
    if (!(*file)->write(written) || written != 27) _exit(5);  // there is room again
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  auto file = open();
  EXPECT_EQ(read_all(*file), range(73, 100));
}

TEST_F(SpillFileTest, KilledWhileWritingItLosesNothingThatWasAppended) {
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto file = SpillFile::open(folder_, small);
      for (uint32_t i = 0; file && (*file)->append(record(i, 50 + i % 200)); ++i)
        if (write(pipe_ends[1], &i, sizeof(i)) < 0) _exit(1);
      pause();
      _exit(0);
    }
    close(pipe_ends[1]);
    uint32_t appended = 0;
    for (int i = 0; i < 20 + 30 * round; ++i) ASSERT_EQ(read(pipe_ends[0], &appended, sizeof(appended)), 4);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &appended, sizeof(appended)) == 4) continue;  // said before it was killed
    close(pipe_ends[0]);
    auto file = open(small);
    const auto numbers = read_all(*file);
    ASSERT_GT(numbers.size(), size_t(appended));
    EXPECT_EQ(numbers, range(0, uint32_t(numbers.size())));
    ASSERT_TRUE(file->commit(numbers.size()));
  }
}

TEST_F(SpillFileTest, EverySyncPolicyStoresTheSame) {
  for (const SpillSync sync : {SpillSync::none, SpillSync::per_segment, SpillSync::every_record}) {
    auto file = open({.most_bytes = 64 << 10, .segment_bytes = 4096, .sync = sync});
    for (uint32_t i = 0; i < 60; ++i) ASSERT_TRUE(file->append(record(i)));
    EXPECT_EQ(read_all(*file), range(0, 60));
    ASSERT_TRUE(file->commit(60));
  }
}

}  // namespace
}  // namespace sightglass::stream
