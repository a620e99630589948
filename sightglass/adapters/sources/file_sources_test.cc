// The sources that read files and folders: what they deliver, in which order, with what side files know.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/folder_list.h"
#include "sightglass/adapters/sources/sidecar.h"
#include "sightglass/elements/ffmpeg_media/http_test_server.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Settings = std::vector<std::pair<std::string, std::string>>;

// Other tests of this program use up what names from the wire may take.
const Label car("car");

std::string input(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_INPUTS");
  return folder ? std::string(folder) + "/" + name : name;
}

class Collected final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    if (delivery.settlement && settles) delivery.settlement->processed();
    if (on_delivery) on_delivery(delivery);
    all.push_back(std::move(delivery));
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  std::vector<const stream::VideoFrame*> frames() const {
    std::vector<const stream::VideoFrame*> found;
    for (const stream::Delivery& delivery : all)
      if (delivery.message->frame) found.push_back(&*delivery.message->frame);
    return found;
  }
  size_t ends() const {
    return size_t(
        std::ranges::count_if(all, [](const auto& each) { return bool(each.message->end_of_stream); }));
  }
  std::vector<stream::Delivery> all;
  std::function<void(const stream::Delivery&)> on_delivery;
  bool settles = true;
};

Result<std::unique_ptr<Source>> make(const char* name, const Settings& settings,
                                     const SourceContext& context = {.name = "input"}) {
  const SourceDesc* desc = find_source(name);
  if (!desc) return fail(ErrorCode::not_found, "no source {}", name);
  ParamSet params(desc->params);
  for (const auto& [key, value] : settings)
    if (Status set = params.set_text(key, value); !set) return forward_error(set);
  return desc->create(params, context);
}

Status run(const char* name, const Settings& settings, Collected& out, std::stop_token stop = {}) {
  auto source = make(name, settings);
  if (!source) return forward_error(source);
  if (Status started = (*source)->start(); !started) return started;
  return (*source)->run(out, stop);
}
Collected run(const char* name, const Settings& settings) {
  Collected out;
  const Status status = run(name, settings, out);
  EXPECT_TRUE(status) << status.error().message;
  return out;
}

// The smallest files that tell a size: a frame header alone is enough for those who do not decode.
std::string jpeg(int width, int height) {
  std::string bytes("\xff\xd8\xff\xc0\x00\x11\x08", 7);
  for (const int side : {height, width}) bytes += {char(side >> 8), char(side & 255)};
  return bytes + std::string("\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9", 12);
}
std::string png(int width, int height) {
  std::string bytes("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  for (const int side : {width, height})
    bytes += {char(side >> 24), char(side >> 16), char(side >> 8), char(side & 255)};
  return bytes + std::string("\x08\x02\0\0\0\0\0\0\0", 9);
}

class Files : public testing::Test {
 protected:
  fs::path write(const fs::path& name, const std::string& bytes) const {
    const fs::path path = folder / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::vector<std::string> names(const fs::path& in) const {
    std::vector<std::string> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(in, none)) found.push_back(entry.path().filename());
    std::ranges::sort(found);
    return found;
  }
  const sightglass::test::TemporaryFolder temporary{};
  const fs::path folder = temporary.path();
};

using ImageFile = Files;
using ImageDir = Files;
using VideoDir = Files;
using SideFile = Files;
using VideoFileOptions = Files;
using HttpVideo = Files;

TEST_F(ImageFile, PassesTheBytesOnAsTheyAre) {
  const std::string bytes = jpeg(640, 360);
  // The name does not decide.
  const auto out =
      run("image_file", {{"location", write("gate 1.png", bytes)}, {"loop", "2"}, {"rate", "5/1"}});
  const auto frames = out.frames();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(out.all[0].message->source_id, "gate-1");
  for (size_t i = 0; i < 3; ++i) {
    const auto given = out.all[i].payloads[0].bytes;
    EXPECT_EQ(std::string(given.begin(), given.end()), bytes);
    EXPECT_EQ(frames[i]->codec, "jpeg");
    EXPECT_EQ(frames[i]->width, 640);
    EXPECT_EQ(frames[i]->pts, int64_t(i));
    EXPECT_EQ(frames[i]->time_base, (stream::Rational{1, 5}));
    EXPECT_TRUE(frames[i]->keyframe);
  }
  EXPECT_EQ(out.ends(), 1u);
}

TEST_F(ImageFile, SaysWhatIsNoPicture) {
  Collected out;
  const Status status = run("image_file", {{"location", write("a.jpg", "GIF89a")}}, out);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("neither a JPEG nor a PNG"));
  EXPECT_EQ(run("image_file", {{"location", (folder / "none.jpg").string()}}, out).error().code,
            ErrorCode::not_found);
}

TEST_F(ImageDir, L12OneEpochWhateverTheSizes) {
  write("b.png", png(32, 24)), write("a.jpg", jpeg(64, 48)), write("c.jpg", jpeg(16, 8)),
      write("notes.txt", "no");
  const auto out = run("image_dir", {{"location", folder}, {"pattern", "*.??g"}, {"source-id", "cam"}});
  std::vector<std::string> seen;
  for (const auto* frame : out.frames())
    seen.push_back(std::format("{} {} {}", *frame->codec, frame->width, frame->pts));
  EXPECT_THAT(seen, ElementsAre("jpeg 64 0", "png 32 1", "jpeg 16 2"));
  EXPECT_EQ(out.ends(), 1u);
  for (const auto& each : out.all) EXPECT_EQ(each.message->epoch, 0);
}

TEST_F(ImageDir, OrdersByTimeAndLeavesOutWhatCannotBeRead) {
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(write("a.jpg", jpeg(1, 1)), now);
  fs::last_write_time(write("b.jpg", jpeg(2, 2)), now - std::chrono::hours(1));
  fs::last_write_time(write("c.jpg", "broken"), now - std::chrono::hours(2));
  auto source = make("image_dir", {{"location", folder}, {"order", "mtime"}});
  ASSERT_TRUE(source);
  ASSERT_TRUE((*source)->start());
  Collected out;
  ASSERT_TRUE((*source)->run(out, {}));
  const auto frames = out.frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0]->width, 2);
  EXPECT_EQ((*source)->rejected().at("unreadable_file"), 1u);
}

TEST_F(ImageDir, HotFolderGoesOnWithWhatComesLater) {
  write("1.jpg", jpeg(10, 10)), write(".2.jpg", jpeg(20, 20));
  std::stop_source stop;
  Collected out;
  out.on_delivery = [&](const stream::Delivery& delivery) {
    if (!delivery.message->frame) return;
    if (delivery.message->frame->width == 10) write("0.jpg", jpeg(30, 30));
    if (delivery.message->frame->width == 30) stop.request_stop();
  };
  const Settings settings = {{"location", folder}, {"watch", "true"}, {"settle", "0"}, {"after", "delete"}};
  EXPECT_TRUE(run("image_dir", settings, out, stop.get_token()));
  EXPECT_EQ(out.frames().size(), 2u);
  EXPECT_FALSE(fs::exists(folder / "1.jpg"));
  EXPECT_TRUE(fs::exists(folder / ".2.jpg"));
}

TEST_F(ImageDir, HotFolderLeavesFilesAloneThatMayStillGrow) {
  write("1.jpg", "half of it");
  const auto now = [] { return std::chrono::steady_clock::now(); };
  FolderList patient({.folder = folder, .watch = true, .settle = std::chrono::hours(1)});
  EXPECT_FALSE(patient.next({}, now()));
  EXPECT_FALSE(patient.next({}, now()));
  FolderList hasty({.folder = folder, .watch = true, .settle = {}});
  EXPECT_TRUE(hasty.next({}, now()));
  EXPECT_FALSE(hasty.next({}, now()));
}

TEST_F(ImageDir, MovesWhatIsStoredAndKeepsWhatIsNot) {
  write("1.jpg", jpeg(1, 1)), write("2.jpg", jpeg(2, 2)), write("done/1.jpg", "another");
  Collected out;
  out.settles = false;
  std::stop_source stop;
  out.on_delivery = [&](const stream::Delivery& delivery) {
    if (delivery.message->frame && delivery.message->frame->width == 1)
      delivery.settlement->processed();
    else if (delivery.settlement)
      delivery.settlement->refused("quarantined", true);
  };
  EXPECT_TRUE(run("image_dir", {{"location", folder}, {"after", "move"}}, out, stop.get_token()));
  EXPECT_THAT(names(folder), ElementsAre("2.jpg", "done"));
  EXPECT_THAT(names(folder / "done"), ElementsAre("1-2.jpg", "1.jpg"));
}

TEST_F(VideoDir, EndsTheStreamBehindEachFile) {
  fs::copy(input("v.mp4"), folder / "a.mp4");
  fs::copy(input("v.mp4"), folder / "b.mp4");
  const auto out = run("video_dir", {{"location", folder}, {"pattern", "*.mp4"}, {"source-id", "cam"}});
  EXPECT_EQ(out.frames().size(), 120u);
  EXPECT_EQ(out.ends(), 2u);
  EXPECT_EQ(out.all.back().message->epoch, 1);
  EXPECT_EQ(out.all.back().message->end_of_stream->frames, 60);
  // As one: times go on growing.
  const auto list = run("video_dir", {{"location", folder}, {"eos", "list"}});
  EXPECT_EQ(list.ends(), 1u);
  std::set<int64_t> times;
  for (const auto* frame : list.frames()) times.insert(frame->pts);
  EXPECT_EQ(times.size(), 120u);
  EXPECT_EQ(run("video_dir", {{"location", folder}, {"eos", "never"}}).ends(), 0u);
}

TEST_F(VideoDir, GoesOnAtItsCheckpoint) {
  for (const char* name : {"a.mp4", "b.mp4", "c.mp4"}) fs::copy(input("v.mp4"), folder / name);
  const fs::path checkpoint = write("state/done.txt", "a.mp4\nb.m");  // torn while it was written
  const Settings settings = {{"location", folder}, {"pattern", "*.mp4"}, {"checkpoint", checkpoint}};
  EXPECT_EQ(run("video_dir", settings).frames().size(), 120u);
  std::ifstream in(checkpoint);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "a.mp4\nb.mp4\nc.mp4\n");
  EXPECT_THAT(run("video_dir", settings).all, IsEmpty());
}

TEST_F(VideoDir, BadOptionsAreNamed) {
  EXPECT_THAT(make("video_dir", {{"location", folder}, {"after", "burn"}}).error().message,
              testing::AllOf(HasSubstr("after"), HasSubstr("burn"), HasSubstr("delete")));
  EXPECT_THAT(make("video_dir", {{"location", folder}, {"loop", "2"}, {"watch", "true"}}).error().message,
              HasSubstr("loop"));
  EXPECT_THAT(make("image_dir", {{"location", folder}, {"rate", "0/1"}}).error().message, HasSubstr("rate"));
  EXPECT_THAT(make("video_dir", {}).error().message, HasSubstr("location is missing"));
  auto source = make("video_dir", {{"location", (folder / "none").string()}});
  ASSERT_TRUE(source);
  EXPECT_THAT((*source)->start().error().message, HasSubstr("is no folder"));
}

TEST_F(SideFile, JoinsByFrameByTimeAndByName) {
  const auto side =
      write("v.jsonl",
            R"({"frame": 0, "attributes": {"sensor.lux": 31.5, "gate": "open"}, "tags": ["night"]}
{"frame": 0, "objects": [{"label": "person", "box": [10, 20, 30, 40], "confidence": 0.5, "id": 7}]}

{"frame": 59, "attributes": [{"name": "mood", "kind": "class", "label": "glad", "label_id": 1, "confidence": 0.8}]}
)");
  const auto out = run("video_file", {{"location", input("v.mp4")}, {"metadata", side}});
  // The first that is shown, wherever it is decoded.
  std::vector<const stream::VideoFrame*> frames = out.frames();
  std::ranges::sort(frames, {}, [](const auto* frame) { return frame->pts; });
  ASSERT_EQ(frames.size(), 60u);
  ASSERT_EQ(frames[0]->attributes.size(), 2u);
  EXPECT_EQ(frames[0]->attributes[0].name, "gate");
  EXPECT_EQ(frames[0]->attributes[0].namespace_, "metadata");
  EXPECT_EQ(frames[0]->attributes[1].namespace_, "sensor");
  EXPECT_EQ(std::get<double>(frames[0]->attributes[1].values[0].value), 31.5);
  EXPECT_THAT(frames[0]->tags, ElementsAre("night"));
  ASSERT_EQ(frames[0]->objects.size(), 1u);
  EXPECT_EQ(frames[0]->objects[0].detection_box, (stream::Box{25, 40, 30, 40, {}}));
  EXPECT_EQ(frames[0]->objects[0].track_id, 7);
  EXPECT_EQ(std::get<std::string>(frames[59]->attributes[0].values[0].value), "glad");
  for (size_t i = 1; i < 59; ++i) EXPECT_THAT(frames[i]->attributes, IsEmpty());

  write("p/a.jpg", jpeg(8, 8)), write("p/b.jpg", jpeg(8, 8));
  const auto by_name = write("names.jsonl", R"({"file": "b.jpg", "tags": ["truth"]})");
  const auto pictures = run("image_dir", {{"location", folder / "p"}, {"metadata", by_name}});
  EXPECT_THAT(pictures.frames()[0]->tags, IsEmpty());
  EXPECT_THAT(pictures.frames()[1]->tags, ElementsAre("truth"));
}

TEST_F(SideFile, ReadsTheRecordsThatSinksWrite) {
  const auto plain = run("video_file", {{"location", input("v.mp4")}});
  std::string lines;
  for (const auto& delivery : plain.all) {
    auto message = std::make_shared<stream::Message>(*delivery.message);
    if (!message->frame) continue;
    message->frame->objects.push_back({.id = 0,
                                       .namespace_ = "detector",
                                       .label = "car",
                                       .confidence = 0.75f,
                                       .detection_box = {40, 30, 20, 10, {}}});
    write_record_json(*record_of({.message = message}), lines);
    lines += '\n';
  }
  fs::copy(input("v.mp4"), folder / "cam.mp4");
  write("cam.jsonl", lines);
  const auto out =
      run("video_dir", {{"location", folder}, {"pattern", "*.mp4"}, {"metadata", "{file}.jsonl"}});
  ASSERT_EQ(out.frames().size(), 60u);
  for (const auto* frame : out.frames()) {
    ASSERT_EQ(frame->objects.size(), 1u);
    EXPECT_EQ(frame->objects[0].label, "car");
    EXPECT_NEAR(frame->objects[0].detection_box.xc, 40, 1);
    EXPECT_NEAR(*frame->objects[0].confidence, 0.75, 0.001);
  }
}

TEST_F(SideFile, ErrorsNameTheLine) {
  const auto message = [&](const std::string& text) {
    const auto loaded = Sidecar::load(write("bad.jsonl", text));
    return loaded ? std::string("none") : loaded.error().message;
  };
  EXPECT_THAT(message("{\"frame\": 1}\n{\"frame\": \"x\"}"),
              HasSubstr("bad.jsonl:2: frame is a whole number"));
  EXPECT_THAT(message("{\"tags\": []}"), HasSubstr("neither frame, pts nor file"));
  EXPECT_THAT(message("nonsense"), HasSubstr("is no JSON object"));
  EXPECT_THAT(message(R"({"frame":1,"objects":[{"label":"a"}]})"), HasSubstr("needs a box"));
  EXPECT_THAT(message(R"({"frame":1,"objects":[{"box":[1,2,-3,4]}]})"), HasSubstr("negative"));
  EXPECT_THAT(message(R"({"frame":1,"attributes":{"a":{"b":1}}})"), HasSubstr("a value is"));
  EXPECT_THAT(message(R"({"frame":1,"attributes":{"a":[1,"b"]}})"), HasSubstr("a list holds"));
  EXPECT_THAT(message(R"({"frame":1e30})"), HasSubstr("whole number"));
  EXPECT_EQ(message(""), "none");
  EXPECT_THAT(Sidecar::load(folder / "none").error().message, HasSubstr("none cannot be read"));
  EXPECT_THAT(Sidecar::load(folder).error().message, HasSubstr("cannot be read to its end"));
}

TEST_F(VideoFileOptions, AnotherFrameRateStretchesTheTimes) {
  const auto plain = run("video_file", {{"location", input("v.mp4")}});
  const auto fast = run("video_file", {{"location", input("v.mp4")}, {"fps", "60/1"}});
  const auto seconds = [](const stream::VideoFrame& frame) {
    return double(frame.pts) * frame.time_base.num / frame.time_base.den;
  };
  const auto rate = *plain.frames()[0]->framerate;
  EXPECT_EQ(*fast.frames()[0]->framerate, (stream::Rational{60, 1}));
  for (size_t i = 0; i < 60; ++i)
    EXPECT_NEAR(seconds(*fast.frames()[i]) * 60, seconds(*plain.frames()[i]) * rate.num / rate.den, 0.01);
}

TEST_F(VideoFileOptions, WallClockTimesBeginNow) {
  const auto out = run("video_file", {{"location", input("v.mp4")}, {"timestamps", "wall"}, {"loop", "1"}});
  const auto frames = out.frames();
  ASSERT_EQ(frames.size(), 120u);
  const double now = double(std::chrono::system_clock::now().time_since_epoch().count()) * 1e-9;
  const double first = double(frames[0]->pts) * frames[0]->time_base.num / frames[0]->time_base.den;
  EXPECT_NEAR(first, now, 60);
  EXPECT_NEAR(double(*frames[0]->captured_us) * 1e-6, first, 0.001);
  std::set<int64_t> times;
  for (const auto* frame : frames) times.insert(frame->pts);
  EXPECT_EQ(times.size(), 120u);
}

TEST_F(VideoFileOptions, MayAskTheModuleToShutDown) {
  const auto token = write("token", "open sesame\n");
  const auto out =
      run("video_file",
          {{"location", input("v.mp4")}, {"shutdown-after-end", "true"}, {"shutdown-token-file", token}});
  ASSERT_TRUE(out.all.back().message->shutdown);
  EXPECT_EQ(out.all.back().message->shutdown->token, "open sesame");
  EXPECT_TRUE(out.all[out.all.size() - 2].message->end_of_stream);
  EXPECT_THAT(make("video_file", {{"location", "x"}, {"shutdown-after-end", "true"}}).error().message,
              HasSubstr("needs a token"));
}

// Serves a file with ranges, and cuts each connection after a part of it.
TEST_F(HttpVideo, GoesOnByRangeWhenTheConnectionBreaks) {
  std::ifstream in(input("v.mp4"), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  ASSERT_GT(bytes.size(), 4000u);
  std::atomic<int> cut = 0;
  test::HttpServer server([&](const test::HttpServer::Connection& connection) {
    size_t from = 0;
    if (const size_t at = connection.request.find("Range: bytes="); at != std::string::npos)
      from = std::strtoull(connection.request.c_str() + at + 13, nullptr, 10);
    from = std::min(from, bytes.size());
    const size_t length = std::min<size_t>(bytes.size() - from, bytes.size() / 3);
    cut += from + length < bytes.size();
    connection.send(
        std::format("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes "
                    "{}-{}/{}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n",
                    bytes.size() - from, from, bytes.size() - 1, bytes.size()));
    connection.send(std::string_view(bytes).substr(from, length));
  });
  const auto out = run("video_file", {{"location", server.url("v.mp4")}});
  EXPECT_EQ(out.frames().size(), 60u);
  EXPECT_GT(cut, 0);
  EXPECT_EQ(out.all.back().message->end_of_stream->reason, stream::EndReason::end);
}

TEST_F(HttpVideo, PicturesAreReadAsWell) {
  const std::string bytes = png(48, 32);
  test::HttpServer server([&](const test::HttpServer::Connection& connection) {
    connection.send_header(bytes.size());
    connection.send(bytes);
  });
  const auto out = run("image_file", {{"location", server.url("a.png?token=secret")}});
  ASSERT_EQ(out.frames().size(), 1u);
  EXPECT_EQ(out.frames()[0]->width, 48);
  EXPECT_EQ(out.all[0].message->source_id, "a");
}

}  // namespace
}  // namespace sightglass::adapters
