// What the sink `recording` writes and the source `replay` gives back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/recording/segment.h"
#include "sightglass/stream/uuid.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using Settings = std::vector<std::pair<std::string, std::string>>;

// Other tests of this program use up what names from the wire may take.
const Label cup("cup");

class Collected final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    all.push_back(std::move(delivery));
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  std::vector<stream::Uuid> uuids(const std::string& id) const {
    std::vector<stream::Uuid> found;
    for (const auto& each : all)
      if (each.message->frame && each.message->source_id == id) found.push_back(each.message->frame->uuid);
    return found;
  }
  std::vector<stream::Delivery> all;
};

class Recording : public testing::Test {
 protected:
  // Two cameras, every fifth frame a keyframe, with an object each; cam-1 comes back once.
  std::vector<RecordRef> cameras(size_t frames) {
    std::vector<RecordRef> records;
    for (size_t i = 0; i < frames; ++i)
      for (const char* id : {"cam-1", "cam-2"}) {
        auto message = std::make_shared<stream::Message>();
        message->kind = stream::Kind::frame;
        message->source_id = id;
        message->producer = stream::make_uuid_v7();
        message->seq = int64_t(i);
        stream::VideoFrame& frame = message->frame.emplace();
        frame.uuid = stream::make_uuid_v7();
        frame.width = 64, frame.height = 48;
        frame.pts = int64_t(i) * 40'000'000;
        frame.codec = "raw";
        frame.keyframe = i % 5 == 0;
        frame.objects.push_back(
            {.id = 0, .namespace_ = "det", .label = "cup", .detection_box = {30, 20, 8, 6, {}}});
        const std::string text = std::string(id) + " picture " + std::to_string(i);
        stream::Delivery delivery{.message = message, .payloads = {stream::own({text.begin(), text.end()})}};
        records.push_back(record_of(delivery));
        if (i == frames / 2 && id == std::string("cam-1")) records.push_back(end("cam-1"));
      }
    return records;
  }
  static RecordRef end(const std::string& id) {
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::end_of_stream;
    message->source_id = id;
    message->producer = stream::make_uuid_v7();
    message->end_of_stream.emplace().reason = stream::EndReason::end;
    return record_of({.message = message});
  }

  void record(const std::vector<RecordRef>& records, const Settings& settings = {}) {
    const SinkDesc* desc = find_sink("recording");
    ParamSet params(desc->params);
    ASSERT_TRUE(params.set_text("folder", folder.string()));
    for (const auto& [key, value] : settings) ASSERT_TRUE(params.set_text(key, value));
    auto sink = desc->create(params, {.name = "log"});
    ASSERT_TRUE(sink);
    ASSERT_TRUE((*sink)->start());
    std::vector<Stored> outcome(records.size());
    ASSERT_TRUE((*sink)->write(records, outcome));
    for (const Stored each : outcome) EXPECT_EQ(each, Stored::yes);
    EXPECT_TRUE((*sink)->flush());
  }
  Status replay(Collected& out, const Settings& settings,
                std::map<std::string, uint64_t>* rejected = nullptr) {
    const SourceDesc* desc = find_source("replay");
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("location", folder.string()));
    EXPECT_TRUE(params.set_text("speed", "0"));
    for (const auto& [key, value] : settings)
      if (Status set = params.set_text(key, value); !set) return set;
    auto source = desc->create(params, {.name = "again"});
    if (!source) return forward_error(source);
    if (Status started = (*source)->start(); !started) return started;
    const Status status = (*source)->run(out, {});
    if (rejected) *rejected = (*source)->rejected();
    return status;
  }
  static std::vector<stream::Uuid> uuids(const std::vector<RecordRef>& records, const std::string& id) {
    std::vector<stream::Uuid> found;
    for (const auto& each : records)
      if (each->kind == RecordKind::frame && each->source_id == id) found.push_back(each->uuid);
    return found;
  }
  std::vector<fs::path> segments() const { return *segments_of(folder); }

  const sightglass::test::TemporaryFolder temporary{};
  const fs::path folder = temporary.path();
};

TEST_F(Recording, ComesBackWithTheSameUuidsPicturesAndResults) {
  const auto records = cameras(20);
  record(records, {{"segment-bytes", "3000"}});
  EXPECT_GT(segments().size(), 2u);
  Collected out;
  ASSERT_TRUE(replay(out, {}));
  // What follows the end of cam-1 in the middle of a group of pictures cannot be decoded.
  EXPECT_EQ(out.uuids("cam-2"), uuids(records, "cam-2"));
  auto expected = uuids(records, "cam-1");
  expected.erase(expected.begin() + 11, expected.begin() + 15);
  EXPECT_EQ(out.uuids("cam-1"), expected);
  const auto& first = out.all[0];
  EXPECT_EQ(std::string(first.payloads[0].bytes.begin(), first.payloads[0].bytes.end()), "cam-1 picture 0");
  ASSERT_EQ(first.message->frame->objects.size(), 1u);
  EXPECT_EQ(first.message->frame->objects[0].label, "cup");
  EXPECT_NEAR(first.message->frame->objects[0].detection_box.xc, 30, 0.01);
  // Each stream counts by itself; lives are ended.
  std::map<std::string, std::set<int64_t>> epochs;
  std::map<std::pair<std::string, int64_t>, int64_t> next;
  for (const auto& each : out.all) {
    epochs[each.message->source_id].insert(each.message->epoch);
    EXPECT_EQ(each.message->seq, (next[{each.message->source_id, each.message->epoch}]++));
  }
  EXPECT_THAT(epochs["cam-1"], ElementsAre(0, 1));
  EXPECT_TRUE(out.all.back().message->end_of_stream);
}

TEST_F(Recording, BeginsAtAKeyframeAndEndsWhereItIsTold) {
  const auto records = cameras(20);
  record(records);
  const auto all = uuids(records, "cam-2");
  Collected out;
  ASSERT_TRUE(replay(
      out,
      {{"start", stream::to_string(all[10])}, {"stop", stream::to_string(all[12])}, {"sources", "cam-2"}}));
  EXPECT_EQ(out.uuids("cam-2"), std::vector(all.begin() + 10, all.begin() + 13));
  EXPECT_TRUE(out.uuids("cam-1").empty());

  Collected some;
  ASSERT_TRUE(
      replay(some, {{"frames", "3"}, {"sources", "cam-2"}, {"source-id", "old-{id}"}, {"results", "false"}}));
  EXPECT_EQ(some.uuids("old-cam-2"), std::vector(all.begin(), all.begin() + 3));
  EXPECT_TRUE(some.all[0].message->frame->objects.empty());

  Collected none;
  EXPECT_EQ(replay(none, {{"start", stream::to_string(all[11])}}).error().code,
            ErrorCode::not_found);  // no keyframe
  ASSERT_TRUE(replay(none, {{"stop", "2001-01-01T00:00:00Z"}}));
  EXPECT_TRUE(none.all.empty());
  Collected later;
  ASSERT_TRUE(replay(later, {{"start", "2001-01-01T00:00:00.5Z"}}));
  EXPECT_EQ(later.uuids("cam-2"), all);
}

TEST_F(Recording, DamageCostsOneMessageAndATornTailNothingElse) {
  const auto records = cameras(20);
  record(records);
  ASSERT_EQ(segments().size(), 1u);
  std::string bytes;
  {
    std::ifstream in(segments()[0], std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const size_t at = bytes.find("cam-2 picture 7");
  ASSERT_NE(at, bytes.npos);
  bytes[at] = 'X';
  bytes.resize(bytes.size() - 5);
  std::ofstream(segments()[0], std::ios::binary) << bytes;
  Collected out;
  std::map<std::string, uint64_t> rejected;
  ASSERT_TRUE(replay(out, {}, &rejected));
  auto expected = uuids(records, "cam-2");
  expected.pop_back();
  expected.erase(expected.begin() + 7);
  EXPECT_EQ(out.uuids("cam-2"), expected);
  EXPECT_EQ(rejected["damaged"], 2u);
}

TEST_F(Recording, SegmentWithoutAByteCostsNothingElse) {
  const auto records = cameras(20);
  record(records);
  ASSERT_EQ(segments().size(), 1u);
  // As one is called that begins a moment later.
  std::string name = segments()[0].filename();
  name.replace(name.find(".sgrec") - 1, 1, "9");
  std::ofstream(folder / name, std::ios::binary);
  ASSERT_EQ(segments().size(), 2u);
  Collected out;
  std::map<std::string, uint64_t> rejected;
  ASSERT_TRUE(replay(out, {}, &rejected));
  EXPECT_EQ(out.uuids("cam-2"), uuids(records, "cam-2"));
  EXPECT_EQ(rejected["damaged"], 1u);
}

TEST_F(Recording, SurvivesAnyBytes) {
  record(cameras(6));
  std::ifstream in(segments()[0], std::ios::binary);
  const std::string good(std::istreambuf_iterator<char>(in), {});
  for (size_t i = 16; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = char(bad[i] ^ 0xff);
    std::ofstream(segments()[0], std::ios::binary) << bad;
    Collected out;
    (void)replay(out, {});
    EXPECT_LE(out.all.size(), 15u);
  }
  std::ofstream(segments()[0], std::ios::binary) << "something else altogether";
  Collected out;
  EXPECT_EQ(replay(out, {}).error().code, ErrorCode::corrupt);
}

TEST_F(Recording, KeepsToItsSize) {
  record(cameras(200), {{"segment-bytes", "4000"}, {"keep-bytes", "20000"}});
  uintmax_t size = 0;
  for (const auto& path : segments()) size += fs::file_size(path);
  EXPECT_LE(size, 20'000u + 500u);
  EXPECT_GE(size, 12'000u);
  Collected out;
  EXPECT_TRUE(replay(out, {}));
  EXPECT_GT(out.all.size(), 20u);
}

TEST_F(Recording, BadOptionsAreNamed) {
  record(cameras(2));
  Collected out;
  EXPECT_THAT(replay(out, {{"start", "yesterday"}}).error().message, HasSubstr("'yesterday'"));
  EXPECT_THAT(replay(out, {{"start", "200"}, {"stop", "100"}}).error().message, HasSubstr("before"));
  EXPECT_THAT(replay(out, {{"source-id", "one"}}).error().message, HasSubstr("cam-2"));
  EXPECT_THAT(replay(out, {{"location", "/nowhere"}}).error().message, HasSubstr("/nowhere"));
}

}  // namespace
}  // namespace sightglass::adapters
