#include "sightglass/adapters/sources/live/stream_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sightglass::adapters {
namespace {

TEST(StreamUrl, TakesCredentialsOut) {
  const auto url = StreamUrl::parse("RTSP://me:p%40ss%2Fword@camera:554/live?channel=1");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme(), "rtsp");
  EXPECT_EQ(url->user, "me");
  EXPECT_EQ(url->password, "p@ss/word");
  EXPECT_EQ(url->host(), "camera");
  EXPECT_EQ(url->plain(), "rtsp://camera:554/live?channel=1");
  EXPECT_EQ(url->shown(), "rtsp://camera:554/live?channel=1");
  EXPECT_EQ(url->with_credentials(), "rtsp://me:p%40ss%2Fword@camera:554/live?channel=1");
}

TEST(StreamUrl, AnAtInThePasswordOrThePathIsNoSeparator) {
  EXPECT_EQ(StreamUrl::parse("rtsp://me:a@b@camera/x")->password, "a@b");
  EXPECT_EQ(StreamUrl::parse("rtsp://camera/x@y")->plain(), "rtsp://camera/x@y");
  EXPECT_EQ(StreamUrl::parse("rtsp://[fe80::1]:554/x")->host(), "fe80::1");
  EXPECT_EQ(StreamUrl::parse("udp://@239.0.0.1:1234")->plain(), "udp://239.0.0.1:1234");
}

TEST(StreamUrl, RefusesWhatIsNoneWithoutRepeatingIt) {
  for (const std::string text :
       {"", "marker", "marker://", "://marker", "rtsp://mar\nker/x", "mar ker://x"}) {
    const auto url = StreamUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_THAT(StreamUrl::parse("me:marker@host").error().message, testing::Not(testing::HasSubstr("marker")));
}

TEST(F24, QueriesOfUrlsAreMasked) {
  EXPECT_EQ(StreamUrl::parse("http://h/x?token=marker&a=1")->shown(), "http://h/x?token=***&a=1");
}

}  // namespace
}  // namespace sightglass::adapters
