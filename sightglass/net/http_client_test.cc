// Against a real server on loopback, which serves well and badly.
#include "sightglass/net/http_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstdlib>
#include <fstream>
#include <thread>
#include <nlohmann/json.hpp>

#include "tests/servers/server_process.h"

namespace sightglass::net {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string text_of(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += std::format("line {}\n", text.size());
  text.resize(bytes);
  return text;
}

class HttpClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    root = std::make_unique<test::TemporaryFolder>();
    write("hello.txt", "hello");
    write("large.txt", text_of(3 << 20));
    server = std::make_unique<test::ServerProcess>(start());
  }
  static void TearDownTestSuite() {
    server.reset();
    root.reset();
  }
  static test::ServerProcess start(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"--root",   root->path(), "--bucket", "clips",
                                          "--key-id", "AKID",       "--secret", "s3cr+t/key",
                                          "--region", "eu-test-1",  "--token",  "t0ken"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::ServerProcess::script("file_double.py", std::move(arguments));
  }
  static void write(const std::string& name, std::string_view text) {
    std::ofstream(root->path() / name, std::ios::binary) << text;
  }
  static std::string url(std::string_view path) {
    return std::format("http://{}{}", server->address(), path);
  }
  json echo(HttpRequest request) {
    if (request.url.empty()) request.url = url("/echo");
    auto answer = client.request(request);
    if (!answer) {
      ADD_FAILURE() << answer.error().message;
      return {};
    }
    EXPECT_EQ(answer->status, 200);
    return json::parse(answer->body);
  }

  static std::unique_ptr<test::TemporaryFolder> root;
  static std::unique_ptr<test::ServerProcess> server;
  HttpClient client;
};
std::unique_ptr<test::TemporaryFolder> HttpClientTest::root;
std::unique_ptr<test::ServerProcess> HttpClientTest::server;

TEST_F(HttpClientTest, GetsWhatIsThere) {
  auto answer = client.request({.url = url("/files/hello.txt")});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(answer->content_length(), 5u);
  ASSERT_TRUE(answer->header("content-type"));
  EXPECT_EQ(*answer->header("content-type"), "application/octet-stream");
  EXPECT_EQ(answer->header("x-none"), nullptr);
}

TEST_F(HttpClientTest, SendsMethodHeadersAndBody) {
  const std::string body("a\0b\nc", 5);
  const json seen = echo({.method = "PUT",
                          .url = url("/echo?a=1&b=%20"),
                          .body = bytes_of(body),
                          .headers = {{"Content-Type", "application/x-ndjson"}, {"X-Empty", ""}}});
  EXPECT_EQ(seen["method"], "PUT");
  EXPECT_EQ(seen["body"], body);
  EXPECT_EQ(seen["query"], json({{"a", "1"}, {"b", " "}}));
  EXPECT_EQ(seen["headers"]["content-type"], "application/x-ndjson");
  EXPECT_EQ(seen["headers"]["x-empty"], "");
  EXPECT_EQ(seen["headers"]["user-agent"], "sightglass");
  EXPECT_FALSE(seen["headers"].contains("expect"));
}

TEST_F(HttpClientTest, SendsNothingOfTheLastRequestWithTheNext) {
  echo({.method = "POST", .body = bytes_of("x"), .headers = {{"X-Once", "1"}}, .bearer = "t"});
  const json seen = echo({});
  EXPECT_EQ(seen["method"], "GET");
  EXPECT_EQ(seen["body"], "");
  EXPECT_FALSE(seen["headers"].contains("x-once"));
  EXPECT_FALSE(seen["headers"].contains("authorization"));
  for (const char* method : {"DELETE", "PATCH", "POST"})
    EXPECT_EQ(echo({.method = method})["method"], method);
  EXPECT_EQ(client.request({.method = "HEAD", .url = url("/files/hello.txt")})->content_length(), 5u);
}

TEST_F(HttpClientTest, KeepsItsConnection) {
  const json first = echo({});
  EXPECT_EQ(echo({.method = "POST", .body = bytes_of("again")})["connection"], first["connection"]);
  HttpClient other;
  EXPECT_NE(json::parse(other.request({.url = url("/echo")})->body)["connection"], first["connection"]);
}

TEST_F(HttpClientTest, AuthenticatesWithPasswordOrToken) {
  EXPECT_EQ(client.request({.url = url("/basic/hello.txt")})->status, 401);
  EXPECT_EQ(client.request({.url = url("/basic/hello.txt"), .user = "user", .password = "pass word"})->body,
            "hello");
  const std::string with_user = std::format("http://user:pass%20word@{}/basic/hello.txt", server->address());
  EXPECT_EQ(client.request({.url = with_user})->body, "hello");
  const std::string redirected =
      std::format("http://user:pass%20word@{}/redirect/2?to=/basic/hello.txt", server->address());
  EXPECT_EQ(client.request({.url = redirected, .max_redirects = 2})->body, "hello");
  EXPECT_EQ(client.request({.url = url("/bearer/hello.txt"), .bearer = "t0ken"})->body, "hello");
}

TEST_F(HttpClientTest, SignsForAws) {
  HttpRequest request{.url = url("/clips/hello.txt"),
                      .aws = AwsSignature{.region = "eu-test-1", .key_id = "AKID", .secret = "s3cr+t/key"}};
  auto answer = client.request(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200) << answer->body;
  EXPECT_EQ(answer->body, "hello");
  request.aws->secret = "other";
  EXPECT_THAT(client.request(request)->body, HasSubstr("SignatureDoesNotMatch"));
  request.aws = {};
  EXPECT_THAT(client.request(request)->body, HasSubstr("AccessDenied"));
}

TEST_F(HttpClientTest, FollowsNoRedirectUnlessAsked) {
  const std::string target = url("/redirect/2?to=/files/hello.txt");
  auto answer = client.request({.url = target});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 302);
  answer = client.request({.url = target, .max_redirects = 2});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(answer->url, url("/files/hello.txt"));
  answer = client.request({.url = target, .max_redirects = 1});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("more than 1 redirects"));
}

TEST_F(HttpClientTest, AsksBeforeEachRedirect) {
  std::vector<std::string> asked;
  auto answer = client.request({.url = url("/redirect/2?to=http://169.254.0.1/"),
                                .max_redirects = 3,
                                .check_redirect = [&](const std::string& next) -> Status {
                                  asked.push_back(next);
                                  if (next.starts_with("http://169."))
                                    return fail(ErrorCode::invalid_argument, "not there");
                                  return {};
                                }});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "not there");
  EXPECT_EQ(asked.size(), 2u);
}

TEST_F(HttpClientTest, KeepsCredentialsFromOtherOrigins) {
  const auto other = start();
  const std::string to = std::format("http://{}/echo", other.address());
  auto answer = client.request({.url = url("/redirect/1?to=" + to),
                                .headers = {{"Authorization", "secret"}, {"X-Kept", "yes"}},
                                .max_redirects = 1});
  ASSERT_TRUE(answer) << answer.error().message;
  const json seen = json::parse(answer->body);
  EXPECT_FALSE(seen["headers"].contains("authorization"));
  EXPECT_EQ(seen["headers"]["x-kept"], "yes");
  answer = client.request({.url = url("/redirect/1?to=" + to), .bearer = "t", .max_redirects = 1});
  EXPECT_FALSE(json::parse(answer->body)["headers"].contains("authorization"));
  // The same origin still gets them.
  answer = client.request({.url = url("/redirect/1?to=/echo"), .bearer = "t", .max_redirects = 1});
  EXPECT_EQ(json::parse(answer->body)["headers"]["authorization"], "Bearer t");
  // Nor does a body go there; within the origin it does where the code says so.
  answer = client.request({.method = "POST",
                           .url = url("/redirect/1?status=307&to=" + to),
                           .body = bytes_of("mine"),
                           .max_redirects = 1});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("does not get what was sent"));
  answer = client.request({.method = "POST",
                           .url = url("/redirect/1?status=307&to=/echo"),
                           .body = bytes_of("mine"),
                           .max_redirects = 1});
  EXPECT_EQ(json::parse(answer->body)["body"], "mine");
  EXPECT_EQ(json::parse(answer->body)["method"], "POST");
  answer = client.request({.method = "POST",
                           .url = url("/redirect/1?status=303&to=/echo"),
                           .body = bytes_of("mine"),
                           .max_redirects = 1});
  EXPECT_EQ(json::parse(answer->body)["body"], "");
  EXPECT_EQ(json::parse(answer->body)["method"], "GET");
}

TEST_F(HttpClientTest, LimitsTheAnswer) {
  auto declared = client.request({.url = url("/files/large.txt"), .max_bytes = 1 << 20});
  ASSERT_FALSE(declared);
  EXPECT_EQ(declared.error().code, ErrorCode::exhausted);
  EXPECT_THAT(declared.error().message, HasSubstr("3145728 bytes, more than the 1048576 allowed"));
  auto endless = client.request({.url = url("/endless"), .max_bytes = 1 << 20});
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, ErrorCode::exhausted);
  // What is small on the way counts unpacked.
  auto packed = client.request({.url = url("/gzip/large.txt"), .max_bytes = 2 << 20});
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, ErrorCode::exhausted);
  EXPECT_EQ(client.request({.url = url("/files/large.txt"), .max_bytes = 3 << 20})->body.size(), 3u << 20);
}

TEST_F(HttpClientTest, UnpacksCompressedAnswers) {
  auto answer = client.request({.url = url("/gzip/large.txt")});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, text_of(3 << 20));
  EXPECT_EQ(*answer->header("content-encoding"), "gzip");
  answer = client.request({.url = url("/gzip/hello.txt"), .compressed = false});
  EXPECT_EQ(answer->header("content-encoding"), nullptr);
  EXPECT_EQ(answer->body, "hello");
}

TEST_F(HttpClientTest, GivesUpInTime) {
  for (const char* path : {"/silent", "/stall/hello.txt"}) {
    auto answer = client.request({.url = url(path), .total_timeout = 100ms});
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, ErrorCode::io);
    EXPECT_THAT(answer.error().message, HasSubstr("timed out"));
  }
}

TEST_F(HttpClientTest, CanBeCancelledFromAnotherThread) {
  HttpClient mine({.total_timeout = 0ms});
  server->control("forget");
  std::jthread other([&] {
    EXPECT_TRUE(test::eventually([&] { return !server->control("requests").empty(); }));
    mine.cancel();
  });
  auto answer = mine.request({.url = url("/silent")});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::cancelled);
  other.join();
  EXPECT_FALSE(mine.request({.url = url("/echo")}));
  mine.resume();
  EXPECT_TRUE(mine.request({.url = url("/echo")}));
}

TEST_F(HttpClientTest, SaysWhatWentWrongWithoutSecrets) {
  const int closed = test::free_port();
  auto refused = client.request({.url = std::format("http://bob:hunter2@127.0.0.1:{}/x?token=abc", closed)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("http://bob:***@127.0.0.1"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("hunter2")));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("abc")));

  auto unknown = client.request({.url = "http://no-such-host.invalid/"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::unavailable);

  auto broken = client.request({.url = url("/cut/100000/large.txt")});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::io);

  for (const char* bad : {"", "no url", "file:///etc/passwd", "ftp://host/x", "http://", "http://a b/"}) {
    auto answer = client.request({.url = bad});
    ASSERT_FALSE(answer) << bad;
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument) << bad << ": " << answer.error().message;
  }
}

TEST_F(HttpClientTest, RefusesHeadersThatWouldAddOthers) {
  for (const Headers& headers :
       {Headers{{"X-A", "1\r\nX-B: 2"}}, {{"X A", "1"}}, {{"", "1"}}, {{"X:", "1"}}}) {
    auto answer = client.request({.url = url("/echo"), .headers = headers});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_FALSE(client.request({.url = url("/echo"), .bearer = "t\r\nX-B: 2"}));
}

TEST_F(HttpClientTest, TurnsBadAnswersIntoErrors) {
  const auto error_of = [&](int status) {
    return to_error(*client.request({.url = url(std::format("/status/{}", status))}));
  };
  EXPECT_EQ(error_of(503).code, ErrorCode::io);
  EXPECT_EQ(error_of(503).message,
            url("/status/503") + " answers 503 Service Unavailable: status 503 was asked for");
  EXPECT_EQ(error_of(404).code, ErrorCode::not_found);
  EXPECT_EQ(error_of(403).code, ErrorCode::invalid_argument);
  EXPECT_EQ(error_of(429).code, ErrorCode::io);
}

TEST_F(HttpClientTest, UsesNoProxyOfTheEnvironmentUnlessAsked) {
  const std::string proxy = std::format("http://127.0.0.1:{}", test::free_port());
  setenv("http_proxy", proxy.c_str(), 1);
  EXPECT_TRUE(client.request({.url = url("/echo")}));
  HttpClient with_proxy({.proxy_from_environment = true});
  EXPECT_FALSE(with_proxy.request({.url = url("/echo")}));
  unsetenv("http_proxy");
  HttpClient named({.proxy = std::format("http://{}", server->address())});
  EXPECT_EQ(json::parse(named.request({.url = "http://elsewhere.invalid/echo"})->body)["headers"]["host"],
            "elsewhere.invalid");
}

TEST_F(HttpClientTest, ConnectsOnlyToAddressesThatAreAllowed) {
  bool allowed = false;
  std::vector<std::string> hosts;
  HttpClient mine({.allow_address = [&](const sockaddr* address, std::string_view host) {
    hosts.emplace_back(host);
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return allowed && address->sa_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
  }});
  const std::string by_name = std::format("http://localhost:{}/echo", server->port());
  auto answer = mine.request({.url = by_name});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("its address is not allowed"));
  EXPECT_THAT(hosts, testing::Each("localhost"));
  allowed = true;
  ASSERT_TRUE(mine.request({.url = by_name}));
  // A connection that is there already is asked for as well.
  allowed = false;
  EXPECT_FALSE(mine.request({.url = by_name}));
}

TEST_F(HttpClientTest, StreamsThePartThatIsAskedFor) {
  std::string got;
  int status = 0;
  HttpRequest request{.url = url("/files/large.txt"),
                      .headers = {{"Range", "bytes=3000000-"}},
                      .compressed = false,
                      .begin = [&](const HttpAnswer& head) -> Status {
                        status = head.status;
                        EXPECT_EQ(*head.header("content-range"), "bytes 3000000-3145727/3145728");
                        return {};
                      },
                      .receive = [&](std::span<const std::byte> piece) -> Status {
                        got.append(reinterpret_cast<const char*>(piece.data()), piece.size());
                        return {};
                      }};
  auto answer = client.request(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(status, 206);
  EXPECT_EQ(got, text_of(3 << 20).substr(3'000'000));
  EXPECT_EQ(answer->body, "");

  request.receive = [](std::span<const std::byte>) -> Status { return fail(ErrorCode::io, "disk full"); };
  answer = client.request(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "disk full");
  // A bad answer is no body.
  request = {.url = url("/status/500"), .receive = [](std::span<const std::byte>) -> Status {
               ADD_FAILURE();
               return {};
             }};
  EXPECT_THAT(client.request(request)->body, HasSubstr("status 500"));
}

TEST_F(HttpClientTest, LetsExceptionsOfItsCallerThrough) {
  EXPECT_THROW((void)client.request({.url = url("/files/hello.txt"),
                                     .receive = [](std::span<const std::byte>) -> Status {
                                       throw std::runtime_error("mine");
                                     }}),
               std::runtime_error);
  EXPECT_TRUE(client.request({.url = url("/echo")}));
}

class HttpsTest : public HttpClientTest {
 protected:
  static Result<HttpAnswer> get(const test::ServerProcess& from, const Tls& tls,
                                std::string_view host = "localhost") {
    HttpClient mine({.tls = tls});
    return mine.request({.url = std::format("https://{}:{}/echo", host, from.port())});
  }
};

TEST_F(HttpsTest, ChecksTheServersCertificate) {
  const test::TestCertificates certificates;
  const auto secure = start(certificates.server_arguments());
  EXPECT_TRUE(get(secure, {.ca = certificates.path("ca.pem")}));
  auto unknown = get(secure, {});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::unavailable);
  EXPECT_THAT(unknown.error().message, HasSubstr("certificate"));
  EXPECT_FALSE(get(secure, {.ca = certificates.path("other-ca.pem")}));
  EXPECT_TRUE(get(secure, {.verify = false}));
  auto missing = get(secure, {.ca = certificates.path("none.pem")});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::invalid_argument) << missing.error().message;
}

TEST_F(HttpsTest, TakesAnotherNameForTheCertificate) {
  const test::TestCertificates certificates;
  const auto secure = start(certificates.server_arguments());
  const std::string ca = certificates.path("ca.pem");
  // 127.0.0.2 is this machine too, but not in the certificate.
  EXPECT_FALSE(get(secure, {.ca = ca, .server_name = "elsewhere.example"}));
  auto answer = get(secure, {.ca = ca, .server_name = "localhost"}, "127.0.0.1");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(json::parse(answer->body)["headers"]["host"], std::format("127.0.0.1:{}", secure.port()));
}

TEST_F(HttpsTest, ShowsItsOwnCertificate) {
  const test::TestCertificates certificates;
  const auto secure = start(certificates.server_arguments(true));
  Tls tls{.ca = certificates.path("ca.pem")};
  EXPECT_FALSE(get(secure, tls));
  tls.cert = certificates.path("client.pem"), tls.key = certificates.path("client.key");
  auto answer = get(secure, tls);
  EXPECT_TRUE(answer) << answer.error().message;
}

}  // namespace
}  // namespace sightglass::net
