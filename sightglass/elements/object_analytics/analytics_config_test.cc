#include "sightglass/elements/object_analytics/analytics_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Values = std::vector<std::pair<const char*, std::string>>;

Result<AnalyticsOptions> read(const Values& values) {
  ParamSet params(find_element("object_analytics")->params);
  for (const auto& [name, text] : values) {
    auto set = params.set_text(name, text);
    EXPECT_TRUE(set) << name;
  }
  return read_analytics(params);
}
std::string message(const Values& values) {
  auto options = read(values);
  return options ? "no error" : options.error().message;
}

TEST(AnalyticsConfig, ReadsYamlAndJson) {
  const std::vector<ZonePoint> triangle{{0.1f, 0.2f}, {0.4f, 0.2f}, {0.4f, 0.9f}};
  for (const char* text :
       {"door: [[0.1, 0.2], [0.4, 0.2], [0.4, 0.9]]", R"({"door": [[0.1, 0.2], [0.4, 0.2], [0.4, 0.9]]})",
        "door: [0.1, 0.2, 0.4, 0.2, 0.4, 0.9]", "door:\n - [0.1, 0.2]\n - [0.4, 0.2]\n - [0.4, 0.9]\n"}) {
    auto options = read({{"zones", text}});
    ASSERT_TRUE(options) << options.error().message;
    ASSERT_EQ(options->counting.zones.size(), 1u);
    EXPECT_EQ(options->counting.zones[0].name, "door");
    EXPECT_EQ(options->counting.zones[0].points, triangle);
  }
}

TEST(AnalyticsConfig, PropertiesWinOverTheConfig) {
  const std::string config =
      "zones: {a: [[0, 0], [9, 0], [9, 9]]}\nlines: {gate: [[0, 300], [768, 300]]}\nanchor: bottom\n"
      "hysteresis: 7\nmin_dwell: 500\nconfirmed-only: false\ndraw: no\n";
  auto options = read({{"config", config}, {"hysteresis", "2"}, {"zones", "b: [[0, 0], [5, 0], [5, 5]]"}});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->counting.zones.at(0).name, "b");
  EXPECT_EQ(options->counting.lines.at(0).points.at(1), (ZonePoint{768, 300}));
  EXPECT_EQ(options->anchor, Anchor::bottom);
  EXPECT_EQ(options->counting.hysteresis, 2);
  EXPECT_EQ(options->counting.min_dwell, 500'000'000);
  EXPECT_FALSE(options->counting.confirmed_only);
  EXPECT_FALSE(options->draw);
}

TEST(AnalyticsConfig, ReadsFiles) {
  const auto path = std::filesystem::path(testing::TempDir()) / "zones of a test.yaml";
  std::ofstream(path) << "lines:\n  gate: [[0, 1], [1, 0]]\n";
  auto options = read({{"config", path.string()}});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->counting.lines.size(), 1u);
  std::ofstream(path) << "lines:\n  gate: [[0, 1]]\n";
  EXPECT_THAT(message({{"config", path.string()}}),
              HasSubstr("zones of a test.yaml:2:9: gate: a line needs"));
  std::filesystem::remove(path);
  EXPECT_THAT(message({{"config", path.string()}}), HasSubstr("cannot be read"));
}

TEST(AnalyticsConfig, NothingIsNothing) {
  auto options = read({});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->counting.zones.empty());
  EXPECT_TRUE(options->counting.confirmed_only);
  EXPECT_EQ(options->counting.hysteresis, 4);
  EXPECT_TRUE(read({{"zones", ""}}));
  EXPECT_TRUE(read({{"zones", "{}"}}));
}

TEST(AnalyticsConfig, AZoneMayCrossItself) {
  EXPECT_TRUE(read({{"zones", "eight: [[0, 0], [1, 1], [1, 0], [0, 1]]"}}));
}

TEST(AnalyticsConfig, EveryMistakeIsOneLineThatSaysWhere) {
  EXPECT_EQ(message({{"zones", "door: [[1, 2], [3, 4]]"}}),
            "zones:1:7: door: a zone needs 3 points or more, it has 2");
  EXPECT_EQ(message({{"zones", "a: [[0, 0], [1, 0], [1, 1]]\nb: [[0, 0], [1, 0], [1]]"}}),
            "zones:2:21: b: a point is two numbers, [x, y]");
  EXPECT_EQ(message({{"lines", "a: [1, 2, 3]"}}), "lines:1:4: a: an odd number of coordinates");
  EXPECT_EQ(message({{"lines", "a: [[1, 2], [1, 2]]"}}), "lines:1:4: a: the points are the same");
  EXPECT_EQ(message({{"zones", "a: [[1, 2], [2, 4], [3, 6]]"}}), "zones:1:4: a: the points enclose nothing");
  EXPECT_THAT(message({{"lines", "a: [[x, 2], [3, 4]]"}}), HasSubstr("must be a number"));
  EXPECT_THAT(message({{"lines", "a: [[.nan, 2], [3, 4]]"}}), HasSubstr("must be a number"));
  EXPECT_THAT(message({{"lines", "a: 5"}}), HasSubstr("expects a list of points"));
  EXPECT_THAT(message({{"lines", "[1, 2]"}}), HasSubstr("expects names with points"));
  EXPECT_THAT(message({{"zones", "a: [[0, 0], [1, 0], [1, 1]]\na: [[0, 0], [1, 0], [1, 1]]"}}),
              HasSubstr("zones:2:1: zones: 'a' comes twice"));
  EXPECT_THAT(message({{"config", "zone: {}"}}), HasSubstr("config:1:1: unknown key 'zone'"));
  EXPECT_THAT(message({{"config", "anchor: top"}}),
              StartsWith("config:1:9: anchor: must be center or bottom"));
  EXPECT_THAT(message({{"config", "draw: maybe"}}), HasSubstr("expects true or false"));
  EXPECT_THAT(message({{"config", "hysteresis: -1"}}), HasSubstr("must not be less than 0"));
  EXPECT_THAT(message({{"config", "zones: ["}}), HasSubstr("not YAML"));
  EXPECT_THAT(message({{"zones", "a: [[0, 0], [1, 0], [1, 1]]"}, {"lines", "a: [[0, 0], [1, 1]]"}}),
              HasSubstr("'a' is the name of a zone as well"));
}

}  // namespace
}  // namespace sightglass
