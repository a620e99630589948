// Golden messages (tests/stream/golden) read as what they are, and are written as they are.
// tests/stream/golden_test.py holds them against codecs that are not ours.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

std::vector<uint8_t> file(const std::string& name) {
  std::ifstream in(std::filesystem::path(std::getenv("SIGHTGLASS_GOLDEN")) / (name + ".bin"),
                   std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Golden, ReadsWhatWasWrittenByTheFirstRelease) {
  SchemaRegistry registry;
  for (const auto& [name, m] : test::samples()) {
    std::vector<uint8_t> body = file(name);
    ASSERT_GT(body.size(), avro::header_size) << name;
    const uint64_t fingerprint = *avro::read_header(body);
    Bytes datum = Bytes(body).subspan(avro::header_size);
    std::vector<uint8_t> resolved;
    if (fingerprint != schema_fingerprint) {
      const auto plan = registry.find(fingerprint, {}).resolution;
      ASSERT_TRUE(plan) << name;
      ASSERT_TRUE(plan->convert(datum, {}, resolved)) << name;
      datum = resolved;
    }
    const Limits limits;
    BinaryReader in(datum, limits);
    Message got;
    decode(in, got);
    EXPECT_TRUE(in.ok() && in.left() == 0) << name;
    EXPECT_TRUE(got == m) << name;
  }
}

TEST(Golden, WritesTheSameBytes) {
  for (const auto& [name, m] : test::samples()) {
    const std::vector<uint8_t> golden = file(name);
    if (avro::read_header(golden) != schema_fingerprint) continue;
    EXPECT_EQ(test::body_of(m), golden) << name;
  }
}

}  // namespace
}  // namespace sightglass::stream
