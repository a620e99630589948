#include "sightglass/stream/bitstream.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

namespace sightglass::stream {
namespace {

std::vector<uint8_t> hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(uint8_t(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

// What x264, x265, libvpx and libjpeg wrote for pictures of these sizes, cut after the headers.
const auto h264_key =
    hex("0000000109100000000167640028acd940780227e5c05a808080a0000003002000000651e30632c0"
        "0000000168ebecb22c000001658884003bfffef6");
const auto h264_delta = hex("00000001093000000001419a226c410ffea7");
const auto h264_444 = hex("0000000167f4000d919b282a10f1f1d80b50606064000003000400000300ca3c50a65800");
const auto h264_small = hex("0000000167640014acd94150878888c05a83030352800000030080000019478a14cb");
const auto hevc_key =
    hex("0000000140010c01ffff016000000001420101016000000300900000030000030078a003c08010e596566924cafff0001"
        "00016a020202080000003008000000c8400000000014401c172b462400000012801af0b4226a617");

std::vector<uint8_t> nal(std::string_view text) {
  std::vector<uint8_t> bytes = {0, 0, 0, 1};
  const auto rest = hex(text);
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}
std::vector<uint8_t> operator+(std::vector<uint8_t> a, const std::vector<uint8_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Bitstream, ReadsTheSizeOfH264) {
  EXPECT_EQ(picture_size("h264", h264_key), (PictureSize{1920, 1080}));
  EXPECT_EQ(picture_size("h264", h264_small), (PictureSize{322, 242}));
  EXPECT_EQ(picture_size("h264", h264_444), (PictureSize{322, 243}));
  EXPECT_EQ(picture_size("h264", h264_delta), std::nullopt);
}

TEST(Bitstream, ReadsTheSizeOfHevc) {
  EXPECT_EQ(picture_size("hevc", nal("420101016000000300900000030000030078a003c08010e596566924cafff00010"
                                     "0016a020202080000003008000000c8400")),
            (PictureSize{1920, 1080}));
  EXPECT_EQ(picture_size("hevc", nal("4201010408000003009e0800000300003f90014901f39e7cb2b3492657ff800080"
                                     "00b506060604000003000400000300642000")),
            (PictureSize{322, 242}));
}

TEST(Bitstream, KnowsAnIdrPicture) {
  EXPECT_EQ(is_keyframe("h264", h264_key), true);
  EXPECT_EQ(is_keyframe("h264", h264_delta), false);
  EXPECT_EQ(is_keyframe("h264", h264_small), std::nullopt);  // no picture in it
}

TEST(Bitstream, AnIntraPictureIsAKeyframeWhenAllItsSlicesAre) {
  // first_mb 0, slice_type 7: all slices of the picture are I.
  EXPECT_EQ(is_keyframe("h264", nal("4188")), true);
  // slice_type 2 says so of its slice only: 011 after first_mb 1.
  const auto i_slice = nal("41b0"), p_slice = nal("41c0");
  EXPECT_EQ(is_keyframe("h264", i_slice), true);
  EXPECT_EQ(is_keyframe("h264", i_slice + i_slice), true);
  EXPECT_EQ(is_keyframe("h264", i_slice + p_slice), false);
  EXPECT_EQ(is_keyframe("h264", p_slice + i_slice), false);
}

TEST(Bitstream, KnowsARandomAccessPictureOfHevc) {
  for (int type = 0; type < 32; ++type) {
    const std::vector<uint8_t> picture = {0, 0, 1, uint8_t(type << 1), 1, 0xaf};
    EXPECT_EQ(is_keyframe("hevc", picture), type >= 16 && type <= 23) << type;
  }
  EXPECT_EQ(is_keyframe("hevc", nal("40010c01ffff0160")), std::nullopt);
}

TEST(Bitstream, ReadsVp8AndVp9) {
  const auto vp8_key = hex("1014009d012a4201f3000047"), vp8_delta = hex("f1020001101000180018582f");
  EXPECT_EQ(is_keyframe("vp8", vp8_key), true);
  EXPECT_EQ(is_keyframe("vp8", vp8_delta), false);
  EXPECT_EQ(picture_size("vp8", vp8_key), (PictureSize{322, 243}));
  EXPECT_EQ(picture_size("vp8", vp8_delta), std::nullopt);
  const auto vp9_key = hex("824983422014100f26003824"), vp9_delta = hex("860040929c004940000426ac");
  EXPECT_EQ(is_keyframe("vp9", vp9_key), true);
  EXPECT_EQ(is_keyframe("vp9", vp9_delta), false);
  EXPECT_EQ(picture_size("vp9", vp9_key), (PictureSize{322, 243}));
  EXPECT_EQ(picture_size("vp9", vp9_delta), std::nullopt);
}

TEST(Bitstream, ReadsJpegAndPng) {
  const auto jpeg = hex("ffd8ffe000104a46494600010100000100010000ffdb000601020304ffffc000110800f30142030122");
  EXPECT_EQ(picture_size("jpeg", jpeg), (PictureSize{322, 243}));
  EXPECT_EQ(picture_size("mjpeg", jpeg), (PictureSize{322, 243}));
  EXPECT_EQ(is_keyframe("mjpeg", jpeg), true);
  EXPECT_EQ(picture_size("jpeg", hex("ffd8ffda000c")), std::nullopt);
  const auto png = hex("89504e470d0a1a0a0000000d4948445200000142000000f3");
  EXPECT_EQ(picture_size("png", png), (PictureSize{322, 243}));
  EXPECT_EQ(picture_size("png", jpeg), std::nullopt);
}

TEST(Bitstream, SaysNothingOfCodecsThatItDoesNotRead) {
  EXPECT_EQ(is_keyframe("av1", hex("0a0b0c")), std::nullopt);
  EXPECT_EQ(picture_size("raw", hex("0a0b0c")), std::nullopt);
  EXPECT_EQ(is_keyframe("h264", {}), std::nullopt);
}

TEST(Bitstream, SurvivesAnyBytes) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> bytes = round % 3 ? h264_key : hevc_key;
    for (int i = 0; i < 6; ++i) bytes[random() % bytes.size()] = uint8_t(random() % 4 ? random() : 0);
    bytes.resize(random() % bytes.size() + 1);
    for (const std::string_view codec : {"h264", "hevc", "vp8", "vp9", "jpeg", "png"}) {
      (void)is_keyframe(codec, bytes);
      (void)picture_size(codec, bytes);
    }
  }
}

}  // namespace
}  // namespace sightglass::stream
