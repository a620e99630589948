#include "sightglass/net/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sightglass::net {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Url, HasItsParts) {
  const auto url = parse_url("HTTPS://bob:hunter%202@Example.COM:8443/a/../b%20c?x=1#there");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->user, "bob");
  EXPECT_EQ(url->password, "hunter 2");
  EXPECT_EQ(url->host, "example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/b%20c");
  EXPECT_EQ(url->query, "x=1");
  EXPECT_EQ(to_string(*url), "https://example.com:8443/b%20c?x=1");
}

TEST(Url, KnowsWhatIsLeftOut) {
  EXPECT_EQ(parse_url("http://a")->port, 80);
  EXPECT_EQ(parse_url("http://a")->path, "/");
  EXPECT_EQ(to_string(*parse_url("http://a:80")), "http://a/");
  EXPECT_EQ(parse_url("http://[::1]:80/")->host, "::1");
  EXPECT_EQ(to_string(*parse_url("http://[::1]:81/")), "http://[::1]:81/");
  EXPECT_EQ(parse_url("http://a./")->host, "a");
  const auto file = parse_url("file:///srv/a.jpg");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->host, "");
  EXPECT_EQ(file->path, "/srv/a.jpg");
  const auto s3 = parse_url("s3://bucket/key/a.onnx");
  ASSERT_TRUE(s3) << s3.error().message;
  EXPECT_EQ(s3->host, "bucket");
  EXPECT_EQ(s3->path, "/key/a.onnx");
}

TEST(Url, RefusesWhatIsNone) {
  for (const std::string_view bad :
       std::initializer_list<std::string_view>{"", "a", "http://", "http://a b/", "http://a:99999/", "://x",
                                               std::string_view("http://a\0b/", 11)})
    EXPECT_FALSE(parse_url(bad)) << bad;
  EXPECT_THAT(parse_url("http://bob:hunter2@a:99999/").error().message, Not(HasSubstr("hunter2")));
}

TEST(Url, ResolvesReferences) {
  EXPECT_EQ(*resolve_url("http://u:p@a/b/c", "d"), "http://a/b/d");
  EXPECT_EQ(*resolve_url("http://a/b/c", "/d?x"), "http://a/d?x");
  EXPECT_EQ(*resolve_url("http://a/b/c", "//b/d"), "http://b/d");
  EXPECT_EQ(*resolve_url("http://a/b/c", "file:///etc/passwd"), "file:///etc/passwd");
}

TEST(Url, UndoesPercents) {
  EXPECT_EQ(*percent_decoded("/a%20b%2fc"), "/a b/c");
  for (const char* bad : {"%", "%2", "%zz", "%00"}) EXPECT_FALSE(percent_decoded(bad)) << bad;
}

}  // namespace
}  // namespace sightglass::net
