// For tests: messages that were changed in some way, as a reader takes them.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream::test {

using Verdict = Reading::Verdict;

// Reads a message that was changed in some way; keeps what came out.
struct Read {
  explicit Read(const Parts& parts, ReaderOptions options = {}) : reader(std::move(options)), sent(parts) {
    reading = reader.read(sent.views(), message);
  }
  explicit Read(const Message& m, ReaderOptions options = {}) : Read(parts_of(m), std::move(options)) {}
  bool accepted() const { return reading.verdict == Verdict::accepted; }
  uint64_t count(Rejection reason) const { return reader.rejections().of(reason); }
  const VideoFrame& frame() const { return *message.frame; }

  MessageReader reader;
  Parts sent;
  Message message;
  Reading reading;
};

inline Rejection reason_of(const Parts& parts, ReaderOptions options = {}) {
  const Read read(parts, std::move(options));
  EXPECT_EQ(read.reading.verdict == Verdict::rejected, read.reading.reason != Rejection::none);
  EXPECT_EQ(read.count(read.reading.reason), read.reading.reason == Rejection::none ? 0u : 1u);
  return read.reading.reason;
}
inline Rejection reason_of(const Message& m, ReaderOptions options = {}) {
  return reason_of(parts_of(m), std::move(options));
}

}  // namespace sightglass::stream::test
