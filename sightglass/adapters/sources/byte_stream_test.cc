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
  AvPacketPtr packet(const Bytes& bytes, int flags = 0) const {
    AvPacketPtr made(av_packet_alloc());
    EXPECT_EQ(av_new_packet(made.get(), int(bytes.size())), 0);
    std::memcpy(made->data, bytes.data(), bytes.size());
    made->flags = flags;
    return made;
  }
  // What becomes of it; nothing: it is left to the filter, as it was.
  Bytes converted(const Bytes& bytes, int flags = 0) {
    const AvPacketPtr given = packet(bytes, flags);
    ByteStream byte_stream(codec_);
    byte_stream.set_parameter_sets(sets_);
    const bool done = byte_stream.convert(*given);
    is_key_ = given->flags & AV_PKT_FLAG_KEY;
    const Bytes now(given->data, given->data + given->size);
    if (done) return now;
    EXPECT_EQ(now, bytes);
    return {};
  }
  AVCodecParameters codec_{};
  Bytes configuration_, sets_;
  bool is_key_ = false;  // of what was converted last
};

TEST_F(ByteStreams, LengthsBecomeStartCodes) {
  EXPECT_EQ(converted(unit({sei, 5}) + unit({slice, 1, 2})),
            (Bytes{0, 0, 0, 1, sei, 5, 0, 0, 0, 1, slice, 1, 2}));
}

TEST_F(ByteStreams, WhatOpensAGroupHasParameterSetsBeforeIt) {
  EXPECT_EQ(converted(unit({idr, 1})), Bytes{}) << "there are none";
  EXPECT_TRUE(is_key_);
  sets_ = {0, 0, 0, 1, sps, 7, 8, 9};
  EXPECT_EQ(
      converted(unit({sei, 5, 0}) + unit({idr, 1}) + unit({idr, 2, 3}), AV_PKT_FLAG_KEY),
      (Bytes{0, 0, 0, 1, sei, 5, 0, 0, 0, 0, 1, sps, 7, 8, 9, 0, 0, 0, 1, idr, 1, 0, 0, 0, 1, idr, 2, 3}));
  EXPECT_TRUE(is_key_);
  Bytes large(200'000, 0x55);
  large[0] = idr;
  EXPECT_EQ(converted(unit(large)), (sets_ + Bytes{0, 0, 0, 1} + large));
}

TEST_F(ByteStreams, WhatHasParameterSetsItselfIsLeftToTheFilter) {
  sets_ = {0, 0, 0, 1, sps, 7};
  EXPECT_EQ(converted(unit({sps, 1}) + unit({slice, 1})), Bytes{});
  EXPECT_FALSE(is_key_);
  EXPECT_EQ(converted(unit({sps, 1}) + unit({idr, 1})), Bytes{});
  EXPECT_TRUE(is_key_);
}

TEST_F(ByteStreams, NewParameterSetsAreLeftToTheFilterFromThenOn) {
  ByteStream byte_stream(codec_);
  byte_stream.set_parameter_sets(Bytes{0, 0, 0, 1, sps, 7});
  const AvPacketPtr first = packet(unit({idr, 1})), second = packet(unit({idr, 1})),
                    third = packet(unit({slice, 1}));
  ASSERT_NE(av_packet_new_side_data(first.get(), AV_PKT_DATA_NEW_EXTRADATA, 8), nullptr);
  EXPECT_FALSE(byte_stream.convert(*first));
  EXPECT_FALSE(byte_stream.convert(*second)) << "the old ones are not its own";
  EXPECT_TRUE(byte_stream.convert(*third));
}

TEST_F(ByteStreams, ParameterSetsAmongSlicesAreThoseOfTheKeyframesBehindThem) {
  ByteStream byte_stream(codec_);
  byte_stream.set_parameter_sets(Bytes{0, 0, 0, 1, sps, 7});
  const AvPacketPtr first = packet(unit({sps, 1}) + unit({idr, 1})), second = packet(unit({idr, 1})),
                    third = packet(unit({slice, 1}));
  EXPECT_FALSE(byte_stream.convert(*first));
  EXPECT_FALSE(byte_stream.convert(*second)) << "which the filter knows";
  EXPECT_TRUE(byte_stream.convert(*third));
}

TEST_F(ByteStreams, KeyframesAreToldByWhatIsInThem) {
  EXPECT_EQ(converted(unit({slice, 1}), AV_PKT_FLAG_KEY), (Bytes{0, 0, 0, 1, slice, 1}));
  EXPECT_FALSE(is_key_) << "whatever the container says";
  // A recovery point is a way in as well: behind other information, one of 300 bytes and one with a three
  // that is not meant.
  const Bytes recovery{6, 1, 0x84, 0x80};
  const Bytes escaped{5, 4, 0, 0, 3, 1, 9};
  Bytes large{5, 0xff, 45};
  large.resize(3 + 300, 6);
  EXPECT_NE(converted(unit(Bytes{sei} + large + escaped + recovery) + unit({slice, 1})), Bytes{});
  EXPECT_TRUE(is_key_);
  EXPECT_NE(converted(unit(Bytes{sei} + escaped + Bytes{0x80}) + unit({slice, 1}), AV_PKT_FLAG_KEY), Bytes{});
  EXPECT_FALSE(is_key_);
}

TEST_F(ByteStreams, CutInformationIsNoRecoveryPoint) {
  for (const Bytes& cut : {Bytes{}, Bytes{0xff}, Bytes{6}, Bytes{6, 0xff}, Bytes{5, 0xff, 0xff, 7, 6, 1}}) {
    EXPECT_NE(converted(unit(Bytes{sei} + cut) + unit({slice, 1})), Bytes{});
    EXPECT_FALSE(is_key_);
  }
}

TEST_F(ByteStreams, WrongLengthsAreLeftToTheFilter) {
  EXPECT_EQ(converted(unit({slice, 1}, 3)), Bytes{});
  EXPECT_EQ(converted(unit({slice, 1}, 0xffffffff)), Bytes{});
  EXPECT_EQ(converted(unit({slice, 1}) + Bytes{0, 0}), Bytes{});
  EXPECT_EQ(converted(Bytes{0, 0, 0, 0, slice}), Bytes{});
  EXPECT_EQ(converted(Bytes{0, 0, 0, 1}), Bytes{});
  EXPECT_EQ(converted(unit({idr, 1}, 3), AV_PKT_FLAG_KEY), Bytes{});
  EXPECT_TRUE(is_key_) << "as the container says";
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
  EXPECT_FALSE(is_key_);
  EXPECT_EQ(converted(unit({idr_w_radl, 1, 7})), Bytes{});
  EXPECT_TRUE(is_key_);
  sets_ = {0, 0, 0, 1, vps, 1, 9};
  EXPECT_EQ(converted(unit({idr_w_radl, 1, 7})), sets_ + (Bytes{0, 0, 0, 1, idr_w_radl, 1, 7}));
  EXPECT_EQ(converted(unit({vps, 1, 7})), Bytes{});
}

TEST_F(ByteStreams, SharedBytesAreNotTouched) {
  for (const uint8_t header : {slice, idr}) {
    const Bytes bytes = unit({header, 1});
    const AvPacketPtr one = packet(bytes), other(av_packet_alloc());
    ASSERT_EQ(av_packet_ref(other.get(), one.get()), 0);
    ByteStream byte_stream(codec_);
    byte_stream.set_parameter_sets(Bytes{0, 0, 0, 1, sps});
    EXPECT_FALSE(byte_stream.convert(*one));
    EXPECT_EQ(Bytes(other->data, other->data + other->size), bytes);
  }
}

}  // namespace
}  // namespace sightglass::adapters
