#include "sightglass/core/secret_option.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(SecretOption, KnowsTheShortWordsOfLibraries) {
  for (const char* name :
       {"pass", "http_pass", "key", "decryption_key", "cryptokey", "sig", "X-Amz-Signature", "token", "auth",
        "pwd", "PASSPHRASE", "sasl.password", "ssl.key.pem", "srtp_in_params", "cookies"})
    EXPECT_TRUE(is_secret_option(name)) << name;
  for (const char* name : {"user_agent", "key_file", "ssl.key.location", "auth_type", "monkey", "passive",
                           "rtsp_transport", "design", "compression.level"})
    EXPECT_FALSE(is_secret_option(name)) << name;
}

TEST(SecretOption, LooksIntoLists) {
  EXPECT_TRUE(holds_secret("[user_agent=x, decryption_key=00ff]"));
  EXPECT_TRUE(holds_secret("user_agent=x,pass=y"));
  EXPECT_TRUE(holds_secret("headers=authorization: Bearer x"));
  EXPECT_FALSE(holds_secret("user_agent=x"));
  EXPECT_FALSE(holds_secret("http://h/a?b=c"));
  EXPECT_FALSE(holds_secret(""));
}

TEST(SecretOption, IsShownWithoutItsValue) {
  EXPECT_EQ(masked_setting("decryption_key=00ff"), "decryption_key=***");
  EXPECT_EQ(masked_setting("headers=Authorization: x"), "headers=***");
  EXPECT_EQ(masked_setting("http_proxy=http://a:b@c"), "http_proxy=http://a:***@c");
  EXPECT_EQ(masked_setting("user_agent=x"), "user_agent=x");
}

}  // namespace
}  // namespace sightglass
