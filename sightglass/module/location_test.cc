// W-10: payloads that a message only names. Files, a server on loopback that serves well and badly, and whole
// modules.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include <fstream>
#include <future>

#include "sightglass/model/sha256.h"
#include "sightglass/module/location_reader.h"
#include "sightglass/module/module_file.h"
#include "sightglass/module/running_module.h"
#include "sightglass/stream/zeromq/writer.h"
#include "tests/servers/server_process.h"

namespace sightglass::module::testing {
namespace {

namespace fs = std::filesystem;
using net::AddressKind;
using ::testing::HasSubstr;

stream::Fixed32 sum_of(std::string_view text) {
  const std::string digits = sha256(text);
  stream::Fixed32 sum{};
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = uint8_t(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  return sum;
}

class W10 : public RunningModule {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<test::TemporaryFolder>();
    root = fs::canonical(folder->path());
    fs::create_directories(root / "pictures/deep");
    fs::create_directories(root / "secrets");
    write("pictures/a.jpg", "0123456789");
    write("pictures/deep/b c.jpg", "b");
    write("pictures/empty", "");
    write("secrets/key", "secret");
    fs::create_symlink(root / "secrets/key", root / "pictures/link.jpg");
    fs::create_symlink("a.jpg", root / "pictures/inside.jpg");
    fs::create_directory_symlink(root / "secrets", root / "pictures/linked");
    fs::create_directory_symlink(root / "pictures", root / "current");
    mkfifo((root / "pictures/pipe").c_str(), 0600);
    server = std::make_unique<test::ServerProcess>(
        test::ServerProcess::script("file_double.py", {"--root", root / "pictures"}));
  }
  static void TearDownTestSuite() {
    server.reset();
    folder.reset();
  }
  static void write(const std::string& name, std::string_view text) {
    std::ofstream(root / name, std::ios::binary) << text;
  }
  static std::string file(std::string_view name) { return std::format("file://{}/{}", root.string(), name); }
  static std::string web(std::string_view path, std::string_view host = "127.0.0.1") {
    return std::format("http://{}:{}{}", host, server->port(), path);
  }

  static std::shared_ptr<const LocationRules> rules(const std::vector<std::string>& schemes,
                                                    const std::vector<std::string>& roots) {
    auto made = LocationRules::make(schemes, roots, root);
    if (!made) throw std::runtime_error(made.error().message);
    return std::make_shared<const LocationRules>(*std::move(made));
  }
  static std::shared_ptr<const LocationRules> usual_rules() {
    return rules({"file", "http"}, {root / "pictures", web("/")});
  }
  // What is read, or "error: " and why not.
  static std::string read(const stream::Location& location, const LocationLimits& limits = {},
                          std::shared_ptr<const LocationRules> by = usual_rules()) {
    auto bytes = LocationReader(std::move(by), limits).read(location);
    return bytes ? std::string(bytes->begin(), bytes->end()) : "error: " + bytes.error().message;
  }

  void start(ModuleSpec spec = quick_spec(), bool with_roots = true) {
    if (with_roots) {
      spec.security.location_schemes = {"file", "http"};
      spec.security.location_roots = {root / "pictures", web("/")};
    }
    RunningModule::start(spec);
  }
  static stream::Delivery elsewhere(Writer& writer, const std::string& uri, bool keyframe = true) {
    auto delivery = writer.frame(keyframe);
    auto message = std::make_shared<stream::Message>(*delivery.message);
    message->frame->content = stream::Location{uri, 0, {}, {}};
    delivery.message = std::move(message);
    delivery.payloads.clear();
    return delivery;
  }
  uint64_t dropped_of(std::string_view source) { return dropped(status_of(*module, source), "location"); }

  static std::unique_ptr<test::TemporaryFolder> folder;
  static fs::path root;
  static std::unique_ptr<test::ServerProcess> server;
};
std::unique_ptr<test::TemporaryFolder> W10::folder;
fs::path W10::root;
std::unique_ptr<test::ServerProcess> W10::server;

// ---- what may be read

TEST_F(W10, AllowsNothingByDefault) {
  const LocationRules none;
  EXPECT_TRUE(none.empty());
  for (const auto& uri : {file("pictures/a.jpg"), web("/files/a.jpg"), std::string("s3://b/k")})
    EXPECT_FALSE(none.allows(uri)) << uri;
  EXPECT_FALSE(none.allows("http://localhost/", AddressKind::loopback));
}

TEST_F(W10, AllowsWhatIsBelowARootOfAnAllowedScheme) {
  const auto by = rules({"file", "https"}, {"pictures", "https://cdn.example.com/clips/",
                                            "https://a.example/x", "https://*.cams.example:8443/"});
  for (const auto& uri : {
           file("pictures/a.jpg"),
           file("pictures/deep/b%20c.jpg"),
           "file://localhost" + (root / "pictures/a.jpg").string(),
           std::string("https://cdn.example.com/clips/a?sig=1"),
           std::string("HTTPS://CDN.example.com:443/clips/a"),
           std::string("https://a.example/x"),
           std::string("https://a.example/x/y"),
           std::string("https://one.cams.example:8443/a"),
           std::string("https://cdn.example.com/other/../clips/a"),
       })
    EXPECT_TRUE(by->allows(uri)) << uri;
  for (const auto& uri : {
           std::string(""),
           std::string("pictures/a.jpg"),
           (root / "pictures/a.jpg").string(),
           file("pictures"),
           file("pictures/"),
           file("secrets/key"),
           file("pictures/../secrets/key"),
           file("pictures/%2e%2e/secrets/key"),
           file("pictures2/a.jpg"),
           file("pictures/a.jpg%00.png"),
           "file://elsewhere" + (root / "pictures/a.jpg").string(),
           std::string("http://cdn.example.com/clips/a"),
           std::string("https://cdn.example.com/clip"),
           std::string("https://cdn.example.com/clips/../secret"),
           std::string("https://cdn.example.com/clips/%2e%2e/secret"),
           std::string("https://cdn.example.com/clips/%2E%2E%2Fsecret"),
           std::string("https://cdn.example.com/clips/..%5csecret"),
           std::string("https://cdn.example.com/clips\\..\\secret"),
           std::string("https://cdn.example.com:8443/clips/a"),
           std::string("https://cdn.example.com@evil.example/clips/a"),
           std::string("https://cdn.example.com.evil.example/clips/a"),
           std::string("https://a.example/xy"),
           std::string("https://cams.example:8443/a"),
           std::string("https://evilcams.example:8443/a"),
           std::string("s3://bucket/key"),
           std::string("ftp://cdn.example.com/clips/a"),
       })
    EXPECT_FALSE(by->allows(uri)) << uri;
}

TEST_F(W10, RefusesRulesThatMakeNoSense) {
  const auto why = [](const std::vector<std::string>& schemes, const std::vector<std::string>& roots) {
    auto made = LocationRules::make(schemes, roots, "/");
    return made ? "" : made.error().message;
  };
  EXPECT_EQ(why({}, {}), "");
  EXPECT_THAT(why({"http", "s3"}, {}), HasSubstr("security.location.schemes: s3"));
  EXPECT_THAT(why({"file"}, {"http://a/"}), HasSubstr("its scheme http is not in `schemes`"));
  EXPECT_THAT(why({"file", "http"}, {"/srv"}), HasSubstr("http: no root has it"));
  for (const char* text : {"http://*a/", "http://*1.a/", "http://*1/", "http://**/"})
    EXPECT_THAT(why({"http"}, {text}), HasSubstr("'*' stands for a whole host")) << text;
  for (const char* text : {"http://*", "http://*/", "http://*:8080/", "http://*.a/"})
    EXPECT_EQ(why({"http"}, {text}), "") << text;
  EXPECT_THAT(why({"http"}, {"http://a/?x=1"}), HasSubstr("a plain path"));
  EXPECT_THAT(why({"http"}, {"http://bob:hunter2@a/"}), HasSubstr("http://bob:***@a/"));
}

TEST_F(W10, KeepsOutOfPrivateNetworks) {
  const auto by = rules({"http"}, {"http://nas.example/", "http://*.cdn.example/", "http://10.0.0.5/",
                                   "http://127.0.0.1:8000/", "http://localhost/"});
  using enum AddressKind;
  // A name: the internet, and the private network where a root names it in full. Never this machine or
  // the metadata of the cloud, wherever the name leads today.
  EXPECT_TRUE(by->allows("http://nas.example/a", open));
  EXPECT_TRUE(by->allows("http://nas.example/a", local_net));
  for (const auto kind : {loopback, link_local, unusable})
    EXPECT_FALSE(by->allows("http://nas.example/a", kind));
  EXPECT_TRUE(by->allows("http://a.cdn.example/a", open));
  for (const auto kind : {local_net, loopback, link_local})
    EXPECT_FALSE(by->allows("http://a.cdn.example/a", kind));
  EXPECT_TRUE(by->allows("http://10.0.0.5/a", local_net));
  EXPECT_FALSE(by->allows("http://10.0.0.6/a", local_net));
  EXPECT_TRUE(by->allows("http://127.0.0.1:8000/a", loopback));
  EXPECT_TRUE(by->allows("http://localhost/a", loopback));
  EXPECT_FALSE(by->allows("http://localhost/a", link_local));
}

TEST_F(W10, AWildcardOpensNothingOfAHostThatAnotherRootNames) {
  const auto by = rules(
      {"http"}, {"http://127.0.0.1:8000/pics/", "http://nas.example/pics/", "http://*:8080/", "http://*/"});
  using enum AddressKind;
  EXPECT_TRUE(by->allows("http://127.0.0.1:8000/pics/a.jpg", loopback));
  EXPECT_TRUE(by->allows("http://nas.example/pics/a.jpg", local_net));
  for (const auto& uri : {"http://127.0.0.1:8080/v1/config", "http://127.0.0.1:8000/v1/config"})
    EXPECT_FALSE(by->allows(uri, loopback)) << uri;
  for (const auto& uri : {"http://nas.example:8080/pics/a.jpg", "http://nas.example/admin"})
    EXPECT_FALSE(by->allows(uri, local_net)) << uri;
  // At once, and where a root that names it leads.
  const auto some = rules({"http"}, {web("/redirect/"), std::format("http://*:{}/", server->port())});
  for (const auto& uri : {web("/files/a.jpg"), web("/redirect/1?to=/files/a.jpg")})
    EXPECT_THAT(read({uri, 0, {}, {}}, {}, some), HasSubstr("leads to an address of this machine")) << uri;
}

TEST_F(W10, KnowsWhatKindAnAddressIs) {
  const auto kind = [](const char* text) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) return net::kind_of(reinterpret_cast<sockaddr*>(&v4));
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    return net::kind_of(reinterpret_cast<sockaddr*>(&v6));
  };
  using enum AddressKind;
  for (const char* text : {"8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2002:808:808::1"})
    EXPECT_EQ(kind(text), open) << text;
  for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd00::1",
                           "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"})
    EXPECT_EQ(kind(text), local_net) << text;
  for (const char* text : {"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"})
    EXPECT_EQ(kind(text), loopback) << text;
  for (const char* text : {"169.254.169.254", "fe80::1", "febf::1", "::ffff:169.254.1.1"})
    EXPECT_EQ(kind(text), link_local) << text;
  for (const char* text :
       {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::127.0.0.1", "2001::1"})
    EXPECT_EQ(kind(text), unusable) << text;
}

// ---- files

TEST_F(W10, ReadsFilesAndPartsOfThem) {
  EXPECT_EQ(read({file("pictures/a.jpg"), 0, {}, {}}), "0123456789");
  EXPECT_EQ(read({file("pictures/deep/b%20c.jpg"), 0, {}, {}}), "b");
  EXPECT_EQ(read({file("pictures/a.jpg"), 4, {}, {}}), "456789");
  EXPECT_EQ(read({file("pictures/a.jpg"), 4, 3, {}}), "456");
  EXPECT_EQ(read({file("pictures/a.jpg"), 4, 3, sum_of("456")}), "456");
  // The root itself may be a link: it is the operator's.
  EXPECT_EQ(read({file("current/a.jpg"), 0, {}, {}}, {}, rules({"file"}, {"current"})), "0123456789");
}

TEST_F(W10, FollowsNoSymbolicLink) {
  EXPECT_THAT(read({file("pictures/link.jpg"), 0, {}, {}}), HasSubstr("symbolic link"));
  EXPECT_THAT(read({file("pictures/inside.jpg"), 0, {}, {}}), HasSubstr("symbolic link"));
  EXPECT_THAT(read({file("pictures/linked/key"), 0, {}, {}}), HasSubstr("error: "));
}

// Old kernels, and sandboxes that know no openat2().
TEST_F(W10, FollowsNoSymbolicLinkWithoutTheKernelsHelpEither) {
  std::jthread([] {  // a filter of system calls holds for its thread
    const sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_openat2},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const sock_fprog program{.len = std::size(filter), .filter = const_cast<sock_filter*>(filter)};
    ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ASSERT_EQ(syscall(SYS_openat2, -1, "", nullptr, 0), -1);
    ASSERT_EQ(errno, ENOSYS);
    EXPECT_EQ(read({file("pictures/a.jpg"), 0, {}, {}}), "0123456789");
    EXPECT_EQ(read({file("pictures/deep/b%20c.jpg"), 0, {}, {}}), "b");
    EXPECT_THAT(read({file("pictures/link.jpg"), 0, {}, {}}), HasSubstr("symbolic link"));
    EXPECT_THAT(read({file("pictures/inside.jpg"), 0, {}, {}}), HasSubstr("symbolic link"));
    EXPECT_THAT(read({file("pictures/linked/key"), 0, {}, {}}), HasSubstr("error: "));
    EXPECT_THAT(read({file("pictures/pipe"), 0, {}, {}}), HasSubstr("not a file"));
    EXPECT_THAT(read({file("pictures/none/a"), 0, {}, {}}), HasSubstr("No such file"));
  })
      .join();
}

TEST_F(W10, ReadsNothingButFiles) {
  EXPECT_THAT(read({file("pictures/deep"), 0, {}, {}}), HasSubstr("not a file"));
  EXPECT_THAT(read({file("pictures/pipe"), 0, {}, {}}), HasSubstr("not a file"));  // and does not wait
  EXPECT_THAT(read({file("pictures/none"), 0, {}, {}}), HasSubstr("No such file"));
  EXPECT_THAT(read({file("pictures/empty"), 0, {}, {}}), HasSubstr("is empty"));
}

TEST_F(W10, RefusesWhatIsNotAsTheMessageSays) {
  const auto wrong = sum_of("other");
  for (const auto& uri : {file("pictures/a.jpg"), web("/files/a.jpg"), web("/plain/a.jpg")}) {
    EXPECT_THAT(read({uri, 0, {}, wrong}), HasSubstr("another checksum")) << uri;
    EXPECT_EQ(read({uri, 0, 10, sum_of("0123456789")}), "0123456789") << uri;
    EXPECT_THAT(read({uri, 0, 11, {}}), HasSubstr("error: ")) << uri;
    EXPECT_THAT(read({uri, 8, 4, {}}), HasSubstr("error: ")) << uri;
    EXPECT_THAT(read({uri, 10, {}, {}}), HasSubstr("error: ")) << uri;
    EXPECT_THAT(read({uri, 11, {}, {}}), HasSubstr("error: ")) << uri;
    EXPECT_THAT(read({uri, -1, {}, {}}), HasSubstr("make no sense")) << uri;
    EXPECT_THAT(read({uri, 0, 0, {}}), HasSubstr("make no sense")) << uri;
    EXPECT_THAT(read({uri, INT64_MAX, INT64_MAX, {}}), HasSubstr("make no sense")) << uri;
  }
}

TEST_F(W10, RefusesWhatIsTooLarge) {
  for (const auto& uri : {file("pictures/a.jpg"), web("/files/a.jpg")}) {
    EXPECT_THAT(read({uri, 0, {}, {}}, {.bytes = 9}), HasSubstr("more than the 9 allowed")) << uri;
    EXPECT_EQ(read({uri, 0, {}, {}}, {.bytes = 10}), "0123456789") << uri;
    EXPECT_EQ(read({uri, 2, 9 - 4, {}}, {.bytes = 9}), "23456") << uri;
    EXPECT_THAT(read({uri, 0, 10, {}}, {.bytes = 9}), HasSubstr("more than the 9 allowed")) << uri;
    EXPECT_THAT(read({uri, 0, INT64_MAX, {}}, {.bytes = 9}), HasSubstr("error: ")) << uri;
  }
  EXPECT_THAT(read({web("/endless"), 0, {}, {}}, {.bytes = 1 << 20}), HasSubstr("more than the 1048576"));
}

// ---- URLs

TEST_F(W10, ReadsUrlsAndPartsOfThem) {
  EXPECT_EQ(read({web("/files/a.jpg"), 0, {}, {}}), "0123456789");
  EXPECT_EQ(read({web("/files/a.jpg"), 4, 3, sum_of("456")}), "456");
  EXPECT_EQ(read({web("/files/a.jpg"), 4, {}, {}}), "456789");
  EXPECT_EQ(read({web("/plain/a.jpg"), 0, {}, {}}), "0123456789");
  EXPECT_THAT(read({web("/plain/a.jpg"), 4, 3, {}}), HasSubstr("does not give parts"));
  EXPECT_THAT(read({web("/files/none"), 0, {}, {}}), HasSubstr("404 Not Found"));
  EXPECT_THAT(read({web("/status/500"), 0, {}, {}}), HasSubstr("500"));
  // Not one byte of what is packed small counts as small.
  EXPECT_EQ(read({web("/gzip/a.jpg"), 0, {}, {}}), "0123456789");
}

TEST_F(W10, ConnectsToNoPrivateAddressThatIsNotNamed) {
  // Every host, but none in particular: the names and addresses of this machine are not among them.
  const auto anywhere = rules({"http"}, {std::format("http://*:{}/", server->port())});
  server->control("forget");
  for (const std::string_view host : {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]",
                                      "2130706433", "0x7f.1", "169.254.169.254", "10.0.0.1"}) {
    EXPECT_TRUE(anywhere->allows(web("/files/a.jpg", host))) << host;  // as a text
    EXPECT_THAT(read({web("/files/a.jpg", host), 0, {}, {}}, {}, anywhere), HasSubstr("leads to a")) << host;
  }
  EXPECT_TRUE(server->control("requests").empty());
  const auto named = rules({"http"}, {web("/", "localhost")});
  EXPECT_EQ(read({web("/files/a.jpg", "localhost"), 0, {}, {}}, {}, named), "0123456789");
  EXPECT_THAT(read({web("/files/a.jpg"), 0, {}, {}}, {}, named), HasSubstr("not below a root"));
}

TEST_F(W10, FollowsThreeRedirectsEachChecked) {
  EXPECT_EQ(read({web("/redirect/3?to=/files/a.jpg"), 0, {}, {}}), "0123456789");
  EXPECT_THAT(read({web("/redirect/4?to=/files/a.jpg"), 0, {}, {}}), HasSubstr("more than 3 redirects"));
  // Out of the roots, to another scheme, to the network inside.
  const auto some = rules({"file", "http"}, {"pictures", web("/redirect/"), web("/files/")});
  EXPECT_EQ(read({web("/redirect/1?to=/files/a.jpg"), 0, {}, {}}, {}, some), "0123456789");
  EXPECT_THAT(read({web("/redirect/1?to=/plain/a.jpg"), 0, {}, {}}, {}, some), HasSubstr("not below a root"));
  EXPECT_THAT(read({web("/redirect/2?to=/plain/a.jpg"), 0, {}, {}}, {}, some), HasSubstr("not below a root"));
  EXPECT_THAT(read({web("/redirect/1?to=" + file("pictures/a.jpg")), 0, {}, {}}, {}, some),
              HasSubstr("redirected to a file"));
  const auto outside = rules({"http"}, {web("/redirect/"), std::format("http://*:{}/", server->port())});
  EXPECT_THAT(read({web("/redirect/1?to=" + web("/files/a.jpg", "localhost")), 0, {}, {}}, {}, outside),
              HasSubstr("leads to an address of this machine"));
}

TEST_F(W10, GivesUpOnWhatIsSlow) {
  for (const char* path : {"/silent", "/stall/a.jpg"})
    EXPECT_THAT(read({web(path), 0, {}, {}}, {.time = 100ms}), HasSubstr("timed out")) << path;
}

TEST_F(W10, APoolAnswersLaterAndStopsAtOnce) {
  auto pool = std::make_unique<LocationPool>(usual_rules(), stream::Limits(), 1h, 2);
  const auto ask = [&](const std::string& uri) {
    auto message = std::make_shared<stream::Message>(*Writer("cam-1", "jpeg").frame(true).message);
    message->frame->content = stream::Location{uri, 0, {}, {}};
    auto promise = std::make_shared<std::promise<Result<Located>>>();
    auto answer = promise->get_future();
    pool->read(std::move(message),
               [promise](Result<Located> located) { promise->set_value(std::move(located)); });
    return answer;
  };
  auto stalled = ask(web("/stall/a.jpg"));
  for (int i = 0; i < 20; ++i) {
    auto located = ask(web("/files/a.jpg")).get();
    ASSERT_TRUE(located) << located.error().message;
    EXPECT_EQ(std::get<stream::Part>(located->message->frame->content).size, 10);
    EXPECT_EQ(located->payload.bytes.size(), 10u);
  }
  pool.reset();
  EXPECT_THROW((void)stalled.get(), std::future_error);  // never answered
}

// ---- whole modules

TEST_F(W10, ReadsInTheOrderOfTheStream) {
  start();
  Writer cam("cam-1", "jpeg");
  std::vector<stream::Uuid> sent;
  for (int i = 0; i < 30; ++i) {
    if (i % 3 == 0)
      push(elsewhere(cam, web("/files/a.jpg")));
    else if (i % 3 == 1)
      push(elsewhere(cam, file("pictures/deep/b%20c.jpg")));
    else
      push(cam.frame(true));
    sent.push_back(cam.last());
  }
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 30; }));
  std::vector<stream::Uuid> got;
  for (const auto& record : recorder->records("cam-1"))
    if (record->kind == RecordKind::frame) got.push_back(record->uuid);
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(is_settled());
  EXPECT_EQ(status_of(*module, "cam-1").stored, 30u);
}

TEST_F(W10, DropsTheFrameAndCountsIt) {
  start();
  Writer cam("cam-1", "jpeg");
  const auto settlement = std::make_shared<CountedSettlement>();
  cam.settlement = settlement;
  push(cam.frame(true));
  push(elsewhere(cam, file("pictures/link.jpg")));
  push(cam.frame(true));
  push(elsewhere(cam, file("secrets/key")));
  push(elsewhere(cam, web("/files/a.jpg")));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 3; }));
  EXPECT_EQ(dropped_of("cam-1"), 2u);
  EXPECT_EQ(module->status().messages_rejected["location"], 2u);
  EXPECT_EQ(status_of(*module, "cam-1").lost, 0u);
  EXPECT_TRUE(is_settled());
  // Nobody has to send them again.
  EXPECT_TRUE(eventually([&] { return settlement->processes == 5; }));
  EXPECT_EQ(settlement->refusals, 0);
  EXPECT_EQ(state_of(*module, "cam-1"), "LIVE");
}

TEST_F(W10, DropsEveryLocationUnlessToldOtherwise) {
  start(quick_spec(), false);
  Writer cam("cam-1", "jpeg");
  push(elsewhere(cam, file("pictures/a.jpg")));
  push(cam.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 1; }));
  EXPECT_EQ(dropped_of("cam-1"), 1u);
}

TEST_F(W10, SlowOnesHoldUpNobodyElseAndAreDroppedAfterFiveSeconds) {
  start();
  Writer slow("slow", "jpeg"), other("other", "jpeg");
  const auto begin = std::chrono::steady_clock::now();
  push(elsewhere(slow, web("/stall/a.jpg")));
  push(slow.frame(true));
  for (int i = 0; i < 20; ++i) push(i % 2 ? other.frame(true) : elsewhere(other, web("/files/a.jpg")));
  ASSERT_TRUE(eventually([&] { return recorder->frames("other") == 20; }));
  EXPECT_EQ(recorder->frames("slow"), 0u);
  ASSERT_TRUE(eventually([&] { return recorder->frames("slow") == 1; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 4900ms);
  EXPECT_EQ(dropped_of("slow"), 1u);
  EXPECT_TRUE(is_settled());
}

TEST_F(W10, DoesNotTryForEverWhatCannotBeRead) {
  start();
  Writer cam("cam-1", "jpeg");
  server->control("forget");
  for (int i = 0; i < 20; ++i) push(elsewhere(cam, web("/status/500")));
  push(cam.frame(true));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 1; }));
  EXPECT_EQ(dropped_of("cam-1"), 20u);
  EXPECT_EQ(server->control("requests").size(), 3u);
  EXPECT_TRUE(is_settled());
}

TEST_F(W10, WhatIsNotThereCostsNoOtherFrame) {
  start();
  Writer cam("cam-1", "jpeg");
  for (int i = 0; i < 5; ++i) push(elsewhere(cam, web("/files/none")));
  push(elsewhere(cam, web("/files/a.jpg")));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 1; }));
  EXPECT_EQ(dropped_of("cam-1"), 5u);
  EXPECT_TRUE(is_settled());
}

TEST_F(W10, WhatTheBytesSayCounts) {
  start();
  // The header of a JPEG of 32×16, where the message says 64×48.
  write("pictures/small.jpg",
        std::string("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00", 15));
  // A giant.
  write("pictures/giant.jpg",
        std::string("\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00", 15));
  Writer cam("cam-1", "jpeg");
  push(elsewhere(cam, file("pictures/small.jpg")));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 1; }));
  EXPECT_EQ(status_of(*module, "cam-1").width, 32);
  EXPECT_EQ(status_of(*module, "cam-1").height, 16);
  push(elsewhere(cam, file("pictures/giant.jpg")));
  ASSERT_TRUE(eventually([&] { return dropped_of("cam-1") == 1; }));
  // Its checksum does as well.
  auto delivery = elsewhere(cam, file("pictures/a.jpg"));
  auto message = std::make_shared<stream::Message>(*delivery.message);
  message->frame->crc32c = 1;
  delivery.message = message;
  push(std::move(delivery));
  ASSERT_TRUE(eventually([&] { return dropped_of("cam-1") == 2; }));
}

TEST_F(W10, EndsWhileItReads) {
  start();
  Writer cam("cam-1", "jpeg");
  push(cam.frame(true));
  push(elsewhere(cam, web("/silent")));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 1; }));
  (void)module->shutdown({.mode = ShutdownMode::now, .deadline_ms = 100});
  recorder.reset();
  module.reset();
}

// A file, a socket, and a writer that sends no more than names.
TEST_F(W10, WorksThroughASocketAsTheFileSays) {
  const std::string grey(64 * 48 * 3 / 2, char(128));
  write("pictures/grey.raw", grey + grey);
  const std::string address = "ipc://" + (root / "in").string();
  write("gate.yml", std::format("version: 1\n"
                                "name: gate\n"
                                "pipeline:\n"
                                "  source: {{type: zeromq, url: 'router+bind:{}'}}\n"
                                "output_frame: {{codec: copy}}\n"
                                "http: {{bind: 'off'}}\n"
                                "security: {{location: {{schemes: [file], roots: [pictures]}}}}\n",
                                address));
  auto loaded = load_module(root / "gate.yml");
  ASSERT_TRUE(loaded) << loaded.diagnostics.to_string();
  auto made = Module::create(*loaded.value);
  ASSERT_TRUE(made) << made.error().to_string();
  module = std::move(*made);
  recorder = std::make_unique<Recorder>(*module);
  const auto started = module->start();
  ASSERT_TRUE(started) << started.error().to_string();

  auto url = stream::parse_url("dealer+connect:" + address);
  ASSERT_TRUE(url) << url.error().message;
  auto writer = stream::ZmqWriter::open(*url, {});
  ASSERT_TRUE(writer) << writer.error().message;
  Writer cam("cam-1", "raw");
  const auto send = [&](const std::string& uri, std::optional<stream::Fixed32> sum, int64_t offset) {
    auto message = *cam.frame(true).message;
    message.frame->raw.emplace().format = "I420";
    message.frame->content = stream::Location{uri, offset, int64_t(grey.size()), sum};
    const auto sent = (*writer)->send(message);
    EXPECT_TRUE(sent) << sent.error().message;
  };
  send(file("pictures/grey.raw"), sum_of(grey), 0);
  send(file("secrets/key"), {}, 0);                     // refused by the reader
  send(file("pictures/grey.raw"), sum_of("other"), 0);  // refused by the stream
  send(file("pictures/grey.raw"), {}, int64_t(grey.size()));
  ASSERT_TRUE(eventually([&] { return recorder->frames("cam-1") == 2; }));
  for (const auto& record : recorder->records("cam-1"))
    if (record->kind == RecordKind::frame) {
      EXPECT_EQ(record->payload.bytes.size(), grey.size());
    }
  EXPECT_EQ(module->status().messages_rejected["location"], 2u);
  EXPECT_TRUE(is_balanced(module->status()));
}

}  // namespace
}  // namespace sightglass::module::testing
