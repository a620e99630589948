// The sink `display` on a screen of its own (Xvfb). With SIGHTGLASS_TEST_PICTURES, a folder, screenshots go
// there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <string>
#include <vector>

#include "sightglass/adapters/screen/screen_test_support.h"
#include "tests/servers/server_process.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using sightglass::test::eventually;
using test::Settings;
using testing::HasSubstr;

// Xvfb says which number it has taken, and keeps the screen in a file that anybody can read (XWD).
class Display : public testing::Test {
 protected:
  void SetUp() override {
    int numbers[2];
    ASSERT_EQ(pipe(numbers), 0);
    server_ = fork();
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const std::string fd = std::to_string(numbers[1]), memory = folder_.path();
      execlp("Xvfb", "Xvfb", "-displayfd", fd.c_str(), "-screen", "0", "640x480x24", "-fbdir", memory.c_str(),
             "-nolisten", "tcp", "-ac", "-noreset", nullptr);
      _exit(127);
    }
    close(numbers[1]);
    char text[16] = {};
    const ssize_t got = read(numbers[0], text, sizeof text - 1);
    close(numbers[0]);
    if (got <= 0) {
      waitpid(std::exchange(server_, 0), nullptr, 0);
      GTEST_SKIP() << "there is no Xvfb";
    }
    setenv("DISPLAY",
           (":" + std::string(text, text[got - 1] == '\n' ? size_t(got) - 1 : size_t(got))).c_str(), 1);
    // The plain one: nothing but X is needed for it.
    setenv("GST_PLUGIN_FEATURE_RANK", "ximagesink:MAX", 1);
  }
  void TearDown() override {
    if (server_ <= 0) return;
    kill(server_, SIGTERM);
    waitpid(server_, nullptr, 0);
  }
  // Brightness of a point of the screen; -1: it cannot be told.
  int at(int x, int y) const {
    std::ifstream in(folder_.path() / "Xvfb_screen0", std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    const auto number = [&](size_t n) {
      uint32_t value = 0;
      for (size_t i = 0; i < 4; ++i) value = value << 8 | uint8_t(bytes[n * 4 + i]);
      return size_t(value);
    };
    if (bytes.size() < 100) return -1;
    // XWD: size of the header, …, bytes of a line (12), colours (19), of 12 bytes each.
    const size_t place = number(0) + number(19) * 12 + size_t(y) * number(12) + size_t(x) * 4;
    return place + 2 < bytes.size() ? uint8_t(bytes[place + 1]) : -1;
  }
  bool shows(int x, int y, int brightness) const {
    return eventually([&] { return std::abs(at(x, y) - brightness) < 16; });
  }
  void save(const std::string& name) const {
    if (const char* folder = std::getenv("SIGHTGLASS_TEST_PICTURES"))
      fs::copy_file(folder_.path() / "Xvfb_screen0", fs::path(folder) / name,
                    fs::copy_options::overwrite_existing);
  }

  sightglass::test::TemporaryFolder folder_;
  pid_t server_ = 0;
};

// Luma of video range as a screen shows it.
int on_screen(int luma) { return (luma - 16) * 255 / 219; }

TEST_F(Display, MosaicShowsAllStreamsSideBySide) {
  auto sink = test::open_sink("display", {{"size", "640x480"}, {"sync", "false"}, {"linger", "2"}});
  {
    const test::Camera camera(*sink, {{test::grey("a", 60)}, {test::grey("b", 120)}, {test::grey("c", 200)}});
    EXPECT_TRUE(shows(160, 120, on_screen(60)));
    EXPECT_TRUE(shows(480, 120, on_screen(120)));
    EXPECT_TRUE(shows(160, 360, on_screen(200)));
    save("display-mosaic.xwd");
  }
  // Who is left has the window.
  const test::Camera camera(*sink, {{test::grey("b", 120)}});
  EXPECT_TRUE(shows(160, 360, on_screen(120)));
}

TEST_F(Display, VideoIsShownByTheClock) {
  auto sink = test::open_sink("display", {{"size", "640x480"}});
  auto records = test::video("street");
  ASSERT_FALSE(records.empty());
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Stored> outcome(1);
  for (const auto& record : records) ASSERT_TRUE(sink->write(std::span(&record, 1), outcome));
  // As long as it was recorded, but for what waits in the decoder.
  const double length = double(records.back()->pts - records.front()->pts) * 1e-9;
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_GT(took, length * 0.4);
  EXPECT_TRUE(eventually([&] { return at(320, 240) > 0; }));
  save("display-video.xwd");
}

TEST_F(Display, CancelEndsAWriteThatWaitsForTheClock) {
  auto sink = test::open_sink("display", {{"size", "320x240"}});
  const auto records = test::video("street");
  ASSERT_GT(records.size(), 20u);
  std::atomic<size_t> written = 0;
  std::thread writing([&] {
    std::vector<Stored> outcome(1);
    for (const auto& record : records) {
      (void)sink->write(std::span(&record, 1), outcome);
      ++written;
    }
  });
  EXPECT_TRUE(eventually([&] { return written > 10; }));
  sink->cancel();
  writing.join();
}

TEST_F(Display, OneStreamHasTheWholeWindow) {
  auto sink = test::open_sink("display", {{"size", "320x240"}, {"sync", "false"}});
  const auto record = test::grey("a", 200);
  std::vector<Stored> outcome(1);
  ASSERT_TRUE(sink->write(std::span(&record, 1), outcome));
  EXPECT_TRUE(shows(160, 120, on_screen(200)));
  sink->stop();
}

TEST_F(Display, BadOptionsAreNamed) {
  EXPECT_THAT(test::make_sink("display", {{"size", "big"}}).error().message, HasSubstr("'big'"));
}

}  // namespace
}  // namespace sightglass::adapters
