#include "sightglass/elements/selection/pattern.h"

#include <gtest/gtest.h>

#include <string>

namespace sightglass {
namespace {

TEST(Pattern, MatchesTheWholeText) {
  EXPECT_TRUE(glob_matches("cam-*", "cam-12"));
  EXPECT_TRUE(glob_matches("cam-*", "cam-"));
  EXPECT_FALSE(glob_matches("cam-*", "my cam-1"));
  EXPECT_TRUE(glob_matches("*a*b*c", "xxaybbzc"));
  EXPECT_FALSE(glob_matches("*a*b*c", "xxaybbz"));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("**", ""));
}

TEST(Pattern, AQuestionMarkIsOneCharacterOfAnyLength) {
  EXPECT_TRUE(glob_matches("?", "é"));
  EXPECT_TRUE(glob_matches("a?c", "a漢c"));
  EXPECT_FALSE(glob_matches("a?c", "abbc"));
  EXPECT_TRUE(glob_matches("??", "\xff\xc3"));  // no UTF-8: bytes
}

TEST(Pattern, SetsHaveRangesAndNegations) {
  EXPECT_TRUE(glob_matches("[a-c][!0-9]", "bx"));
  EXPECT_FALSE(glob_matches("[a-c][!0-9]", "b1"));
  EXPECT_FALSE(glob_matches("[a-c]", "d"));
  EXPECT_TRUE(glob_matches("[]x]", "]"));
  EXPECT_TRUE(glob_matches("[a-]", "-"));
  EXPECT_TRUE(glob_matches("[à-ü]", "é"));
}

TEST(Pattern, ABackslashTakesTheMeaningAway) {
  EXPECT_TRUE(glob_matches("a\\*", "a*"));
  EXPECT_FALSE(glob_matches("a\\*", "ab"));
  EXPECT_TRUE(glob_matches("[\\]]", "]"));
}

TEST(Pattern, WhatIsNoPatternIsRefused) {
  EXPECT_TRUE(check_glob("cam-[0-9]*\\?"));
  EXPECT_FALSE(check_glob("cam-[0-9"));
  EXPECT_FALSE(check_glob("cam\\"));
  EXPECT_FALSE(check_glob(std::string(max_pattern_length + 1, 'a')));
}

TEST(Pattern, ManyStarsDoNotMultiply) {
  // With backtracking over all stars this would take longer than anybody lives.
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "*b", std::string(100'000, 'a')));
}

}  // namespace
}  // namespace sightglass
