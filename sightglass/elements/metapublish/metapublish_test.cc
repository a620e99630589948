#include "sightglass/elements/metapublish/metapublish.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <nlohmann/json.hpp>

#include "sightglass/core/allocation_count.h"
#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

class MetaPublishTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("sightglass_metapublish_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const char* name = "out") const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  static std::unique_ptr<Element> make(const std::string& file, const char* format = "json",
                                       const char* method = nullptr, const char* name = "metapublish") {
    const ElementDesc* desc = find_element(name);
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("file-path", file));
    EXPECT_TRUE(params.set_text("file-format", format));
    EXPECT_TRUE(!method || params.set_text("method", method));
    return std::move(*desc->create(params));
  }
  static Result<Verdict> send(Element& element, const char* json) {
    Frame frame;
    frame.json = json;
    return static_cast<TransformInplace&>(element).process(frame);
  }

  std::filesystem::path folder_;
};

TEST_F(MetaPublishTest, WritesOneRecordPerLine) {
  const auto element = make(path(), "json-lines");
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(send(*element, R"({"a":1})"));
  ASSERT_TRUE(send(*element, ""));  // a frame without results
  ASSERT_TRUE(send(*element, "{\n  \"a\": [\n    \"x  y\"\n  ]\n}"));
  EXPECT_EQ(read(path()), "{\"a\":1}\n{\"a\": [\"x  y\"]}\n");
}

TEST_F(MetaPublishTest, TheArrayIsCompleteAtEveryMoment) {
  const auto element = make(path());
  ASSERT_TRUE(element->start());
  EXPECT_EQ(read(path()), "[]\n");
  ASSERT_TRUE(send(*element, R"({"a":1})"));
  EXPECT_EQ(read(path()), "[\n{\"a\":1}\n]\n");
  ASSERT_TRUE(send(*element, R"({"a":2})"));
  EXPECT_EQ(read(path()), "[\n{\"a\":1},\n{\"a\":2}\n]\n");
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).drain());
  element->stop();
  EXPECT_EQ(read(path()), "[\n{\"a\":1},\n{\"a\":2}\n]\n");
}

TEST_F(MetaPublishTest, ReplacesAnOldFile) {
  std::ofstream(path()) << std::string(1000, 'x');
  const auto element = make(path());
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(send(*element, "{}"));
  EXPECT_EQ(read(path()), "[\n{}\n]\n");
}

TEST_F(MetaPublishTest, APipeGetsTheClosingBracketAtTheEnd) {
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  const int reader = ::open(path().c_str(), O_RDONLY | O_NONBLOCK);
  const auto read_all = [&] {
    char text[256];
    const ssize_t size = ::read(reader, text, sizeof text);
    return std::string(text, size > 0 ? size_t(size) : 0);
  };
  const auto element = make(path());
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(send(*element, R"({"a":1})"));
  ASSERT_TRUE(send(*element, R"({"a":2})"));
  EXPECT_EQ(read_all(), "[\n{\"a\":1},\n{\"a\":2}");
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).drain());
  EXPECT_EQ(read_all(), "\n]\n");
  element->stop();
  EXPECT_EQ(read_all(), "");
  ::close(reader);
}

TEST_F(MetaPublishTest, AMissingFolderIsNamed) {
  const auto started = make(path("missing/out.json"))->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message, "cannot write " + path("missing/out.json") + ": the folder " +
                                         path("missing") +
                                         " does not exist; create it or choose another file-path");
}

TEST_F(MetaPublishTest, AFolderOrAReadOnlyPlaceIsAnError) {
  for (const std::string& place :
       {folder_.string(), std::string("/proc/version"), std::string("/proc/new")}) {
    const auto started = make(place)->start();
    ASSERT_FALSE(started) << place;
    EXPECT_NE(started.error().message.find("cannot write " + place + ": "), std::string::npos)
        << started.error().message;
  }
}

TEST_F(MetaPublishTest, AFullDeviceIsOneClearError) {
  const auto element = make("/dev/full", "json-lines");
  ASSERT_TRUE(element->start());
  const auto sent = send(*element, "{}");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::io);
  EXPECT_EQ(sent.error().message,
            "cannot write /dev/full: No space left on device; the 0 records before are complete");
  element->stop();
}

// A limit on the size of files stands in for a disk that fills up in the middle of a record.
TEST_F(MetaPublishTest, WhatWasWrittenBeforeTheDiskFilledStaysReadable) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  for (const char* format : {"json", "json-lines"}) {
    const auto element = make(path(), format);
    ASSERT_TRUE(element->start());
    ASSERT_TRUE(send(*element, R"({"a":1})"));
    const rlimit small{30, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto sent = send(*element, R"({"a":"which is too long to fit in"})");
    element->stop();
    ::setrlimit(RLIMIT_FSIZE, &before);
    ASSERT_FALSE(sent);
    EXPECT_NE(sent.error().message.find("the 1 records before"), std::string::npos);
    EXPECT_EQ(read(path()), std::string_view(format) == "json" ? "[\n{\"a\":1}\n]\n" : "{\"a\":1}\n");
  }
}

TEST_F(MetaPublishTest, BrokersAreNotBuiltInAndSaySo) {
  for (const char* method : {"mqtt", "kafka"}) {
    const auto started = make(path(), "json", method)->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::unavailable);
    EXPECT_NE(started.error().message.find(std::string("method=") + method + " is not usable"),
              std::string::npos);
    EXPECT_NE(started.error().message.find("usable: file"), std::string::npos);
  }
  EXPECT_FALSE(make(path(), "json", nullptr, "gvametapublishmqtt")->start());
  EXPECT_TRUE(make(path(), "json", nullptr, "gvametapublishfile")->start());
}

TEST_F(MetaPublishTest, EnumsKeepTheNumbersOfTheOriginal) {
  ParamSet params(find_element("gvametapublish")->params);
  ASSERT_TRUE(params.set("file-format", int64_t(2)));
  EXPECT_EQ(std::get<int64_t>(*params.get("method")), 1);
  EXPECT_FALSE(params.set("method", int64_t(0)));
}

TEST_F(MetaPublishTest, TextThatIsNoJsonStaysReadableInAnArray) {
  const auto element = make(path());
  ASSERT_TRUE(element->start());
  ASSERT_TRUE(send(*element, "Detection: label: \"x\""));
  EXPECT_TRUE(nlohmann::json::accept(read(path())));
}

TEST_F(MetaPublishTest, DoesNotAllocateOnceWarm) {
  const auto element = make(path());
  ASSERT_TRUE(element->start());
  Frame frame;
  frame.json = std::string(500, ' ');
  frame.json.front() = '{', frame.json.back() = '}';
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(frame));
  ASSERT_TRUE(static_cast<TransformInplace&>(*element).process(frame));
  const size_t before = allocation_count();
  const auto sent = static_cast<TransformInplace&>(*element).process(frame);
  EXPECT_EQ(allocation_count(), before);
  EXPECT_TRUE(sent);
}

}  // namespace
}  // namespace sightglass
