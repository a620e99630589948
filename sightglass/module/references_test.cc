#include "sightglass/module/references.h"

#include <gmock/gmock.h>

#include "sightglass/module/frame_binding.h"
#include "sightglass/module/units.h"

namespace sightglass::module {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ReferenceScope scope() {
  static const Value values =
      value_from_json_or_null(R"({"t": 0.5, "n": 3, "line": [[0, 1], [1, 0]], "s": "x"})");
  return {.parameter = [](std::string_view name) { return values.find(name); },
          .module_name = "gate",
          .source_id = "cam-1"};
}

std::string resolved(const Value& value) {
  auto result = resolve(value, scope());
  return result ? result->to_json() : result.error().message;
}

TEST(References, AWholeReferenceKeepsItsType) {
  EXPECT_EQ(resolved("${parameters.t}"), "0.5");
  EXPECT_EQ(resolved("${parameters.line}"), "[[0,1],[1,0]]");
  EXPECT_EQ(resolved("${module.name}"), "\"gate\"");
  EXPECT_EQ(resolved("${stream.source_id}"), "\"cam-1\"");
}

TEST(References, WithinATextTheyAreWrittenIntoIt) {
  EXPECT_EQ(resolved("state/${module.name}-${parameters.n}.db"), "\"state/gate-3.db\"");
  EXPECT_EQ(resolved("a$b $$ $${module.name} ${parameters.s}"), "\"a$b $ ${module.name} x\"");
}

TEST(References, AreReplacedInAWholeTree) {
  const Value tree =
      value_from_json_or_null(R"({"a": ["${parameters.n}", {"b": "${parameters.t}"}], "c": 1})");
  EXPECT_EQ(resolved(tree), R"({"a":[3,{"b":0.5}],"c":1})");
  EXPECT_THAT(referenced_parameters(tree), ElementsAre("n", "t"));
  EXPECT_TRUE(has_references(tree));
  EXPECT_FALSE(refers_to_source(tree));
  EXPECT_TRUE(refers_to_source(Value::list({"x-${stream.source_id}"})));
}

TEST(References, SayWhatIsWrong) {
  EXPECT_THAT(resolved("${parameters.none}"), HasSubstr("no parameter is called none"));
  EXPECT_THAT(resolved("${env.HOME}"), HasSubstr("is no reference"));
  EXPECT_THAT(resolved("${parameters.}"), HasSubstr("is no reference"));
  EXPECT_THAT(resolved("${parameters.a-b}"), HasSubstr("is no reference"));
  EXPECT_THAT(resolved("x ${parameters.t"), HasSubstr("does not end"));
  auto outside = scope();
  outside.source_id.reset();
  EXPECT_FALSE(resolve("${stream.source_id}", outside));
}

TEST(Units, AreReadAndWritten) {
  EXPECT_EQ(*parse_duration("10ms"), 10'000'000);
  EXPECT_EQ(*parse_duration("1.5 s"), 1'500'000'000);
  EXPECT_EQ(*parse_duration("14d"), 14 * 86'400'000'000'000);
  EXPECT_EQ(*parse_duration("0"), 0);
  EXPECT_EQ(*parse_size("64MiB"), 64u << 20);
  EXPECT_EQ(*parse_size("2MB"), 2'000'000u);
  EXPECT_EQ(*parse_rate("2.5M"), 2'500'000u);
  EXPECT_DOUBLE_EQ(*parse_percent("20 %"), 0.2);
  for (const char* wrong :
       {"", "5", "-1s", "s", "1e9s", "1 fortnight", "nans", "infs", "99999999999d", "5ms x"})
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  for (const char* wrong : {"", "-1", "MiB", "1 mib", "1e30", "0x10"})
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  for (Time time :
       {Time(0), Time(1), Time(1500), Time(10'000'000), Time(90'000'000'000), Time(86'400'000'000'000)})
    EXPECT_EQ(*parse_duration(duration_text(time)), time) << duration_text(time);
  EXPECT_EQ(duration_text(10'000'000), "10ms");
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(size_text(64u << 20), "64MiB");
  EXPECT_EQ(rate_text(2'000'000), "2M");
}

Frame frame_with(std::string_view model, std::string_view name, double number) {
  Frame frame;
  frame.attributes =
      with(frame.attributes,
           {.name = Label(name), .kind = AttributeKind::number, .number = number, .model = Label(model)});
  return frame;
}

TEST(FrameBindings, FollowAnAttributeOfTheFrame) {
  const Value value = value_from_json_or_null(
      R"({"from": "sensor.lux", "map": [[0, 0.3], [100, 0.6], [200, 0.6]], "default": 0.5})");
  const auto binding = FrameBinding::parse(value, {.min = 0, .max = 1});
  ASSERT_TRUE(binding) << binding.error().message;
  const auto at = [&](double lux) { return binding->evaluate(frame_with("sensor", "lux", lux)); };
  EXPECT_DOUBLE_EQ(at(50).value, 0.45);
  EXPECT_DOUBLE_EQ(at(-5).value, 0.3);
  EXPECT_DOUBLE_EQ(at(0).value, 0.3);
  EXPECT_DOUBLE_EQ(at(100).value, 0.6);
  EXPECT_DOUBLE_EQ(at(1e9).value, 0.6);
  EXPECT_FALSE(at(50).is_default);
  EXPECT_TRUE(at(std::numeric_limits<double>::quiet_NaN()).is_default);
  EXPECT_TRUE(binding->evaluate(Frame()).is_default);
  EXPECT_DOUBLE_EQ(binding->evaluate(Frame()).value, 0.5);
  EXPECT_TRUE(binding->evaluate(frame_with("other", "lux", 5)).is_default);
  Frame text;
  text.attributes = with(
      nullptr, {.name = Label("lux"), .kind = AttributeKind::text, .text = "50", .model = Label("sensor")});
  EXPECT_TRUE(binding->evaluate(text).is_default);
}

TEST(FrameBindings, WithoutAMapTheReadingIsTheValue) {
  const auto binding = FrameBinding::parse(value_from_json_or_null(R"({"from": "s.n", "default": 2})"),
                                           {.min = 1, .max = 10, .whole = true});
  ASSERT_TRUE(binding);
  EXPECT_DOUBLE_EQ(binding->evaluate(3.4).value, 3);
  EXPECT_TRUE(binding->evaluate(11).is_default);
  EXPECT_FALSE(
      FrameBinding::parse(value_from_json_or_null(R"({"from": "s.n", "default": 2.5})"), {.whole = true}));
}

}  // namespace
}  // namespace sightglass::module
