#include "sightglass/cli/text.h"

#include <gtest/gtest.h>

namespace sightglass::cli {
namespace {

TEST(Text, GroupsThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
}

TEST(Text, CountsInWords) {
  EXPECT_EQ(count_text(1, "frame"), "1 frame");
  EXPECT_EQ(count_text(0, "frame"), "0 frames");
  EXPECT_EQ(count_text(2000, "track"), "2,000 tracks");
}

TEST(Text, ShowsTimesAsAClock) {
  EXPECT_EQ(clock_text(-1), "0:00");
  EXPECT_EQ(clock_text(7.9), "0:07");
  EXPECT_EQ(clock_text(754), "12:34");
  EXPECT_EQ(clock_text(3723), "1:02:03");
}

TEST(Text, ShowsSizesWithThreeDigitsAtMost) {
  EXPECT_EQ(bytes_text(730), "730 B");
  EXPECT_EQ(bytes_text(8145171), "8.1 MB");
  EXPECT_EQ(bytes_text(999700), "1.0 MB");
  EXPECT_EQ(bytes_text(12'000'000'000), "12 GB");
}

TEST(Text, BarFillsInEighthsWhereItCan) {
  EXPECT_EQ(bar(0, 4, false), "....");
  EXPECT_EQ(bar(0.5, 4, false), "##..");
  EXPECT_EQ(bar(2, 4, false), "####");
  EXPECT_EQ(bar(1, 2, true), "██");
  EXPECT_EQ(bar(0.25, 2, true), "▌ ");
  EXPECT_EQ(display_width(bar(0.3, 20, true)), 20);
}

TEST(Text, ShortensByCharactersNotBytes) {
  EXPECT_EQ(shortened("straße", 6), "straße");
  EXPECT_EQ(shortened("straßen", 6), "straß…");
}

TEST(Text, OneLineLosesLineBreaks) { EXPECT_EQ(one_line("  a\n\tb  c \n"), "a b c"); }

TEST(Text, QuotesWhatTheShellWouldTakeApart) {
  EXPECT_EQ(shell_quoted("video/x-raw,format=I420"), "video/x-raw,format=I420");
  EXPECT_EQ(shell_quoted("my video.mp4"), "'my video.mp4'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(Text, TallyNamesTheMostFrequentFirst) {
  EXPECT_EQ(tally_text({}), "");
  EXPECT_EQ(tally_text({{"car", 1}, {"person", 1200}, {"bus", 1}}), "1,200 person, 1 bus, 1 car");
  EXPECT_EQ(tally_text({{"a", 3}, {"b", 2}, {"c", 1}}, 1), "3 a and 2 kinds more");
}

TEST(ProgressLine, ShowsPositionSpeedAndWhatWasFound) {
  const Standing standing{
      .position = 42, .duration = 79, .frames = 420, .fps = 24.62, .objects = 2134, .tracks = 12};
  const std::string line = progress_line(standing, 120, false);
  EXPECT_EQ(
      line,
      "[###############...............]  53%  0:42/1:19  24.6 fps  2,134 objects  12 tracks  0:16 left");
}

TEST(ProgressLine, FitsIntoNarrowTerminals) {
  const Standing standing{
      .position = 42, .duration = 79, .frames = 420, .fps = 24.62, .objects = 2134, .tracks = 12};
  for (int columns : {10, 20, 40, 60, 79})
    EXPECT_LE(display_width(progress_line(standing, columns, true)), columns);
}

TEST(ProgressLine, HasNoBarWhereTheEndIsUnknown) {
  EXPECT_EQ(progress_line({.position = 61, .frames = 10, .fps = 10}, 80, true), "1:01  10.0 fps");
  EXPECT_EQ(progress_line({.frames = 10, .fps = 10}, 80, true), "10 frames  10.0 fps");
}

TEST(ProgressLine, CountsFramesWhereTheirNumberIsKnown) {
  EXPECT_EQ(speed_line({.frames = 3, .wanted_frames = 6, .fps = 1.5}), "3/6 frames  1.5 fps");
  EXPECT_DOUBLE_EQ((Standing{.frames = 3, .wanted_frames = 6}.fraction()), 0.5);
}

TEST(SpeedLine, IsPlain) {
  EXPECT_EQ(speed_line({.position = 42, .duration = 79, .frames = 424, .fps = 24.6, .objects = 1}),
            "0:42/1:19  424 frames  24.6 fps  1 object");
}

}  // namespace
}  // namespace sightglass::cli
