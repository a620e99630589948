#include "sightglass/model/process.h"

#include <gmock/gmock.h>

namespace sightglass {
namespace {

using testing::HasSubstr;

TEST(Process, GivesOutputAndExitCode) {
  auto result = run_process({"sh", "-c", "echo out; echo err >&2; pwd; exit 3"}, "/");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\nerr\n/\n");
}

TEST(Process, PassesArgumentsAsTheyAre) {
  auto result = run_process({"printf", "%s", "a b $HOME `id` 'c'"}, "/");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "a b $HOME `id` 'c'");
}

TEST(Process, SaysWhatIsNotInstalled) {
  auto result = run_process({"no-such-program-here"}, "/");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "no-such-program-here is not installed");
}

TEST(Process, ReportsAKilledChild) {
  auto result = run_process({"sh", "-c", "kill -9 $$"}, "/");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit_code, 137);
}

TEST(Process, ConnectsTwoAndReportsTheFirstThatFails) {
  EXPECT_EQ(run_pipe({"echo", "hello"}, {"cat"}, "/")->output, "hello\n");
  EXPECT_EQ(run_pipe({"sh", "-c", "exit 4"}, {"cat"}, "/")->exit_code, 4);
  EXPECT_EQ(run_pipe({"echo"}, {"sh", "-c", "cat; exit 5"}, "/")->exit_code, 5);
  EXPECT_EQ(run_pipe({"yes"}, {"head", "-c", "2"}, "/")->exit_code, 0);
  EXPECT_FALSE(run_pipe({"echo"}, {"no-such-program-here"}, "/"));
}

TEST(Process, PicksTheTellingLine) {
  EXPECT_EQ(
      (ProcessResult{1, "notice\nnpm error code E404\nnpm error 404 Not Found\nnpm error A complete log\n"})
          .reason(),
      "npm error 404 Not Found");
  EXPECT_EQ((ProcessResult{1, "first\nlast\n\n"}).reason(), "last");
  EXPECT_EQ((ProcessResult{7, ""}).reason(), "exit code 7");
}

}  // namespace
}  // namespace sightglass
