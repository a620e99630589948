#include "sightglass/model/sha256.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace sightglass {
namespace {

// Vectors of FIPS 180-4 and lengths around the block of 64 bytes.
TEST(Sha256, AgreesWithKnownSums) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, ReadsFilesInPieces) {
  const auto path = std::filesystem::path(testing::TempDir()) / "sha256_test.bin";
  std::ofstream(path, std::ios::binary) << std::string(3'000'001, 'x');
  EXPECT_EQ(*sha256_of_file(path), sha256(std::string(3'000'001, 'x')));
  std::filesystem::remove(path);
  EXPECT_FALSE(sha256_of_file(path));
}

}  // namespace
}  // namespace sightglass
