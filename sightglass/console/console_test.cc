// The HTTP API: what the server refuses, who may do what, and what the routes show. Callers are raw sockets,
// so that they can do what no client does.
#include "sightglass/console/console.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <format>
#include <fstream>
#include <mutex>
#include <thread>

#include "sightglass/console/api.h"
#include "sightglass/console/http_server.h"
#include "sightglass/console/json_text.h"
#include "sightglass/console/masking.h"
#include "sightglass/module/module_file.h"

namespace sightglass::console {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::chrono::seconds patience{30};

class Caller {
 public:
  explicit Caller(const std::string& url) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(std::stoi(url.substr(url.rfind(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Caller() { close(socket_); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // False: the other end has hung up, or takes nothing.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(size_t(sent));
    }
    return true;
  }
  // Until the other end closes.
  std::string read() {
    std::string text;
    char bytes[4096];
    for (ssize_t got = 0; (got = recv(socket_, bytes, sizeof bytes, 0)) > 0;) text.append(bytes, size_t(got));
    return text;
  }
  // How much of an endless body is taken until the other end hangs up.
  size_t send_without_end(std::string_view piece, size_t most) {
    size_t sent = 0;
    while (sent < most && send(piece)) sent += piece.size();
    EXPECT_TRUE(sent >= most || errno == EPIPE || errno == ECONNRESET) << errno;
    return sent;
  }

 private:
  const int socket_;
};

std::string call(const std::string& url, std::string_view request_line, std::string_view headers = "",
                 std::string_view body = "") {
  Caller caller(url);
  caller.send(std::format("{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{}{}\r\n{}", request_line,
                          headers, body.empty() ? "" : std::format("Content-Length: {}\r\n", body.size()),
                          body));
  return caller.read();
}

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = testing::TempDir() + "console_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void serve(std::vector<Route> routes, Tokens tokens = {}) {
    auto started = HttpServer::start({.bind = "127.0.0.1:0"}, std::move(routes), std::move(tokens));
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
    url = server->url();
  }
  Tokens tokens() const {
    const std::string path = folder + "/tokens";
    std::ofstream(path) << "# who may\ngrafana read 0123456789abcdef\nops control fedcba9876543210\n";
    auto read = Tokens::read(path);
    EXPECT_TRUE(read) << read.error().message;
    return *read;
  }
  static Route echo(Method method, std::string pattern, Scope scope = Scope::read) {
    return {.method = method, .pattern = std::move(pattern), .scope = scope, .handle = [](const Request& r) {
              return Response{.content_type = "text/plain",
                              .body = std::format("{} {} bytes", r.who, r.body.size())};
            }};
  }

  std::string folder, url;
  std::unique_ptr<HttpServer> server;
};

// ---- bodies

TEST_F(HttpServerTest, ABodyOverTheLimitIsRefusedWithAnAnswer) {
  serve({echo(Method::put, "/one")});
  EXPECT_THAT(call(url, "PUT /one", "", std::string(1 << 20, 'x')), HasSubstr("local 1048576 bytes"));
  EXPECT_THAT(call(url, "PUT /one", "", std::string((1 << 20) + 1, 'x')), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(call(url, "PUT /nowhere", "", "{}"), StartsWith("HTTP/1.1 404"));
}

TEST_F(HttpServerTest, TheBodyOfARefusedRequestIsHungUpOn) {
  serve({echo(Method::put, "/one")});
  for (const char* request : {"PUT /one", "PUT /nowhere", "GET /one"}) {
    Caller caller(url);
    caller.send(
        std::format("{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000000000\r\n\r\n", request));
    EXPECT_LT(caller.send_without_end(std::string(1 << 16, 'x'), 64u << 20), 32u << 20) << request;
  }
  EXPECT_THAT(call(url, "PUT /one"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, BodiesWithoutALengthAreRefusedWithEveryMethod) {
  serve({echo(Method::get, "/one"), echo(Method::put, "/one")});
  for (const char* method : {"GET", "PUT"}) {
    const std::string start =
        std::format("{} /one HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", method);
    Caller ends(url);
    ends.send(start + "2\r\n{}\r\n0\r\n\r\n");
    EXPECT_THAT(ends.read(), StartsWith("HTTP/1.1 413")) << method;
    Caller endless(url);
    endless.send(start);
    const std::string piece = "10000\r\n" + std::string(1 << 16, 'x') + "\r\n";
    EXPECT_LT(endless.send_without_end(piece, 64u << 20), 32u << 20) << method;
  }
}

TEST_F(HttpServerTest, BodiesThatAreNestedTooDeepAreNoJson) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(parse_body(nested(64)).is_array());
  EXPECT_TRUE(parse_body(nested(65)).is_discarded());
  EXPECT_TRUE(parse_body(nested(1 << 19)).is_discarded());
  EXPECT_TRUE(parse_body(std::string(1 << 20, '[')).is_discarded());
  EXPECT_TRUE(parse_body("{").is_discarded());
  EXPECT_EQ(parse_body(R"({"value": [1, {"a": 2}]})")["value"][1]["a"], 2);
}

// ---- who may call

TEST_F(HttpServerTest, TokensSayWhoMayDoWhat) {
  serve({echo(Method::get, "/livez", Scope::open), echo(Method::get, "/one"),
         echo(Method::post, "/one", Scope::control)},
        tokens());
  const std::string reads = "Authorization: Bearer 0123456789abcdef\r\n",
                    controls = "Authorization: Bearer fedcba9876543210\r\n";
  EXPECT_THAT(call(url, "GET /livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(call(url, "GET /one"), AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("WWW-Authenticate")));
  EXPECT_THAT(call(url, "GET /one", "Authorization: Bearer 0123456789abcdee\r\n"),
              StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(call(url, "GET /one", reads), HasSubstr("grafana 0 bytes"));
  EXPECT_THAT(call(url, "POST /one", reads), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(call(url, "POST /one", controls, "{}"), HasSubstr("ops 2 bytes"));
  EXPECT_THAT(call(url, "DELETE /one", controls), AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("GET, POST")));
}

TEST_F(HttpServerTest, WithoutTokensOnlyThisMachineIsServed) {
  serve({echo(Method::get, "/one")});
  EXPECT_THAT(call(url, "GET /one"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(call(url, "GET /one", "Origin: http://evil.example\r\n"), StartsWith("HTTP/1.1 403"));
  Caller other(url);
  other.send("GET /one HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(other.read(), StartsWith("HTTP/1.1 403"));
  auto open = HttpServer::start({.bind = "0.0.0.0:0"}, {}, {});
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error().message, HasSubstr("http.token_file"));
}

TEST_F(HttpServerTest, AClientCaWithoutACertificateOfOursIsRefused) {
  const ServerOptions cases[] = {{.bind = "0.0.0.0:0", .client_ca_file = "ca.pem"},
                                 {.bind = "127.0.0.1:0", .client_ca_file = "ca.pem"},
                                 {.bind = "127.0.0.1:0", .cert_file = "cert.pem"},
                                 {.bind = "127.0.0.1:0", .key_file = "key.pem"}};
  for (const ServerOptions& options : cases) {
    auto started = HttpServer::start(options, {}, {});
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(started.error().message, AllOf(HasSubstr("http.tls"), HasSubstr("cert and key")));
  }
  for (const auto& [tls, is_fine] :
       std::initializer_list<std::pair<const char*, bool>>{{"{ca: ca.pem}", false},
                                                           {"{cert: a.pem}", false},
                                                           {"{key: a.pem, ca: ca.pem}", false},
                                                           {"{cert: a.pem, key: b.pem, ca: ca.pem}", true}}) {
    const auto loaded =
        module::load_module_text(std::format("version: 1\nhttp: {{bind: '0.0.0.0:8443', tls: {}}}\n", tls),
                                 "gate.yml", folder, {.checks = {.files = false}});
    const bool is_refused = std::ranges::any_of(loaded.diagnostics.items(), [](const auto& found) {
      return found.path.starts_with("http.tls") && found.severity == module::Severity::error;
    });
    EXPECT_EQ(is_refused, !is_fine) << tls;
  }
}

// ---- threads

TEST_F(HttpServerTest, ProbesAreAnsweredWhileAllOthersAreSlow) {
  struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    int inside = 0;
    bool is_open = false;
  };
  const auto gate = std::make_shared<Gate>();
  Route slow = echo(Method::get, "/slow");
  slow.handle = [gate](const Request&) {
    std::unique_lock lock(gate->mutex);
    ++gate->inside;
    gate->changed.notify_all();
    gate->changed.wait_for(lock, patience, [&] { return gate->is_open; });
    return Response{};
  };
  serve({slow, echo(Method::get, "/livez", Scope::open)});
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([this] { EXPECT_THAT(call(url, "GET /slow"), StartsWith("HTTP/1.1 200")); });
  {
    std::unique_lock lock(gate->mutex);
    EXPECT_TRUE(gate->changed.wait_for(lock, patience, [&] { return gate->inside == 2; }));
  }
  EXPECT_THAT(call(url, "GET /livez"), StartsWith("HTTP/1.1 200"));
  {
    const std::lock_guard lock(gate->mutex);
    EXPECT_EQ(gate->inside, 2);
    gate->is_open = true;
  }
  gate->changed.notify_all();
  for (std::thread& caller : callers) caller.join();
}

// ---- the routes

// A module that only has parameters, and takes messages as it is told.
class StubModule final : public module::Module {
 public:
  StubModule() {
    description.parameters = {
        {"least", {.type = module::ParameterType::number, .default_value = 0.5}},
        {"password", {.default_value = "start-hunter2", .secret = true, .per_source = true}}};
    auto opened = module::ParameterStore::open(description.parameters, {.environment = {}});
    EXPECT_TRUE(opened) << opened.error().message;
    store = std::move(*opened);
  }
  Status start() override { return {}; }
  void on_progress(std::function<void(const module::Progress&)>) override {}
  Status push(stream::Delivery delivery, int deadline_ms, const GivesUp&) override {
    return on_push(*delivery.message, deadline_ms);
  }
  Status act(std::string_view, module::StreamAction) override { return {}; }
  std::unique_ptr<module::Subscription> subscribe(
      std::function<void(const adapters::RecordRef&)> callback) override {
    on_record = std::move(callback);
    return nullptr;
  }
  std::unique_ptr<module::Subscription> subscribe_events(
      std::function<void(const module::StreamEvent&)>) override {
    return nullptr;
  }
  module::ParameterStore& parameters() override { return *store; }
  module::AuditLog& audit() override { return log; }
  Status act_on_sink(std::string_view, std::string_view) override { return {}; }
  module::ModuleStatus status() const override { return {.name = "stub"}; }
  module::HealthReport health() const override { return {.ready = true, .state = "ready"}; }
  const module::ModuleSpec& spec() const override { return description; }
  Result<std::vector<uint8_t>> snapshot(std::string_view) override {
    return fail(ErrorCode::not_found, "no such stream");
  }
  void on_shutdown_request(std::function<void(const module::ShutdownOptions&)>) override {}
  module::Outcome shutdown(const module::ShutdownOptions&) override { return {}; }
  Status wait_for_sources(const GivesUp&) override { return {}; }

  module::ModuleSpec description;
  std::unique_ptr<module::ParameterStore> store;
  module::AuditLog log{""};
  std::function<Status(const stream::Message&, int)> on_push;
  std::function<void(const adapters::RecordRef&)> on_record;
};

class RoutesTest : public HttpServerTest {
 protected:
  void SetUp() override {
    HttpServerTest::SetUp();
    options.version = "1.2.3";
    serve(routes(module, module.log, options));
  }
  StubModule module;
  ConsoleOptions options;
};

TEST_F(RoutesTest, F24NoAnswerShowsASecret) {
  const std::string changes[] = {
      call(url, "PUT /v1/parameters/password", "", R"({"value": "hunter2-new", "persist": false})"),
      call(url, "PUT /v1/parameters/password?source=cam-1", "", R"({"value": "hunter2-cam"})"),
      call(url, "PATCH /v1/parameters", "", R"({"set": {"password@cam-1": "hunter2-other"}})"),
  };
  for (const std::string& answer : changes)
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(changes[0], HasSubstr(R"("value":"***")"));
  EXPECT_EQ(*module.store->current()->find("password", "cam-1")->value.text(), "hunter2-other");
  for (const char* path : {"/v1/parameters", "/v1/parameters/password", "/v1/parameters?source=cam-1",
                           "/v1/config", "/v1/revisions", "/v1/audit", "/metrics"})
    EXPECT_THAT(call(url, std::string("GET ") + path),
                AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("hunter2"))))
        << path;
  EXPECT_THAT(call(url, "PUT /v1/parameters/least", "", R"({"value": 0.75})"), HasSubstr(R"("value":0.75)"));
}

TEST_F(RoutesTest, DeepBodiesAreRefusedByEveryRoute) {
  const std::string deep(1 << 20, '['),
      deep_value = R"({"value": )" + std::string(200'000, '[') + std::string(200'000, ']') + "}";
  for (const char* request :
       {"PUT /v1/parameters/least", "PATCH /v1/parameters", "POST /v1/streams/cam-1/actions",
        "POST /v1/sinks/json/actions", "POST /v1/shutdown"})
    for (const std::string& body : {deep, deep_value})
      EXPECT_THAT(call(url, request, "", body), StartsWith("HTTP/1.1 400")) << request;
  EXPECT_THAT(call(url, "POST /v1/config/validate", "", deep), HasSubstr(R"("valid":false)"));
}

TEST_F(RoutesTest, WhoActsIsInTheAuditLog) {
  EXPECT_THAT(call(url, "POST /v1/streams/cam-1/actions", "", R"({"action": "recycle"})"),
              StartsWith("HTTP/1.1 202"));
  EXPECT_THAT(call(url, "POST /v1/streams/cam-1/actions", "", R"({"action": "explode"})"),
              StartsWith("HTTP/1.1 422"));
  EXPECT_THAT(call(url, "POST /v1/shutdown", "", R"({"mode": "drain"})"), StartsWith("HTTP/1.1 409"));
  const auto entries = module.log.after(0);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].who, "local");
  EXPECT_EQ(entries[0].call, "POST /v1/streams/cam-1 recycle");
  EXPECT_EQ(entries[1].call, "POST /v1/shutdown");
  EXPECT_THAT(call(url, "GET /v1/audit?after=1"), AllOf(HasSubstr("shutdown"), Not(HasSubstr("recycle"))));
}

TEST_F(RoutesTest, TheDocumentHasEveryRoute) {
  const std::string answer = call(url, "GET /v1/openapi.json");
  const Json document = parse_body(std::string_view(answer).substr(answer.find("\r\n\r\n") + 4));
  ASSERT_TRUE(document.is_object()) << answer;
  EXPECT_EQ(document["info"]["version"], "1.2.3");
  const auto all = routes(module, module.log, options);
  EXPECT_GT(all.size(), 20u);
  for (const Route& route : all) {
    std::string method(to_string(route.method));
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    ASSERT_TRUE(document["paths"].contains(route.pattern)) << route.pattern;
    const Json& operation = document["paths"][route.pattern][method];
    EXPECT_EQ(operation["summary"], route.summary) << route.pattern;
    EXPECT_EQ(operation.contains("security"), route.scope != Scope::open) << route.pattern;
  }
}

constexpr std::string_view picture(
    "\xff\xd8\xff\xc0\x00\x11\x08\x00\x04\x00\x08\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9", 23);

TEST_F(RoutesTest, PicturesAreWorkedOnOneAtATimeWithinOneDeadline) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> deadlines;
  bool is_open = false;
  module.on_push = [&](const stream::Message& message, int deadline_ms) -> Status {
    std::unique_lock lock(mutex);
    deadlines.push_back(deadline_ms);
    changed.notify_all();
    changed.wait_for(lock, patience, [&] { return is_open; });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (message.kind == stream::Kind::end_of_stream) {
      auto record = std::make_shared<adapters::Record>();
      record->kind = adapters::RecordKind::end_of_stream;
      record->source_id = message.source_id;
      module.on_record(record);
    }
    return {};
  };
  const std::string type = "Content-Type: image/jpeg\r\n";
  std::string first;
  std::thread caller([&] { first = call(url, "POST /v1/frames", type, picture); });
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, patience, [&] { return !deadlines.empty(); }));
  }
  EXPECT_THAT(call(url, "POST /v1/frames", type, picture),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("another picture")));
  EXPECT_THAT(call(url, "GET /v1/module"), StartsWith("HTTP/1.1 200"));
  {
    const std::lock_guard lock(mutex);
    is_open = true;
  }
  changed.notify_all();
  caller.join();
  EXPECT_THAT(first, AllOf(StartsWith("HTTP/1.1 422"), HasSubstr("could not be decoded")));
  ASSERT_EQ(deadlines.size(), 2u);
  EXPECT_LE(deadlines[0], 10'000);
  EXPECT_LT(deadlines[1], deadlines[0]);
}

TEST(Masking, HidesPasswordsInUrlsAndValuesThatAreNamedLikeSecrets) {
  const auto tree = module::value_from_json_or_null(
      R"({"api_key": "hunter2", "token_file": "/run/t", "list": ["kafka://a:hunter2@b"],
          "options": ["decryption_key=hunter2", "user_agent=x"],
          "parameters": {"p": {"secret": true, "default": "hunter2"}}})");
  const std::string text = masked_description(tree).to_json();
  EXPECT_THAT(text, AllOf(Not(HasSubstr("hunter2")), HasSubstr("/run/t"), HasSubstr("kafka://a:***@b"),
                          HasSubstr("decryption_key=***"), HasSubstr("user_agent=x")));
}

}  // namespace
}  // namespace sightglass::console
