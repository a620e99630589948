#include "sightglass/adapters/sources/byte_stream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "sightglass/elements/ffmpeg_media/av_handles.h"

namespace sightglass::adapters {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t slice = 0x41, idr = 0x65, sps = 0x67, sei = 0x06;  // headers of H.264

Bytes unit(Bytes nal, uint32_t length = 0) {
  if (length == 0) length = uint32_t(nal.size());
  Bytes bytes{uint8_t(length >> 24), uint8_t(length >> 16), uint8_t(length >> 8), uint8_t(length)};
  bytes.insert(bytes.end(), nal.begin(), nal.end());
  return bytes;
}
Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

class ByteStreams : public testing::Test {
 protected:
  ByteStreams() {
    codec_.codec_id = AV_CODEC_ID_H264;
    set_configuration({1, 66, 0, 30, 0xff, 0xe0, 0});
  }
  void set_configuration(Bytes bytes) {
    configuration_ = std::move(bytes);
    codec_.extradata = configuration_.data();
    codec_.extradata_size = int(configuration_.size());
  }
  // What becomes of it; nothing: it is left to the filter, as it was.
  Bytes converted(const Bytes& bytes, int flags = 0) {
    const AvPacketPtr packet(av_packet_alloc());
    EXPECT_EQ(av_new_packet(packet.get(), int(bytes.size())), 0);
    std::memcpy(packet->data, bytes.data(), bytes.size());
    packet->flags = flags;
    const bool done = ByteStream(codec_).convert(*packet);
    const Bytes now(packet->data, packet->data + packet->size);
    if (done) return now;
    EXPECT_EQ(now, bytes);
    return {};
  }
  AVCodecParameters codec_{};
  Bytes configuration_;
};

TEST_F(ByteStreams, LengthsBecomeStartCodes) {
  EXPECT_EQ(converted(unit({sei, 5}) + unit({slice, 1, 2})),
            (Bytes{0, 0, 0, 1, sei, 5, 0, 0, 0, 1, slice, 1, 2}));
}

TEST_F(ByteStreams, WhatOpensAGroupOrNeedsParameterSetsIsLeftToTheFilter) {
  EXPECT_EQ(converted(unit({slice, 1}), AV_PKT_FLAG_KEY), Bytes{});
  EXPECT_EQ(converted(unit({idr, 1})), Bytes{}) << "not said to be a keyframe, but one";
  EXPECT_EQ(converted(unit({sps, 1}) + unit({slice, 1})), Bytes{});
}

TEST_F(ByteStreams, WrongLengthsAreLeftToTheFilter) {
  EXPECT_EQ(converted(unit({slice, 1}, 3)), Bytes{});
  EXPECT_EQ(converted(unit({slice, 1}, 0xffffffff)), Bytes{});
  EXPECT_EQ(converted(unit({slice, 1}) + Bytes{0, 0}), Bytes{});
  EXPECT_EQ(converted(Bytes{0, 0, 0, 0, slice}), Bytes{});
  EXPECT_EQ(converted(Bytes{0, 0, 0, 1}), Bytes{});
}

TEST_F(ByteStreams, ShortLengthsAreLeftToTheFilter) {
  set_configuration({1, 66, 0, 30, 0xfd, 0xe0, 0});  // of two bytes
  EXPECT_EQ(converted(unit({slice, 1})), Bytes{});
}

TEST_F(ByteStreams, WhatIsOnePassesUnlessItIsAKeyframe) {
  set_configuration({0, 0, 0, 1, sps});
  const Bytes bytes{0, 0, 1, slice, 1};
  EXPECT_EQ(converted(bytes), bytes);
  EXPECT_EQ(converted(bytes, AV_PKT_FLAG_KEY), Bytes{});
}

TEST_F(ByteStreams, KnowsHevc) {
  constexpr uint8_t trailing = 1 << 1, idr_w_radl = 19 << 1, vps = 32 << 1;
  codec_.codec_id = AV_CODEC_ID_HEVC;
  Bytes configuration(23, 0);
  configuration[0] = 1, configuration[21] = 0x0f;
  set_configuration(configuration);
  EXPECT_EQ(converted(unit({trailing, 1, 7})), (Bytes{0, 0, 0, 1, trailing, 1, 7}));
  EXPECT_EQ(converted(unit({idr_w_radl, 1, 7})), Bytes{});
  EXPECT_EQ(converted(unit({vps, 1, 7})), Bytes{});
}

TEST_F(ByteStreams, SharedBytesAreNotTouched) {
  const AvPacketPtr packet(av_packet_alloc()), other(av_packet_alloc());
  const Bytes bytes = unit({slice, 1});
  ASSERT_EQ(av_new_packet(packet.get(), int(bytes.size())), 0);
  std::memcpy(packet->data, bytes.data(), bytes.size());
  ASSERT_EQ(av_packet_ref(other.get(), packet.get()), 0);
  EXPECT_FALSE(ByteStream(codec_).convert(*packet));
  EXPECT_EQ(Bytes(other->data, other->data + other->size), bytes);
}

}  // namespace
}  // namespace sightglass::adapters
