// F-22: mutated messages neither crash the reader, nor cost much time or memory. The long form takes 10 million,
// the short one 200,000. tests/fuzz looks for what chance does not find.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>

#include <cstdlib>
#include <random>

#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/test_messages.h"
#include "tests/long_form.h"

namespace sightglass::stream {
namespace {

using Random = std::mt19937_64;

// Lengths, counts and numbers where code goes wrong, as varints.
const std::vector<std::vector<uint8_t>>& bad_numbers() {
  static const auto numbers = [] {
    std::vector<std::vector<uint8_t>> all;
    for (const int64_t number :
         {int64_t(-1), int64_t(63), int64_t(64), int64_t(1024), int64_t(1025), int64_t(65'536),
          int64_t(INT32_MAX), int64_t(INT32_MAX) + 1, INT64_MAX, INT64_MIN}) {
      BinaryWriter(all.emplace_back()).write_long(number);
    }
    all.push_back(std::vector<uint8_t>(11, 0xff));
    all.push_back({0, 0, 0xc0, 0x7f});  // a NaN
    return all;
  }();
  return numbers;
}

void mutate(std::vector<uint8_t>& bytes, const std::vector<uint8_t>& other, Random& random) {
  const auto place = [&] { return bytes.empty() ? 0 : random() % bytes.size(); };
  switch (random() % 7) {
    case 0:
      if (!bytes.empty()) bytes[place()] ^= uint8_t(1 << random() % 8);
      break;
    case 1:
      if (!bytes.empty()) bytes[place()] = uint8_t(random());
      break;
    case 2: {
      const auto& number = bad_numbers()[random() % bad_numbers().size()];
      const size_t at = place();
      for (size_t i = 0; i < number.size() && at + i < bytes.size(); ++i) bytes[at + i] = number[i];
      break;
    }
    case 3: {
      const auto& number = bad_numbers()[random() % bad_numbers().size()];
      bytes.insert(bytes.begin() + ptrdiff_t(place()), number.begin(), number.end());
      break;
    }
    case 4: {
      const size_t at = place();
      bytes.erase(bytes.begin() + ptrdiff_t(at),
                  bytes.begin() + ptrdiff_t(at + random() % (bytes.size() - at + 1) / 4));
      break;
    }
    case 5: {  // a piece of another message
      const size_t from = random() % other.size(), size = random() % (other.size() - from);
      bytes.insert(bytes.begin() + ptrdiff_t(place()), other.begin() + ptrdiff_t(from),
                   other.begin() + ptrdiff_t(from + size));
      break;
    }
    default:
      bytes.resize(random() % (bytes.size() + 1));
  }
}

int64_t thread_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

TEST(F22, MutatedMessagesDoNotHurt) {
  const int count = sightglass::test::long_or(10'000'000, 200'000);
  // Every third is in a schema that the reader resolves: ours with a field more.
  std::string text(schema_text());
  text.insert(text.find("{\"name\": \"protocol\""),
              R"({"name": "extra", "type": {"type": "array", "items": "null"}, "default": []},)");
  SchemaRegistry registry;
  uint64_t foreign = 0;
  ASSERT_EQ(registry.announce(test::uuid(1), text, {}, &foreign), Rejection::none);

  const auto samples = test::samples();
  std::vector<test::Parts> parts;
  for (const auto& [name, m] : samples) {
    parts.push_back(name == "frame_part" ? test::parts_of(m, {1, 2, 3, 4}) : test::parts_of(m));
  }
  const size_t own = parts.size();
  for (size_t i = 0; i < own; ++i) {
    test::Parts theirs = parts[i];
    std::memcpy(theirs.bytes[1].data() + 2, &foreign, sizeof foreign);
    theirs.bytes[1].insert(theirs.bytes[1].begin() + avro::header_size + 1, 0);
    parts.push_back(theirs);
  }

  MessageReader reader({}, &registry);
  Message message;
  Random random(22);
  int accepted = 0;
  int64_t longest = 0;
  test::Parts mutated;
  for (int i = 0; i < count; ++i) {
    const size_t choice = i % 3 ? random() % own : own + random() % own;
    mutated = parts[choice];
    for (int change = 1 + int(random() % 4); change > 0; --change) {
      // Mostly the datum; the header and the topic would only be refused.
      if (random() % 16 == 0) {
        mutate(mutated.bytes[random() % mutated.bytes.size()], parts[0].bytes[1], random);
      } else if (mutated.bytes[1].size() > avro::header_size) {
        std::vector<uint8_t> datum(mutated.bytes[1].begin() + avro::header_size, mutated.bytes[1].end());
        mutate(datum, parts[random() % parts.size()].bytes[1], random);
        mutated.bytes[1].resize(avro::header_size);
        mutated.bytes[1].insert(mutated.bytes[1].end(), datum.begin(), datum.end());
      }
    }
    const auto views = mutated.views();
    const int64_t before = thread_nanoseconds();
    accepted += reader.read(views, message, {}).verdict == Reading::Verdict::accepted;
    longest = std::max(longest, thread_nanoseconds() - before);
  }
  EXPECT_LE(longest, 50'000'000);
  // Some are still good: the mutations are not so coarse that nothing behind the codec is reached.
  EXPECT_GT(accepted, count / 100);
  EXPECT_GT(reader.rejections().of(Rejection::encoding), 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LE(usage.ru_maxrss, 512 * 1024);
#endif
  RecordProperty("accepted", accepted);
  RecordProperty("longest_us", int(longest / 1000));
}

}  // namespace
}  // namespace sightglass::stream
