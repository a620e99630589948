// Models that are fetched and built while the module starts, as they are seen from outside: 3.3 and F-16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <set>
#include <nlohmann/json.hpp>

#include "sightglass/console/console.h"
#include "sightglass/model/compiled_cache.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/sha256.h"
#include "sightglass/module/model_fetch.h"
#include "sightglass/module/module_file.h"
#include "sightglass/net/http_client.h"
#include "tests/servers/server_process.h"

namespace sightglass::console {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Builds a model for as long as it is told, and keeps what it has built; what it then runs is ONNX Runtime.
class SlowEngine final : public Engine {
 public:
  std::string_view name() const override { return "slow"; }
  bool reads(const fs::path& model) const override { return model.extension() == ".slow"; }
  Result<EngineInfo> info() override { return find_engine("onnxruntime")->info(); }
  Status check_device(std::string_view device) override {
    return find_engine("onnxruntime")->check_device(device);
  }
  Result<std::unique_ptr<LoadedModel>> load(const fs::path& model, const LoadOptions& options) override {
    const auto place = compiled_place(model, options, name(), "1");
    EXPECT_TRUE(place) << "modules say where";
    if (place && !fs::exists(*place)) {
      ++builds;
      std::unique_lock lock(mutex);
      changed.wait_for(lock, build_time.load());
      std::ifstream file(model, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      if (auto put = put_compiled(*place, bytes); !put) return forward_error(put);
    }
    return find_engine("onnxruntime")->load(place ? *place : model, options);
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<std::chrono::milliseconds> build_time{0ms};
  std::atomic<int> builds{0};
};
SlowEngine& slow_engine() {
  static SlowEngine engine;
  static const EngineRegistration registration(engine);
  return engine;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Loading : public testing::Test {
 protected:
  void SetUp() override {
    const char* models = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!models) GTEST_SKIP() << "SIGHTGLASS_TEST_MODELS is not set";
    slow_engine().builds = 0;
    slow_engine().build_time = 0ms;
    content = read(fs::path(models) / "det.onnx");
    ASSERT_FALSE(content.empty());
    fs::create_directories(served);
    for (const char* name : {"det.onnx", "det.slow"})
      std::ofstream(served / name, std::ios::binary) << content;
    serve();
  }
  void serve() {
    server.emplace(test::ServerProcess::script(
        "file_double.py", {"--root", served, "--bucket", "models", "--key-id", "AKID", "--secret", "s/ecr+et",
                           "--region", "eu-test-1", "--token", "t0ken"}));
  }
  std::string url(std::string_view path) const { return std::format("http://{}{}", server->address(), path); }
  std::vector<std::string> requests() const { return server->control("requests"); }
  void write(const std::string& name, std::string_view text) { std::ofstream(home / name) << text; }

  Result<std::unique_ptr<module::Module>> make(const std::string& model_url, const std::string& auth = "{}",
                                               std::string sum = {}) {
    if (sum.empty()) sum = sha256(content);
    write("gate.yml", std::format(R"(version: 1
name: gate
models:
  det:
    url: "{}"
    sha256: "{}"
    auth: {}
    device: CPU
    input: [{{layer: data, size: [96, 64], color: bgr, layout: nchw, dtype: float32, resize: stretch}}]
    output: [{{decoder: detection, layer: detection_out, labels: [person, car, bike]}}]
pipeline:
  elements:
    - {{name: things, type: detector, model: det}}
http: {{bind: "127.0.0.1:0"}}
storage: {{downloads: downloads, compiled: compiled, state: state}}
)",
                                  model_url, sum, auth));
    auto loaded = module::load_module(home / "gate.yml");
    if (!loaded) return fail(ErrorCode::invalid_argument, "{}", loaded.diagnostics.to_string());
    return module::Module::create(*loaded.value);
  }
  // The error, empty without.
  std::string start(const std::string& model_url, const std::string& auth = "{}", std::string sum = {}) {
    auto made = make(model_url, auth, std::move(sum));
    if (!made) return made.error().message;
    const auto started = (*made)->start();
    return started ? "" : started.error().to_string();
  }
  // Everything in the folder of downloads, folders aside.
  std::vector<std::string> kept() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(home / "downloads", error))
      if (entry.is_regular_file()) names.push_back(entry.path().filename());
    return names;
  }

  test::TemporaryFolder folder;
  const fs::path home = folder.path(), served = folder.path() / "served";
  std::string content;
  std::optional<test::ServerProcess> server;
};

// A module that starts in the background, and its console.
class Starting {
 public:
  explicit Starting(module::Module& module) : module_(module), begin_(std::chrono::steady_clock::now()) {
    auto started = Console::start(module, module.audit(), {.http = module.spec().http});
    EXPECT_TRUE(started) << started.error().message;
    console_ = std::move(*started);
    start_ = std::async(std::launch::async, [this] { return module_.start(); });
  }
  ~Starting() { wait(); }
  // Status and body of /readyz.
  std::pair<int, json> ready() {
    auto answer = client_.request({.url = console_->url() + "/readyz"});
    if (!answer) {
      ADD_FAILURE() << answer.error().message;
      return {};
    }
    return {answer->status, json::parse(answer->body)};
  }
  Status wait() {
    if (start_.valid()) status_ = start_.get();
    return status_;
  }
  bool has_started() const { return start_.wait_for(0s) == std::future_status::ready; }
  std::chrono::nanoseconds age() const { return std::chrono::steady_clock::now() - begin_; }

 private:
  module::Module& module_;
  const std::chrono::steady_clock::time_point begin_;
  std::unique_ptr<Console> console_;
  net::HttpClient client_;
  std::future<Status> start_;
  Status status_;
};

// ---- F-16

class F16 : public Loading {};

TEST_F(F16, ShowsTheProgressOfALongBuildAndDoesNotRepeatIt) {
  slow_engine().build_time = 12s;
  {
    auto module = make(url("/files/det.slow"));
    ASSERT_TRUE(module) << module.error().message;
    Starting first(**module);
    // Asked all the time: never silent, and something new every five seconds.
    std::set<std::string> steps;
    auto news = std::chrono::steady_clock::now();
    std::chrono::nanoseconds longest{0};
    while (!first.has_started()) {
      const auto [status, body] = first.ready();
      if (status == 200) break;
      EXPECT_EQ(status, 503);
      EXPECT_EQ(body["state"], "loading");
      const auto now = std::chrono::steady_clock::now();
      if (body.contains("progress") && steps.insert(body["progress"]["step"]).second) news = now;
      longest = std::max<std::chrono::nanoseconds>(longest, now - news);
      std::this_thread::sleep_for(50ms);
    }
    ASSERT_TRUE(first.wait()) << first.wait().error().message;
    EXPECT_GE(first.age(), 12s);
    EXPECT_LT(longest, 5s);
    EXPECT_GE(steps.size(), 6u);
    EXPECT_THAT(steps, Contains(HasSubstr("loading model det (")));
    EXPECT_EQ(first.ready().first, 200);
  }
  EXPECT_EQ(slow_engine().builds, 1);
  EXPECT_EQ(requests().size(), 1u);
  // From the caches: what was downloaded, and what was built.
  server.reset();
  auto module = make("http://127.0.0.1:9/files/det.slow");
  ASSERT_TRUE(module) << module.error().message;
  Starting second(**module);
  ASSERT_TRUE(second.wait()) << second.wait().error().message;
  EXPECT_EQ(second.ready().first, 200);
  EXPECT_LT(second.age(), 10s);
  EXPECT_EQ(slow_engine().builds, 1);
}

TEST_F(Loading, ADownloadShowsItsBytes) {
  // Large enough for its half not to be the whole; what is behind the model does not matter.
  content.resize(3 << 20, '\0');
  std::ofstream(served / "large.slow", std::ios::binary) << content;
  server->control("gate", {{"open", false}});
  auto module = make(url("/files/large.slow"));
  ASSERT_TRUE(module) << module.error().message;
  Starting starting(**module);
  json progress;
  EXPECT_TRUE(test::eventually([&] {
    const json body = starting.ready().second;
    if (body.contains("progress")) progress = body["progress"];
    return progress.contains("step") && std::string(progress["step"]).contains(" of 3.0 MiB");
  })) << progress;
  EXPECT_THAT(std::string(progress["step"]), HasSubstr("downloading model det: "));
  EXPECT_LT(progress["done"], 0.5);
  EXPECT_EQ(progress["total_bytes"], content.size());
  EXPECT_LT(progress["bytes"], content.size());
  server->control("gate", {{"open", true}});
  (void)starting.wait();
  EXPECT_THAT(kept(), ElementsAre("large.slow"));
}

// ---- 3.3

TEST_F(Loading, FetchesAModelOnce) {
  ASSERT_EQ(start(url("/files/det.onnx")), "");
  EXPECT_THAT(kept(), ElementsAre("det.onnx"));
  EXPECT_EQ(requests().size(), 1u);
  server.reset();
  EXPECT_EQ(start("http://127.0.0.1:9/files/det.onnx"), "");  // nobody is there
}

TEST_F(Loading, TakesAFileWhereItIs) {
  EXPECT_EQ(start("file://" + (served / "det.onnx").string()), "");
  EXPECT_TRUE(kept().empty());
  EXPECT_THAT(start("file://" + (served / "det.onnx").string(), "{}", std::string(64, '0')),
              HasSubstr("not 0000000000"));
}

TEST_F(Loading, RefusesAndRemovesWhatHasAnotherChecksum) {
  const std::string error = start(url("/files/det.onnx?token=secret"), "{}", std::string(64, 'A'));
  EXPECT_THAT(error, HasSubstr("models.det: "));
  EXPECT_THAT(error, HasSubstr("has the checksum " + sha256(content) + ", not aaaa"));
  EXPECT_THAT(error, HasSubstr("token=***"));
  EXPECT_THAT(error, Not(HasSubstr("secret")));
  EXPECT_TRUE(kept().empty());
  // With the right one it is fetched as if nothing had been.
  EXPECT_EQ(start(url("/files/det.onnx")), "");
}

TEST_F(Loading, GoesOnWithADownloadThatBrokeOff) {
  ASSERT_EQ(start(url(std::format("/cut/{}/det.onnx", content.size() / 2 + 1))), "");
  EXPECT_EQ(requests().size(), 2u);
  EXPECT_THAT(requests()[1], HasSubstr(std::format("bytes={}-", content.size() / 2 + 1)));
}

TEST_F(Loading, FetchesADamagedFileAnew) {
  ASSERT_EQ(start(url("/files/det.onnx")), "");
  const fs::path place = home / "downloads" / sha256(content).substr(0, 16) / "det.onnx";
  std::ofstream(place) << "damaged";
  EXPECT_EQ(start(url("/files/det.onnx")), "");
  EXPECT_EQ(read(place), content);
}

TEST_F(Loading, AuthenticatesAsTheFileSays) {
  write("token", "t0ken\n");
  write("password", "pass word\n");
  write("secret", "s/ecr+et\n");
  EXPECT_THAT(start(url("/bearer/det.onnx")), HasSubstr("401 Unauthorized: a token, please"));
  EXPECT_EQ(start(url("/bearer/det.onnx"), "{token_file: token}"), "");
  fs::remove_all(home / "downloads");
  EXPECT_EQ(start(url("/basic/det.onnx"), "{user: user, password_file: password}"), "");
  fs::remove_all(home / "downloads");
  const std::string store = std::format("access_key: AKID, region: eu-test-1, endpoint: \"{}\"", url(""));
  EXPECT_EQ(start("s3://models/det.onnx", "{" + store + ", secret_key_file: secret}"), "");
  fs::remove_all(home / "downloads");
  write("secret", "wrong");
  const std::string error = start("s3://models/det.onnx", "{" + store + ", secret_key_file: secret}");
  EXPECT_THAT(error, AllOf(HasSubstr("models.det: "), HasSubstr("403 Forbidden"), Not(HasSubstr("wrong"))));
  EXPECT_THAT(start("s3://models/det.onnx", "{" + store + "}"), HasSubstr("belong together"));
  EXPECT_THAT(start(url("/bearer/det.onnx"), "{token_file: none}"), HasSubstr("auth.token_file"));
}

TEST_F(Loading, LooksAtNoNetworkUnlessTheModuleIsStarted) {
  auto made = make(url("/files/det.onnx"));
  ASSERT_TRUE(made) << made.error().message;
  const auto explained = module::prepare_template((*made)->spec(), {.on_progress = {}, .load_models = false});
  ASSERT_FALSE(explained);
  EXPECT_THAT(explained.error().message, HasSubstr("has not been fetched yet"));
  EXPECT_TRUE(requests().empty());
  ASSERT_TRUE((*made)->start());
  EXPECT_TRUE(module::prepare_template((*made)->spec(), {.on_progress = {}, .load_models = false}));
}

}  // namespace
}  // namespace sightglass::console
