// Against a real server on loopback, which breaks off, stalls and changes its files.
#include "sightglass/net/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "sightglass/net/s3.h"
#include "tests/servers/server_process.h"

namespace sightglass::net {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string noise(size_t bytes, unsigned seed = 1) {
  std::string text(bytes, 0);
  for (char& c : text) c = char((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Downloading : public testing::Test {
 protected:
  Downloading() {
    served = folder.path() / "served", kept = folder.path() / "kept";
    fs::create_directories(served);
    put("model.onnx", content);
    server.emplace(test::ServerProcess::script(
        "file_double.py", {"--root", served, "--bucket", "models", "--key-id", "AKID", "--secret", "s/ecr+et",
                           "--region", "eu-test-1"}));
  }
  void put(const std::string& name, std::string_view text) {
    std::ofstream(served / name, std::ios::binary) << text;
  }
  std::string url(std::string_view path) const { return std::format("http://{}{}", server->address(), path); }
  Status get(std::string_view path, DownloadOptions options = {}) {
    options.pause = 1ms;
    return download(client, {.url = url(path)}, kept / "model.onnx", options);
  }
  std::vector<std::string> requests() const { return server->control("requests"); }
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    if (fs::exists(kept))
      for (const auto& entry : fs::directory_iterator(kept)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }

  const std::string content = noise(1'000'000);
  test::TemporaryFolder folder;
  fs::path served, kept;
  std::optional<test::ServerProcess> server;
  HttpClient client{{.total_timeout = 0ms}};
};

TEST_F(Downloading, PutsTheWholeFileInItsPlace) {
  std::vector<DownloadProgress> told;
  DownloadOptions options;
  options.on_progress = [&](const DownloadProgress& now) { told.push_back(now); };
  const auto done = get("/files/model.onnx", options);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(read(kept / "model.onnx"), content);
  EXPECT_THAT(left(), ElementsAre("model.onnx"));
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.front().bytes, 0u);
  EXPECT_EQ(told.front().total, content.size());
  EXPECT_EQ(told.back().bytes, content.size());
  EXPECT_GT(told.back().rate, 0);
  // It is not asked for again.
  EXPECT_TRUE(get("/files/model.onnx"));
  EXPECT_EQ(requests().size(), 1u);
}

TEST_F(Downloading, GoesOnWhereItWasBrokenOff) {
  const auto done = get("/cut/300000/model.onnx");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(read(kept / "model.onnx"), content);
  EXPECT_THAT(
      requests(),
      ElementsAre("GET /cut/300000/model.onnx", "GET /cut/300000/model.onnx bytes=300000-",
                  "GET /cut/300000/model.onnx bytes=600000-", "GET /cut/300000/model.onnx bytes=900000-"));
}

TEST_F(Downloading, GoesOnInTheNextCall) {
  server->control("gate", {{"open", false}});
  {
    std::jthread other([&] {
      // Half of it is there, and no more comes.
      EXPECT_TRUE(test::eventually([&] {
        std::error_code error;
        return fs::file_size(kept / "model.onnx.part", error) > 100'000 && !error;
      }));
      client.cancel();
    });
    const auto done = get("/files/model.onnx");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::cancelled);
  }
  EXPECT_THAT(left(), ElementsAre("model.onnx.part", "model.onnx.part.tag"));
  const auto size = fs::file_size(kept / "model.onnx.part");
  server->control("gate", {{"open", true}});
  server->control("forget");
  client.resume();
  EXPECT_TRUE(get("/files/model.onnx"));
  EXPECT_EQ(read(kept / "model.onnx"), content);
  EXPECT_THAT(requests(), ElementsAre(std::format("GET /files/model.onnx bytes={}-", size)));
  EXPECT_THAT(left(), ElementsAre("model.onnx"));
}

TEST_F(Downloading, BeginsAnewWhenTheFileHasChanged) {
  fs::create_directories(kept);
  std::ofstream(kept / "model.onnx.part") << "of another version";
  std::ofstream(kept / "model.onnx.part.tag") << "\"older\"\n";
  EXPECT_TRUE(get("/files/model.onnx"));
  EXPECT_EQ(read(kept / "model.onnx"), content);
}

TEST_F(Downloading, BeginsAnewWhereItIsNotKnownOfWhatThePartIs) {
  fs::create_directories(kept);
  std::ofstream(kept / "model.onnx.part") << "of whatever";
  EXPECT_TRUE(get("/files/model.onnx"));
  EXPECT_EQ(read(kept / "model.onnx"), content);
  EXPECT_THAT(requests(), ElementsAre("GET /files/model.onnx"));
}

TEST_F(Downloading, BeginsAnewWhereTheServerKnowsNoParts) {
  // Its tag fits, but the server gives all of it.
  fs::create_directories(kept);
  ASSERT_TRUE(get("/plain/model.onnx"));
  const auto tag = client.request({.method = "HEAD", .url = url("/plain/model.onnx")})->headers;
  fs::rename(kept / "model.onnx", kept / "model.onnx.part");
  fs::resize_file(kept / "model.onnx.part", 1000);
  for (const auto& [name, value] : tag)
    if (name == "etag") std::ofstream(kept / "model.onnx.part.tag") << value << "\n";
  EXPECT_TRUE(get("/plain/model.onnx"));
  EXPECT_EQ(read(kept / "model.onnx"), content);
}

TEST_F(Downloading, TakesAPartThatIsComplete) {
  ASSERT_TRUE(get("/files/model.onnx"));
  const auto head = client.request({.method = "HEAD", .url = url("/files/model.onnx")});
  fs::rename(kept / "model.onnx", kept / "model.onnx.part");
  std::ofstream(kept / "model.onnx.part.tag") << *head->header("etag") << "\n";
  EXPECT_TRUE(get("/files/model.onnx"));
  EXPECT_EQ(read(kept / "model.onnx"), content);
}

TEST_F(Downloading, RemovesWhatDoesNotPassTheCheck) {
  DownloadOptions options;
  options.check = [&](const fs::path& part) -> Status {
    EXPECT_EQ(fs::file_size(part), content.size());
    return fail(ErrorCode::corrupt, "not that one");
  };
  const auto done = get("/files/model.onnx", options);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "not that one");
  EXPECT_TRUE(left().empty());
}

TEST_F(Downloading, GivesUpWhatDoesNotGoOn) {
  EXPECT_THAT(get("/files/none.onnx").error().message, HasSubstr("404 Not Found"));
  EXPECT_EQ(requests().size(), 1u);  // once is enough
  EXPECT_THAT(get("/status/503").error().message, HasSubstr("503 Service Unavailable"));
  EXPECT_EQ(requests().size(), 6u);
  const auto cut = get("/cut/0/model.onnx");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::io);
  EXPECT_THAT(get("/files/model.onnx", {.max_bytes = 1000}).error().message, HasSubstr("1000 allowed"));
  put("small", "x");
  EXPECT_FALSE(fs::exists(kept / "model.onnx"));
}

TEST_F(Downloading, TwoGetItOnce) {
  server->control("gate", {{"open", false}});
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      HttpClient mine({.total_timeout = 0ms});
      const auto done = download(mine, {.url = url("/files/model.onnx")}, kept / "model.onnx");
      EXPECT_TRUE(done) << done.error().message;
    });
  EXPECT_TRUE(test::eventually([&] { return requests().size() == 1; }));
  server->control("gate", {{"open", true}});
  threads.clear();
  EXPECT_EQ(requests().size(), 1u);
  EXPECT_EQ(read(kept / "model.onnx"), content);
}

TEST_F(Downloading, GetsObjectsOfS3) {
  S3Options s3{.endpoint = std::format("http://{}/", server->address()),
               .region = "eu-test-1",
               .key_id = "AKID",
               .secret = "s/ecr+et"};
  fs::create_directories(served / "a folder");
  put("a folder/model.onnx", content);
  auto request = s3_request("s3://models/a%20folder/model.onnx", s3);
  ASSERT_TRUE(request) << request.error().message;
  auto done = download(client, *request, kept / "model.onnx", {.pause = 1ms});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(read(kept / "model.onnx"), content);
  fs::remove(kept / "model.onnx");
  s3.secret = "wrong";
  done = download(client, *s3_request("s3://models/model.onnx", s3), kept / "model.onnx", {.pause = 1ms});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("403 Forbidden"));
}

TEST(S3, KnowsWhereObjectsAre) {
  EXPECT_EQ(s3_request("s3://bucket/a/b.onnx", {.region = "eu-west-1"})->url,
            "https://bucket.s3.eu-west-1.amazonaws.com/a/b.onnx");
  EXPECT_EQ(s3_request("s3://bucket/a/b.onnx", {.endpoint = "http://store:9000"})->url,
            "http://store:9000/bucket/a/b.onnx");
  EXPECT_FALSE(s3_request("s3://bucket/a", {})->aws);
  for (const char* bad : {"", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/a"})
    EXPECT_FALSE(s3_request(bad, {})) << bad;
}

}  // namespace
}  // namespace sightglass::net
