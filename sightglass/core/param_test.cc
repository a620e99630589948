#include "sightglass/core/param.h"

#include <gmock/gmock.h>

#include <clocale>
#include <cmath>

namespace sightglass {
namespace {

using testing::HasSubstr;

enum class Method { max, softmax, compound };
enum class Device { cpu = 10, gpu = 20 };

struct Params {
  bool flag = false;
  int count = 4;
  unsigned size = 0;
  int64_t total = 0;
  float score = 0.25f;
  double threshold = 0.5;
  std::string model;
  std::string color = "rgb";
  Method method = Method::softmax;
  Device device = Device::gpu;
  std::vector<int64_t> zones;
  std::vector<double> mean;
  std::vector<std::string> classes;
  Fraction rate{30, 1};
  int state = 7;
};

const ParamTable& table() {
  static const ParamTable instance = [] {
    ParamTable params = ParamTable::of<Params>({
        param("flag", &Params::flag, "a switch"),
        param("count", &Params::count, "how many").range(1, 100).in("frames").live(),
        param("size", &Params::size, "width"),
        param("total", &Params::total, "all of them"),
        param("score", &Params::score, "a score").range(0, 1),
        param("threshold", &Params::threshold, "least score that is kept").range(0, 1),
        param("model", &Params::model, "file"),
        param("color", &Params::color, "order").choices({"rgb", "bgr"}),
        param("method", &Params::method, "how").choices({"max", "softmax", "compound"}),
        param("device-kind", &Params::device, "where").choices({"cpu", "gpu"}, {10, 20}),
        param("zones", &Params::zones, "numbers").range(0, 9),
        param("mean", &Params::mean, "numbers"),
        param("classes", &Params::classes, "labels"),
        param("rate", &Params::rate, "frames per second").range(0, 1000),
        param("state", &Params::state, "what it is"),
    });
    params.params.back().is_readable_only = true;
    return params;
  }();
  return instance;
}

// The value as text after it was set, or the message.
std::string after(std::string_view name, std::string_view text) {
  ParamSet set(table());
  if (auto status = set.set_text(name, text); !status) {
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
    EXPECT_FALSE(set.is_set(name));
    return status.error().message;
  }
  EXPECT_TRUE(set.is_set(name));
  return table().find(name)->to_text(*set.get(name));
}

std::string after_value(std::string_view name, const ParamValue& value) {
  ParamSet set(table());
  if (auto status = set.set(name, value); !status) return status.error().message;
  return table().find(name)->to_text(*set.get(name));
}

TEST(Param, TakesItsTypeAndDefaultFromTheMember) {
  EXPECT_EQ(table().find("threshold")->type, ParamType::number);
  EXPECT_EQ(table().find("score")->type, ParamType::number32);
  EXPECT_EQ(table().find("size")->type, ParamType::unsigned_integer);
  EXPECT_EQ(table().find("method")->type, ParamType::choice);
  EXPECT_EQ(table().find("threshold")->default_value, ParamValue(0.5));
  EXPECT_EQ(table().find("method")->default_value, ParamValue(int64_t(1)));
  EXPECT_EQ(table().find("device-kind")->default_value, ParamValue(int64_t(20)));
  EXPECT_TRUE(table().find("count")->is_live);
  EXPECT_EQ(table().find("count")->unit, "frames");
}

TEST(Param, DefaultsPassTheirOwnCheck) {
  for (const ParamDesc& desc : table().params) {
    auto checked = desc.check(desc.default_value);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(*checked, desc.default_value) << desc.name;
  }
}

TEST(Param, IsFoundWithDashOrUnderscore) {
  EXPECT_EQ(table().find("device_kind"), table().find("device-kind"));
  EXPECT_TRUE(table().find("device_kind"));
  EXPECT_EQ(table().find("device"), nullptr);
  EXPECT_EQ(table().find(""), nullptr);
}

TEST(ParamText, ReadsBooleans) {
  for (const char* text : {"true", "1", "yes", "True", " YES "})
    EXPECT_EQ(after("flag", text), "true") << text;
  for (const char* text : {"false", "0", "no", "FALSE"}) EXPECT_EQ(after("flag", text), "false") << text;
  EXPECT_EQ(after("flag", "maybe"), "flag: expects true or false, got 'maybe'");
  EXPECT_THAT(after("flag", ""), HasSubstr("expects true or false"));
  EXPECT_THAT(after("flag", "2"), HasSubstr("expects true or false"));
}

TEST(ParamText, ReadsWholeNumbers) {
  EXPECT_EQ(after("count", "12"), "12");
  EXPECT_EQ(after("count", " +12 "), "12");
  EXPECT_EQ(after("count", "0x10"), "16");
  EXPECT_EQ(after("size", "4294967295"), "4294967295");
  EXPECT_EQ(after("total", "-9223372036854775808"), "-9223372036854775808");
  for (const char* text : {"", "1.5", "ten", "1 2", "0x", "0x-1", "+-1", "--1", "1e3", "nan"})
    EXPECT_THAT(after("count", text), HasSubstr("count: expects a whole number")) << text;
}

TEST(ParamText, ReadsNumbersWhateverTheLocale) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  std::setlocale(LC_ALL, "de_DE.UTF-8");  // where it is not installed, this tests no less than without
  EXPECT_EQ(after("threshold", "0.75"), "0.75");
  EXPECT_EQ(after("threshold", "+1e-3"), "0.001");
  EXPECT_THAT(after("threshold", "0,75"), HasSubstr("expects a number"));
  std::setlocale(LC_ALL, before.c_str());
  EXPECT_EQ(after("score", "0.1"), "0.10000000149011612");
}

TEST(ParamText, RefusesNumbersThatAreNotFinite) {
  for (const char* text : {"nan", "inf", "-inf", "infinity", "NaN", "nan(1)"})
    EXPECT_THAT(after("threshold", text), HasSubstr("threshold: expects a finite number")) << text;
  for (const char* text : {"1e999", "1e-999"})
    EXPECT_THAT(after("threshold", text), HasSubstr("out of range")) << text;
  EXPECT_THAT(after("mean", "1,nan"), HasSubstr("expects a finite number"));
  EXPECT_THAT(after("threshold", ""), HasSubstr("expects a number"));
}

TEST(ParamText, ReadsChoicesByNameOrNumber) {
  EXPECT_EQ(after("method", "compound"), "compound");
  EXPECT_EQ(after("method", "0"), "max");
  EXPECT_EQ(after("device-kind", "10"), "cpu");
  EXPECT_EQ(after("device-kind", "gpu"), "gpu");
  EXPECT_EQ(after("method", "min"), "method: 'min' is unknown; one of: max, softmax, compound");
  EXPECT_EQ(after("method", "3"), "method: '3' is unknown; one of: max, softmax, compound");
  EXPECT_EQ(after("device-kind", "0"), "device-kind: '0' is unknown; one of: cpu, gpu");
  EXPECT_THAT(after("method", "Max"), HasSubstr("unknown"));
  EXPECT_EQ(after("color", "bgr"), "bgr");
  EXPECT_EQ(after("color", "red"), "color: 'red' is unknown; one of: rgb, bgr");
}

TEST(ParamText, ReadsListsWithAndWithoutBrackets) {
  for (const char* text : {"1,2,3", "<1,2,3>", " < 1 , 2,3 > "})
    EXPECT_EQ(after("zones", text), "<1,2,3>") << text;
  EXPECT_EQ(after("zones", "7"), "<7>");
  EXPECT_EQ(after("zones", ""), "<>");
  EXPECT_EQ(after("zones", "<>"), "<>");
  EXPECT_EQ(after("mean", "<0.5, 1, -2e1>"), "<0.5,1,-20>");
  EXPECT_EQ(after("classes", "person,dining table"), "<person,dining table>");
  for (const char* text : {"1,,2", "1,", ",1", "<1,>", "<1", "1>", "<", ">"})
    EXPECT_THAT(after("zones", text), HasSubstr("in the list")) << text;
  EXPECT_THAT(after("zones", "1,x"), HasSubstr("zones: expects a whole number, got 'x'"));
  EXPECT_EQ(after("zones", "1,10"), "zones: 10 is out of range (0 to 9)");
}

TEST(ParamText, QuotesTextsThatNeedIt) {
  EXPECT_EQ(after("classes", R"("a,b",c)"), R"(<"a,b",c>)");
  EXPECT_EQ(after("classes", R"(<"">)"), R"(<"">)");
  for (const char* text : {R"("a)", R"("a"b)", R"("a\")"})
    EXPECT_THAT(after("classes", text), HasSubstr("in the list")) << text;

  const std::vector<std::string> odd = {"a,b", "", " ", "<x>", R"(say "hi" \ bye)", "plain", "two words"};
  ParamSet set(table());
  ASSERT_TRUE(set.set_text("classes", to_string(ParamValue(odd))));
  EXPECT_EQ(set.as<Params>().classes, odd);
}

TEST(ParamText, ReadsFractions) {
  EXPECT_EQ(after("rate", "30/1"), "30/1");
  EXPECT_EQ(after("rate", "30000/1001"), "30000/1001");
  EXPECT_EQ(after("rate", "25"), "25/1");
  EXPECT_EQ(after("rate", " 0 / 1 "), "0/1");
  for (const char* text : {"", "/", "30/", "/1", "29.97", "1/2/3", "a/b", "99999999999/1"})
    EXPECT_THAT(after("rate", text), HasSubstr("rate: expects a fraction such as 30/1")) << text;
  EXPECT_THAT(after("rate", "30/0"), HasSubstr("rate: 30/0 has no positive denominator"));
  EXPECT_THAT(after("rate", "30/-1"), HasSubstr("denominator"));
  EXPECT_EQ(after("rate", "2000/1"), "rate: 2000/1 is out of range (0 to 1000)");
}

TEST(ParamText, TakesTextAsItIs) {
  EXPECT_EQ(after("model", " a,b <c> "), " a,b <c> ");
  EXPECT_EQ(after("model", ""), "");
}

TEST(ParamCheck, SaysValueRangeAndName) {
  EXPECT_EQ(after("threshold", "1.5"), "threshold: 1.5 is out of range (0 to 1)");
  EXPECT_EQ(after("count", "0"), "count: 0 is out of range (1 to 100 frames)");
  EXPECT_EQ(after("size", "-1"), "size: -1 is out of range (0 to 4294967295)");
  EXPECT_EQ(after("total", "9223372036854775808"),
            "total: 9223372036854775808 is out of range (-9223372036854775808 to 9223372036854775807)");

  struct One {
    int n = 1;
    double x = 0;
  };
  EXPECT_EQ(param("n", &One::n, "").range(1, INT_MAX).parse("0").error().message,
            "n: 0 is out of range (at least 1)");
  EXPECT_EQ(
      param("x", &One::x, "").range(std::numeric_limits<double>::lowest(), 5).parse("6").error().message,
      "x: 6 is out of range (at most 5)");
  // A range may be wider than the type.
  EXPECT_FALSE(param("n", &One::n, "").range(-1e12, 1e12).parse("99999999999"));
}

TEST(ParamCheck, ConvertsWhatLosesNothing) {
  EXPECT_EQ(after_value("threshold", int64_t(1)), "1");
  EXPECT_EQ(after_value("count", 12.0), "12");
  EXPECT_EQ(after_value("flag", int64_t(1)), "true");
  EXPECT_EQ(after_value("method", "compound"), "compound");
  EXPECT_EQ(after_value("count", "12"), "12");
  EXPECT_EQ(after_value("zones", int64_t(5)), "<5>");
  EXPECT_EQ(after_value("zones", std::vector<double>{1, 2}), "<1,2>");
  EXPECT_EQ(after_value("mean", std::vector<int64_t>{1, 2}), "<1,2>");
  EXPECT_EQ(after_value("mean", std::vector<std::string>{}), "<>");
  EXPECT_EQ(after_value("classes", std::vector<double>{}), "<>");
  EXPECT_EQ(after_value("rate", int64_t(25)), "25/1");
  EXPECT_EQ(after_value("rate", std::vector<int64_t>{30, 2}), "30/2");
}

TEST(ParamCheck, RefusesOtherTypes) {
  EXPECT_EQ(after_value("count", 1.5), "count: expects a whole number, got 1.5");
  EXPECT_EQ(after_value("count", true), "count: expects a whole number, got true");
  EXPECT_EQ(after_value("count", 1e300), "count: expects a whole number, got 1e+300");
  EXPECT_EQ(after_value("model", int64_t(3)), "model: expects text, got 3");
  EXPECT_EQ(after_value("flag", 1.0), "flag: expects true or false, got 1");
  EXPECT_EQ(after_value("zones", std::vector<double>{0.5}),
            "zones: expects a list of whole numbers, got <0.5>");
  EXPECT_THAT(after_value("zones", std::vector<double>{NAN}), HasSubstr("expects a list of whole numbers"));
  EXPECT_EQ(after_value("threshold", NAN), "threshold: expects a finite number, got nan");
  EXPECT_EQ(after_value("count", INFINITY), "count: expects a whole number, got inf");
  EXPECT_THAT(after_value("score", 1e300), HasSubstr("out of range"));
  EXPECT_THAT(after_value("method", 0.5), HasSubstr("expects the name or number of a choice"));
}

TEST(ParamSet, StartsWithTheDefaults) {
  const ParamSet set(table());
  EXPECT_EQ(set.as<Params>().count, 4);
  EXPECT_EQ(set.as<Params>().method, Method::softmax);
  EXPECT_EQ(*set.get("rate"), ParamValue(Fraction{30, 1}));
  EXPECT_FALSE(set.is_set("count"));
}

TEST(ParamSet, WritesThePlainStruct) {
  ParamSet set(table());
  EXPECT_TRUE(set.set_text("method", "max"));
  EXPECT_TRUE(set.set_text("device_kind", "cpu"));
  EXPECT_TRUE(set.set("score", 0.5));
  EXPECT_TRUE(set.set_text("classes", "a,b"));
  const Params& params = set.as<Params>();
  EXPECT_EQ(params.method, Method::max);
  EXPECT_EQ(params.device, Device::cpu);
  EXPECT_EQ(params.score, 0.5f);
  EXPECT_EQ(params.classes, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(set.is_set("device-kind"));
}

TEST(ParamSet, KeepsItsValueWhenTheNewOneIsRefused) {
  ParamSet set(table());
  ASSERT_TRUE(set.set_text("count", "5"));
  EXPECT_FALSE(set.set_text("count", "1000"));
  EXPECT_EQ(set.as<Params>().count, 5);
}

TEST(ParamSet, CopiesAreIndependent) {
  ParamSet set(table());
  ASSERT_TRUE(set.set_text("count", "5"));
  ParamSet copy(set);
  ASSERT_TRUE(copy.set_text("count", "6"));
  EXPECT_EQ(set.as<Params>().count, 5);
  set = copy;
  EXPECT_EQ(set.as<Params>().count, 6);
  EXPECT_TRUE(set.is_set("count"));
  auto& same = set;
  set = same;
  EXPECT_EQ(set.as<Params>().count, 6);
}

TEST(ParamSet, NamesTheParametersThatThereAre) {
  ParamSet set(table());
  const Status status = set.set_text("treshold", "1");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
  EXPECT_THAT(status.error().message, HasSubstr("there is no parameter 'treshold'; one of: flag, count"));
  EXPECT_FALSE(set.get("treshold"));
  EXPECT_FALSE(set.is_set("treshold"));
}

TEST(ParamSet, RefusesWhatIsForReadingOnly) {
  ParamSet set(table());
  EXPECT_EQ(set.set_text("state", "1").error().message, "state: can be read only");
  EXPECT_EQ(*set.get("state"), ParamValue(int64_t(7)));
}

TEST(ParamSet, WorksForElementsWithoutParameters) {
  const ParamTable none;
  ParamSet set(none);
  const ParamSet copy = set;
  EXPECT_FALSE(set.set_text("x", "1"));
  EXPECT_FALSE(copy.is_set("x"));
}

}  // namespace
}  // namespace sightglass
