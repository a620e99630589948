#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/stream/uuid.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using Settings = std::vector<std::pair<std::string, std::string>>;

class ImageFiles : public testing::Test {
 protected:
  std::unique_ptr<Sink> open(const char* type, const Settings& settings = {}) {
    const SinkDesc* desc = find_sink(type);
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("folder", folder.string()));
    for (const auto& [key, value] : settings) EXPECT_TRUE(params.set_text(key, value));
    auto sink = desc->create(params, {.name = "pictures"});
    EXPECT_TRUE(sink);
    EXPECT_TRUE((*sink)->start());
    return std::move(*sink);
  }
  static RecordRef picture(const std::string& id, const char* codec, std::string bytes, int64_t number = 0) {
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::frame;
    message->source_id = id;
    stream::VideoFrame& frame = message->frame.emplace();
    frame.uuid = stream::make_uuid_v7();
    frame.codec = codec;
    frame.keyframe = true;
    frame.width = 16, frame.height = 16;
    frame.time_base = {1, 25};
    frame.pts = number;
    return record_of({.message = message, .payloads = {stream::own({bytes.begin(), bytes.end()})}});
  }
  static std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const sightglass::test::TemporaryFolder temporary{};
  const fs::path folder = temporary.path();
};

TEST_F(ImageFiles, ArePicturesUnderTheNameOfTheirRecord) {
  auto sink = open("image_files", {{"metadata", "true"}});
  const std::vector<RecordRef> records = {picture("cam:1", "jpeg", "a jpeg"),
                                          picture("cam:2", "png", "a png")};
  std::vector<Stored> outcome(2);
  // Given twice, there once.
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(sink->write(records, outcome));
  EXPECT_EQ(read(folder / "cam:1" / ("cam:1_0_" + stream::to_string(records[0]->uuid) + ".jpg")), "a jpeg");
  EXPECT_EQ(read(folder / "cam:2" / ("cam:2_0_" + stream::to_string(records[1]->uuid) + ".png")), "a png");
  EXPECT_THAT(read(folder / "cam:2" / ("cam:2_0_" + stream::to_string(records[1]->uuid) + ".json")),
              testing::HasSubstr("\"source_id\":\"cam:2\""));
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) files += entry.is_regular_file();
  EXPECT_EQ(files, 4u);
}

TEST_F(ImageFiles, VideoIsRefusedForGoodAndAFullDiskIsNot) {
  auto sink = open("image_files");
  std::vector<Stored> outcome(2);
  ASSERT_TRUE(
      sink->write(std::vector{picture("a", "h264", "no picture"), picture("a", "png", "one")}, outcome));
  EXPECT_THAT(outcome, testing::ElementsAre(Stored::never, Stored::yes));
  fs::remove_all(folder / "a");
  std::ofstream(folder / "a") << "in the way";
  outcome.assign(1, Stored::yes);
  EXPECT_FALSE(sink->write(std::vector{picture("a", "png", "two")}, outcome));
}

// Pictures of one source as one video: the sink video_file takes them as they are.
TEST_F(ImageFiles, BecomeOneVideoInTheSinkVideoFile) {
  auto sink = open("video_file", {{"container", "mkv"}, {"segment", "0"}, {"naming", "source"}});
  // A grey JPEG of 16 by 16 pixels.
  const unsigned char header[] = {0xff, 0xd8, 0xff, 0xdb, 0x00, 0x43, 0x00};
  std::string bytes(reinterpret_cast<const char*>(header), sizeof header);
  bytes += std::string(64, 1);
  bytes += std::string("\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00", 13);
  bytes += std::string(
      "\xff\xc4\x00\x14\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 22);
  bytes += std::string(
      "\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 22);
  bytes += std::string("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\xff\xd9", 13);
  std::vector<RecordRef> records;
  for (int i = 0; i < 10; ++i) records.push_back(picture("cam", "jpeg", bytes, i));
  std::vector<Stored> outcome(records.size());
  ASSERT_TRUE(sink->write(records, outcome));
  sink->stop();
  auto units = AccessUnits::open(folder / "cam.mkv");
  ASSERT_TRUE(units) << units.error().message;
  size_t count = 0;
  while (auto unit = (*units)->next()) {
    if (!*unit) break;
    ++count;
  }
  EXPECT_EQ(count, 10u);
}

}  // namespace
}  // namespace sightglass::adapters
