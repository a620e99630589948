#include "sightglass/core/masked_url.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(MaskedUrl, HidesPasswordsAndNothingElse) {
  EXPECT_EQ(masked_url("rtsp://user:hunter2@cam/1"), "rtsp://user:***@cam/1");
  EXPECT_EQ(masked_url("rtsp://u:p@w@cam:554/1?a=b"), "rtsp://u:***@cam:554/1?a=b");
  EXPECT_EQ(masked_url("rtsp://u:a/b?c@cam/1"), "rtsp://u:***@cam/1");
  EXPECT_EQ(masked_url("https://ghp_x@host/a"), "https://***@host/a");
  EXPECT_EQ(masked_url("from http://a:b@c/d and rtsp://e:f@g"), "from http://a:***@c/d and rtsp://e:***@g");
  for (const char* text :
       {"", "street.mp4", "http://host:80/a@b:c", "file:///a/b.mp4", "user:pass@host", "://"})
    EXPECT_EQ(masked_url(text), text);
}

TEST(MaskedUrl, HidesSecretsOfTheQuery) {
  EXPECT_EQ(masked_url("http://h/a?user=me&Token=abc&x=1#f"), "http://h/a?user=me&Token=***&x=1#f");
  EXPECT_EQ(masked_url("http://h/a?X-Amz-Security-Token=z&key=k&monkey=m"),
            "http://h/a?X-Amz-Security-Token=***&key=***&monkey=m");
  EXPECT_EQ(masked_url("http://h?password="), "http://h?password=***");
  EXPECT_EQ(masked_url("https://h/k?X-Amz-Date=1&X-Amz-Signature=ab&X-Amz-Credential=c"),
            "https://h/k?X-Amz-Date=1&X-Amz-Signature=***&X-Amz-Credential=***");
  EXPECT_EQ(masked_url("mongodb://h/?authMechanismProperties=X:true,AWS_SESSION_TOKEN:abc&w=1"),
            "mongodb://h/?authMechanismProperties=***&w=1");
  EXPECT_EQ(masked_url("mongodb://h/?tlsCertificateKeyFilePassword=abc&readPreferenceTags=dc:ny,rack:1"),
            "mongodb://h/?tlsCertificateKeyFilePassword=***&readPreferenceTags=dc:ny,rack:1");
}

}  // namespace
}  // namespace sightglass
