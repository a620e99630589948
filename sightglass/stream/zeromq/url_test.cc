#include "sightglass/stream/zeromq/url.h"

#include <gmock/gmock.h>

namespace sightglass::stream {
namespace {

using testing::HasSubstr;

Url good(std::string_view text) {
  auto url = parse_url(text);
  EXPECT_TRUE(url) << text << ": " << url.error().message;
  return url.value_or(Url{});
}

std::string error_of(std::string_view text) {
  const auto url = parse_url(text, "source.url");
  EXPECT_FALSE(url) << text;
  return url ? "" : url.error().message;
}

TEST(ZmqUrl, TakesEveryTypeSideAndTransport) {
  const Url url = good("router+bind:tcp://0.0.0.0:5560");
  EXPECT_EQ(url.type, SocketType::router);
  EXPECT_TRUE(url.bind);
  EXPECT_EQ(url.host, "0.0.0.0");
  EXPECT_EQ(url.port, 5560);
  EXPECT_EQ(good("push+connect:ipc:///run/a+b:c.sock").path, "/run/a+b:c.sock");
  EXPECT_EQ(good("sub+connect:inproc://frames").endpoint(), "inproc://frames");
  EXPECT_EQ(good("pub+bind:ipc://@abstract").endpoint(), "ipc://@abstract");
  EXPECT_EQ(good("pull+bind:tcp://*:*").endpoint(), "tcp://*:*");
  EXPECT_EQ(good("dealer+connect:tcp://camera-hub.example.org:1").host, "camera-hub.example.org");
}

TEST(ZmqUrl, TakesIpv6InBrackets) {
  const Url url = good("pull+bind:tcp://[::1]:5560");
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.endpoint(), "tcp://[::1]:5560");
  EXPECT_THAT(error_of("pull+bind:tcp://::1:5560"), HasSubstr("IPv6 addresses stand in brackets: [::1]"));
  EXPECT_THAT(error_of("pull+bind:tcp://[::1:5560"), HasSubstr("'[' without ']'"));
  EXPECT_THAT(error_of("pull+bind:tcp://[::1]"), HasSubstr("without a port"));
  EXPECT_THAT(error_of("pull+bind:tcp://[::1]x:5"), HasSubstr("'x' between"));
  EXPECT_THAT(error_of("pull+bind:tcp://[host]:5"), HasSubstr("no IPv6 address"));
}

TEST(ZmqUrl, IsWrittenAsItWasRead) {
  for (const char* text : {"pub+bind:tcp://*:*", "sub+connect:tcp://[fe80::1%eth0]:9",
                           "dealer+connect:ipc://a/b", "router+bind:inproc://x"}) {
    EXPECT_EQ(good(text).to_string(), text);
  }
}

TEST(ZmqUrl, SaysWhatIsWrongAndWhatIsAllowed) {
  EXPECT_EQ(error_of("psh+bind:tcp://h:1"),
            "source.url: 'psh+bind:tcp://h:1': unknown socket type 'psh'; one of pub, sub, push, pull, "
            "dealer, router");
  EXPECT_THAT(error_of("push+listen:tcp://h:1"), HasSubstr("'listen' after the type; one of bind, connect"));
  EXPECT_THAT(error_of("push+bind:udp://h:1"), HasSubstr("unknown transport 'udp'; one of tcp://HOST:PORT"));
  EXPECT_THAT(error_of("tcp://h:1"), HasSubstr("expected TYPE+bind:TRANSPORT"));
  EXPECT_THAT(error_of(""), HasSubstr("expected TYPE+bind"));
  EXPECT_THAT(error_of("push+connect:tcp://h:0"), HasSubstr("port '0'; 1 to 65535"));
  EXPECT_THAT(error_of("push+connect:tcp://h:65536"), HasSubstr("port '65536'"));
  EXPECT_THAT(error_of("push+connect:tcp://h:12x"), HasSubstr("port '12x'"));
  EXPECT_THAT(error_of("push+connect:tcp://h:*"), HasSubstr("port '*'; 1 to 65535"));
  EXPECT_THAT(error_of("push+connect:tcp://*:1"), HasSubstr("for bind only"));
  EXPECT_THAT(error_of("push+connect:tcp://:1"), HasSubstr("without a host"));
  EXPECT_THAT(error_of("push+connect:tcp://a;b:1"), HasSubstr("';' in the host"));
  EXPECT_THAT(error_of("push+connect:ipc://"), HasSubstr("ipc without a path"));
  EXPECT_THAT(error_of("push+connect:ipc://*"), HasSubstr("is no file"));
  EXPECT_THAT(error_of("push+connect:ipc:///" + std::string(107, 'x')), HasSubstr("108 bytes; at most 107"));
}

TEST(ZmqUrl, ErrorsAreOneLineWhateverTheTextIs) {
  const std::string message = error_of(std::string("push+bind:ipc://a\n\x01\xff") + std::string(400, 'y'));
  EXPECT_EQ(message.find('\n'), message.npos);
  EXPECT_THAT(message, HasSubstr("\\x0a"));
  EXPECT_LT(message.size(), 400U);
}

TEST(ZmqUrl, RefusesTheWrongEnd) {
  EXPECT_TRUE(parse_writer_url("dealer+connect:tcp://h:1"));
  EXPECT_TRUE(parse_reader_url("router+bind:tcp://h:1"));
  const auto reader = parse_reader_url("pub+bind:tcp://h:1", "source.url");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().message,
            "source.url: 'pub+bind:tcp://h:1': pub writes, and this end reads; one of sub, pull, router");
  const auto writer = parse_writer_url("router+bind:tcp://h:1", "to");
  ASSERT_FALSE(writer);
  EXPECT_THAT(writer.error().message, HasSubstr("one of pub, push, dealer"));
}

TEST(ZmqUrl, KnowsWhatOnlyThisMachineReaches) {
  EXPECT_TRUE(good("pull+bind:tcp://127.0.0.1:1").local());
  EXPECT_TRUE(good("pull+bind:tcp://localhost:1").local());
  EXPECT_TRUE(good("pull+bind:tcp://[::1]:1").local());
  EXPECT_TRUE(good("pull+bind:ipc://x").local());
  EXPECT_FALSE(good("pull+bind:tcp://127.example.org:1").local());
  EXPECT_FALSE(good("pull+bind:tcp://*:1").local());
  EXPECT_FALSE(good("pull+bind:tcp://0.0.0.0:1").local());
}

}  // namespace
}  // namespace sightglass::stream
