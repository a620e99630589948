// What is read of a file is what FFmpeg says of it as it comes, with everything looked for in the video
// itself.
#include "sightglass/adapters/sources/access_units.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "sightglass/elements/ffmpeg_media/av_handles.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

std::string input(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_INPUTS");
  return folder ? std::string(folder) + "/" + name : name;
}

struct Seen {
  int64_t pts = 0, dts = 0, duration = 0;
  bool keyframe = false;
  bool operator==(const Seen&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << "pts " << seen.pts << " dts " << seen.dts << " for " << seen.duration
             << (seen.keyframe ? " keyframe" : "");
}

// All packets of the one stream of a file.
template <class Each>
void for_each_packet(const std::string& file, Each each) {
  AVFormatContext* made = nullptr;
  ASSERT_EQ(avformat_open_input(&made, file.c_str(), nullptr, nullptr), 0) << file;
  const AvInputPtr in(made);
  ASSERT_GE(avformat_find_stream_info(made, nullptr), 0);
  ASSERT_EQ(made->nb_streams, 1U);
  for (;;) {
    const AvPacketPtr packet(av_packet_alloc());
    if (av_read_frame(made, packet.get()) < 0) return;
    each(*made->streams[0], *packet);
  }
}

std::vector<Seen> by_ffmpeg(const std::string& file) {
  std::vector<Seen> all;
  for_each_packet(file, [&](const AVStream&, const AVPacket& packet) {
    all.push_back({packet.pts, packet.dts, packet.duration, bool(packet.flags & AV_PKT_FLAG_KEY)});
  });
  return all;
}

std::vector<Seen> by_units(const std::string& file) {
  std::vector<Seen> all;
  auto units = AccessUnits::open(file);
  EXPECT_TRUE(units);
  while (units) {
    auto unit = (*units)->next();
    EXPECT_TRUE(unit) << unit.error().message;
    if (!unit || !*unit) break;
    const AccessUnit& seen = **unit;
    all.push_back({seen.pts, seen.dts.value_or(AV_NOPTS_VALUE), seen.duration, seen.keyframe});
    // A byte stream; with parameter sets (7 or 8) wherever decoding begins.
    const auto bytes = seen.payload.bytes;
    const size_t code = bytes[2] == 1 ? 3 : 4;
    EXPECT_TRUE(bytes[0] == 0 && bytes[1] == 0 && bytes[code - 1] == 1);
    bool has_sets = false;
    for (size_t at = 0; at + 3 < bytes.size() && at < 4096; ++at)
      has_sets |= bytes[at] == 0 && bytes[at + 1] == 0 && bytes[at + 2] == 1 && (bytes[at + 3] & 0x1f) == 7;
    EXPECT_EQ(has_sets, seen.keyframe) << seen.pts;
  }
  return all;
}

// The video of `from` once more, as MP4, with pictures that are shown in another order than they are decoded
// in, and with every packet said to be a keyframe, as files without a list of them have it.
void write_claiming_keyframes(const std::string& from, const std::string& to, const char* movflags) {
  AVFormatContext* out = nullptr;
  ASSERT_GE(avformat_alloc_output_context2(&out, nullptr, "mp4", to.c_str()), 0);
  int64_t count = 0;
  for_each_packet(from, [&](const AVStream& stream, AVPacket& packet) {
    if (count == 0) {
      AVStream& copy = *avformat_new_stream(out, nullptr);
      avcodec_parameters_copy(copy.codecpar, stream.codecpar);
      copy.codecpar->codec_tag = 0;
      copy.time_base = stream.time_base;
      AVDictionary* options = nullptr;
      av_dict_set(&options, "movflags", movflags, 0);
      ASSERT_GE(avio_open(&out->pb, to.c_str(), AVIO_FLAG_WRITE), 0);
      ASSERT_GE(avformat_write_header(out, &options), 0);
      av_dict_free(&options);
    }
    packet.pts = packet.dts + (count++ % 2 ? 1 : 3) * packet.duration;
    packet.flags |= AV_PKT_FLAG_KEY;
    packet.stream_index = 0;
    av_packet_rescale_ts(&packet, stream.time_base, out->streams[0]->time_base);
    ASSERT_GE(av_write_frame(out, &packet), 0);
  });
  EXPECT_GT(count, 0);
  EXPECT_GE(av_write_trailer(out), 0);
  avio_closep(&out->pb);
  avformat_free_context(out);
}

TEST(AccessUnits, AreAsFFmpegReadsThem) {
  for (const char* name : {"v.mp4", "odd.mkv"}) {
    const std::vector<Seen> units = by_units(input(name));
    EXPECT_GT(units.size(), 0U);
    EXPECT_EQ(units, by_ffmpeg(input(name))) << name;
  }
}

TEST(AccessUnits, AreAsFFmpegReadsThemWhereMp4SaysLittle) {
  const test::TemporaryFolder folder;
  for (const char* movflags :
       {"faststart", "frag_every_frame+empty_moov", "frag_keyframe+empty_moov+default_base_moof"}) {
    const std::string file = folder / "copy.mp4";
    write_claiming_keyframes(input("v.mp4"), file, movflags);
    if (HasFatalFailure()) return;
    const std::vector<Seen> units = by_units(file);
    EXPECT_GE(units.size(), 59U);
    EXPECT_LE(std::ranges::count(units, true, &Seen::keyframe), 1);
    EXPECT_EQ(units, by_ffmpeg(file)) << movflags;
  }
}

}  // namespace
}  // namespace sightglass::adapters
