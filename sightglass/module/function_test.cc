// Functions in C++, and what a module makes of frames whose function went wrong.
#include "sightglass/module/function.h"

#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "sightglass/module/function_test_support.h"

namespace sightglass::module {
namespace {

using test::eventually;
using test::frame_with;
using test::has_tag;
using test::open_stream;
using test::text_of;
using testing::HasSubstr;

constexpr Time millisecond = 1'000'000;

FunctionSpec cpp(const std::string& symbol, const std::string& path = SIGHTGLASS_TEST_FUNCTIONS) {
  return {.language = "cpp", .path = path, .symbol = symbol};
}
std::unique_ptr<FunctionElement> load(const std::string& symbol, FunctionOptions options = {}) {
  options.element = "mine";
  auto loaded = load_function(cpp(symbol), options);
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? std::move(*loaded) : nullptr;
}
// With one object of that name, which Obeys takes for an order.
Result<Verdict> order(FunctionStream& stream, const std::string& what, Frame* out = nullptr) {
  Frame frame = frame_with({what});
  auto verdict = stream.process(frame, {});
  if (out) *out = std::move(frame);
  return verdict;
}

TEST(CppFunction, SeesAndChangesWhatIsInTheFrame) {
  FunctionSpec spec = cpp("marks");
  spec.args.set("line", 0.5);
  const auto element = load_function(spec, {.element = "mine", .parameters = {"min_face", "unknown"}});
  ASSERT_TRUE(element);
  EXPECT_TRUE((*element)->wants_pixels());
  EXPECT_FALSE((*element)->writes_pixels());
  auto stream = (*element)->open_stream(
      {.source_id = "cam-1"}, std::make_shared<test::Parameters>(
                                  std::map<std::string, ParameterValue, std::less<>>{{"min_face", {0.7}}}));
  ASSERT_TRUE(stream);
  Frame frame = frame_with({"grow", "remove", "stay"});
  const auto verdict = (*stream)->process(frame, {});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(*verdict, Verdict::pass);
  EXPECT_EQ(text_of(frame, "source"), "cam-1");
  EXPECT_EQ(text_of(frame, "args"), R"({"line":0.5})");
  EXPECT_EQ(text_of(frame, "parameters"), R"({"min_face":0.7})");
  EXPECT_EQ(frame.attributes->find("first")->number, 77);
  EXPECT_EQ(frame.attributes->find("first")->model.view(), "mine") << "signed with the element's name";
  EXPECT_TRUE(has_tag(frame, "marked"));
  ASSERT_EQ(frame.regions.size(), 3u);
  EXPECT_EQ(frame.regions[0].box.w, 0.5f);
  EXPECT_EQ(frame.regions[0].id, 0);
  EXPECT_EQ(frame.regions[0].model.view(), "detector");
  EXPECT_EQ(frame.regions[0].attributes->find("colour")->text, "red");
  EXPECT_EQ(frame.regions[1].label.view(), "stay");
  EXPECT_EQ(frame.regions[2].label.view(), "added");
  EXPECT_EQ(frame.regions[2].id, -1);
  EXPECT_EQ(frame.regions[2].model.view(), "mine");

  (*stream)->apply(std::make_shared<test::Parameters>(
      std::map<std::string, ParameterValue, std::less<>>{{"min_face", {0.9}}}));
  (*stream)->process(frame, {}).value();
  EXPECT_EQ(text_of(frame, "parameters"), R"({"min_face":0.9})");
}

TEST(CppFunction, DropsFrames) {
  const auto element = load("marks");
  EXPECT_EQ(order(*open_stream(*element), "drop").value(), Verdict::drop);
  EXPECT_EQ(element->counters().dropped, 1u);
}

TEST(CppFunction, WritesPixelsWhereThatIsAgreed) {
  for (const bool agreed : {false, true}) {
    const auto element = load("paints", {.writes_pixels = agreed});
    EXPECT_TRUE(element->writes_pixels());
    if (!agreed) continue;  // what it would do then is undefined: the picture is not its own
    Frame frame = frame_with({});
    open_stream(*element)->process(frame, {}).value();
    EXPECT_EQ(map(frame.tensors[0], Access::read)->row<uint8_t>(0)[0], 9);
  }
  const auto draws = load("paints", {.hook = function::Hook::draw, .writes_pixels = true});
  Frame frame = frame_with({});
  open_stream(*draws)->process(frame, {}).value();
  EXPECT_EQ(map(frame.tensors[0], Access::read)->row<uint8_t>(0)[0], 8);
}

TEST(CppFunction, RefusesWhatIsNoFunction) {
  const auto error = [](const FunctionSpec& spec) {
    auto loaded = load_function(spec, {.element = "mine", .folder = "/tmp"});
    EXPECT_FALSE(loaded);
    return loaded ? Error{} : loaded.error();
  };
  EXPECT_THAT(error(cpp("", "nowhere.so")).message, HasSubstr("/tmp/nowhere.so: there is no such file"));
  EXPECT_EQ(error(cpp("", "nowhere.so")).element, "mine");
  EXPECT_THAT(error(cpp("missing")).message, HasSubstr("exports no function missing"));
  const std::string text = testing::TempDir() + "/text.so";
  std::ofstream(text) << "not a shared object";
  EXPECT_THAT(error(cpp("", text)).message, HasSubstr("cannot be loaded"));
  EXPECT_THAT(error(cpp("of_the_future")).message, HasSubstr("another version"));
  EXPECT_THAT(error(cpp("of_the_past")).message, HasSubstr("another version"));
  EXPECT_THAT(error(cpp("filters")).message, HasSubstr("has no process"));
  EXPECT_THAT(error({.language = "cobol", .path = "x"}).message, HasSubstr("cobol"));
  EXPECT_THAT(error({.path = "x.py", .isolation = "none"}).message, HasSubstr("process or inline"));
}

TEST(CppFunction, RunsTheSmallerHooks) {
  const FunctionOptions options{.element = "mine"};
  const auto accept = load_accept(cpp("filters"), options);
  ASSERT_TRUE(accept);
  EXPECT_TRUE((*accept)->accept(frame_with({"a"}), {.source_id = "cam-1"}).value());
  EXPECT_FALSE((*accept)->accept(frame_with({}), {.source_id = "cam-2"}).value());
  const auto map = load_map(cpp("filters"), options);
  ASSERT_TRUE(map);
  std::string record = "{}";
  ASSERT_TRUE((*map)->map(record));
  EXPECT_EQ(record, "[{}]");
  record = "leave out";
  ASSERT_TRUE((*map)->map(record));
  EXPECT_EQ(record, "");
  FunctionOptions of_region{.element = "mine", .hook = function::Hook::region};
  const auto element = load_function(cpp("filters"), of_region);
  ASSERT_TRUE(element);
  const auto region = open_stream(**element);
  Frame frame = frame_with({"a"});
  Box box{0.5f, 0.25f, 0.25f, 0.25f};
  EXPECT_EQ(region->region(frame, 0, {}, box).value(), Verdict::pass);
  EXPECT_EQ(box.x, 0.25f);
  frame.regions[0].confidence = -1;
  EXPECT_EQ(region->region(frame, 0, {}, box).value(), Verdict::pass);
  EXPECT_TRUE(has_tag(frame, "error.mine"));
  EXPECT_EQ((*element)->counters().last_error, "not this one");
  EXPECT_FALSE(load_function(cpp("marks"), of_region));
  EXPECT_FALSE(load_map(cpp("marks"), options));
}

TEST(CppFunction, StopsWhatItForgetsOfTooManyStreams) {
  auto* stops = reinterpret_cast<int (*)()>(dlsym(dlopen(SIGHTGLASS_TEST_FUNCTIONS, RTLD_NOW), "stops"));
  const int before = stops();
  const auto accept = load_accept(cpp("filters"), {.element = "mine"});
  ASSERT_TRUE(accept);
  for (int i = 0; i < 1026; ++i)
    EXPECT_TRUE((*accept)->accept(frame_with({"a"}), {.source_id = "cam-" + std::to_string(i)}).value());
  EXPECT_EQ(stops(), before + 1025);
}

TEST(CppFunction, F14PassesFramesOnWhoseCodeThrows) {
  const auto element = load("obeys");
  const auto stream = open_stream(*element);
  for (const char* way : {"throw", "fail", "nan"}) {
    Frame frame;
    EXPECT_EQ(order(*stream, way, &frame).value(), Verdict::pass);
    EXPECT_TRUE(has_tag(frame, "error.mine")) << way;
    EXPECT_EQ(frame.regions.size(), 1u) << "nothing of what it has changed counts";
    EXPECT_EQ(frame.attributes->find("seen"), nullptr);
  }
  EXPECT_EQ(element->counters().errors, 3u);
  EXPECT_EQ(order(*stream, "fail").value(), Verdict::pass);
  EXPECT_EQ(element->counters().last_error, "cannot, for 3 reasons");
  Frame frame;
  EXPECT_EQ(order(*stream, "work", &frame).value(), Verdict::pass);
  EXPECT_FALSE(has_tag(frame, "error.mine"));
}

TEST(CppFunction, DoesWithFailedFramesWhatOnErrorSays) {
  const auto drops = load("obeys", {.on_error = OnError::drop_frame});
  EXPECT_EQ(order(*open_stream(*drops), "throw").value(), Verdict::drop);
  const auto ends_stream = load("obeys", {.on_error = OnError::stream});
  const auto stream_error = order(*open_stream(*ends_stream), "throw");
  ASSERT_FALSE(stream_error);
  EXPECT_EQ(stream_error.error().element, "mine");
  EXPECT_EQ(stream_error.error().stream, "cam-1");
  EXPECT_NE(stream_error.error().code, ErrorCode::cancelled);
  const auto ends_module = load("obeys", {.on_error = OnError::module});
  EXPECT_EQ(order(*open_stream(*ends_module), "throw").error().code, ErrorCode::cancelled);
}

TEST(CppFunction, OpensTheBreaker) {
  const auto element = load("obeys", {.breaker = {.failures = 5}});
  const auto stream = open_stream(*element);
  for (int i = 0; i < 5; ++i) order(*stream, "throw").value();
  EXPECT_TRUE(element->counters().is_open);
  Frame frame;
  EXPECT_EQ(order(*stream, "work", &frame).value(), Verdict::pass);
  EXPECT_EQ(frame.attributes->find("seen"), nullptr) << "it was not called";
  EXPECT_TRUE(has_tag(frame, "error.mine"));
  EXPECT_EQ(element->counters().skipped, 1u);
  EXPECT_EQ(element->counters().errors, 5u);
}

TEST(CppFunction, ServesAgainAfterThePause) {
  const auto element = load("obeys", {.breaker = {.failures = 2, .pause = 1}});
  const auto stream = open_stream(*element);
  for (int i = 0; i < 2; ++i) order(*stream, "throw").value();
  EXPECT_TRUE(eventually([&] {
    Frame frame;
    order(*stream, "work", &frame).value();
    return frame.attributes->find("seen") != nullptr;
  }));
  EXPECT_FALSE(element->counters().is_open);
}

TEST(CppFunction, CountsAndTagsWhatTakesLongerThanTheBudget) {
  const auto element = load("obeys", {.budget = millisecond});
  const auto stream = open_stream(*element);
  Frame frame;
  EXPECT_EQ(order(*stream, "sleep", &frame).value(), Verdict::pass);
  EXPECT_TRUE(has_tag(frame, "overrun.mine"));
  EXPECT_NE(frame.attributes->find("seen"), nullptr) << "its results count";
  EXPECT_EQ(element->counters().overruns, 1u);
  EXPECT_GT(element->counters().seconds, 0.02);
}

TEST(CppFunction, TellsHowLongACallHangs) {
  const auto element = load("obeys");
  EXPECT_EQ(element->counters().hang_seconds, 0);
  std::thread caller([&] { order(*open_stream(*element), "sleep").value(); });
  EXPECT_TRUE(eventually([&] { return element->counters().hang_seconds > 0; }));
  caller.join();
  EXPECT_EQ(element->counters().hang_seconds, 0);
}

TEST(CppFunction, F14StopsWhatDidNotStart) {
  auto* stops = reinterpret_cast<int (*)()>(dlsym(dlopen(SIGHTGLASS_TEST_FUNCTIONS, RTLD_NOW), "stops"));
  const int before = stops();
  const auto element = load("does_not_start");
  {
    const auto stream = open_stream(*element);
    Frame frame;
    EXPECT_EQ(order(*stream, "", &frame).value(), Verdict::pass);
    EXPECT_TRUE(has_tag(frame, "error.mine"));
    EXPECT_THAT(element->counters().last_error, HasSubstr("no licence"));
    EXPECT_EQ(stops(), before + 1);
    order(*stream, "").value();
    EXPECT_EQ(element->counters().errors, 1u) << "it is not tried with every frame";
    stream->stop("end");
  }
  EXPECT_EQ(stops(), before + 1);
}

TEST(CppFunction, TellsWhatItsConstructorThrows) {
  FunctionSpec spec = cpp("marks");
  spec.args.set("refuse", 1);
  const auto element = load_function(spec, {.element = "mine"});
  ASSERT_TRUE(element);
  order(*open_stream(**element), "").value();
  EXPECT_EQ((*element)->counters().last_error, "these arguments are not for me");
}

TEST(CppFunction, SwapsChangedCodeWhileStreamsRun) {
  const std::filesystem::path file = testing::TempDir() + "/changing.so";
  std::filesystem::remove(file);
  std::filesystem::copy_file(SIGHTGLASS_SAMPLE_FUNCTION, file);
  const auto loaded =
      load_function({.language = "cpp", .path = file.string()}, {.element = "mine", .development = true});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto stream = open_stream(**loaded);
  const auto counts = [&] {
    Frame frame = frame_with({"face"});
    stream->process(frame, {}).value();
    return frame.attributes && frame.attributes->find("count") != nullptr;
  };
  EXPECT_TRUE(counts());
  // Broken: the old code goes on.
  std::filesystem::remove(file);
  std::ofstream(file) << "not a shared object";
  EXPECT_TRUE(
      eventually([&] { return (*loaded)->counters().last_error.contains("changed file is not used"); }));
  EXPECT_TRUE(counts());
  std::filesystem::remove(file);
  std::filesystem::copy_file(SIGHTGLASS_OTHER_FUNCTION, file);
  EXPECT_TRUE(eventually([&] { return !counts(); }));
  EXPECT_EQ((*loaded)->counters().errors, 0u);
}

TEST(CppFunction, RunsTheSample) {
  FunctionSpec spec = cpp("", SIGHTGLASS_SAMPLE_FUNCTION);
  spec.args.set("line", 0.6);
  const auto element = load_function(spec, {.element = "crossing"});
  ASSERT_TRUE(element) << element.error().message;
  EXPECT_FALSE((*element)->wants_pixels());
  const auto stream = open_stream(**element);
  for (const float top : {0.1f, 0.2f, 0.3f, 0.4f, 0.5f}) {
    Frame frame = frame_with({"face"});
    frame.regions[0].track = 3;
    frame.regions[0].box = {0.4f, top, 0.2f, 0.25f};
    stream->process(frame, {}).value();
    EXPECT_EQ(has_tag(frame, "crossing"), top == 0.4f);
    EXPECT_EQ(frame.attributes->find("count")->number, top >= 0.4f);
  }
}

}  // namespace
}  // namespace sightglass::module
