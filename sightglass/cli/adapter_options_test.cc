#include "sightglass/cli/adapter_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sightglass::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string error_of(std::string_view type, std::vector<std::string> words) {
  auto entry = sink_entry(type, words);
  return entry ? "" : entry.error().message;
}

TEST(AdapterOptions, WordsAreTheKeysOfTheFile) {
  const std::vector<std::string> words = {"folder=out",         "rotate-time=10m",
                                          "gzip=true",          "batch.count=500",
                                          "queue.policy=block", "required=true",
                                          "retry.attempts=3",   "dead_letter=lost",
                                          "name=results",       "when={frame: {tag: crossing}}"};
  const auto entry = sink_entry("json_file", words);
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_EQ(entry->name, "results");
  EXPECT_TRUE(entry->required);
  EXPECT_EQ(entry->queue.policy, module::QueuePolicy::block);
  EXPECT_EQ(*entry->properties.find("folder")->text(), "out");
  EXPECT_EQ(*entry->properties.find("batch")->find("count")->integer(), 500);
  EXPECT_TRUE(entry->when.find("frame"));
}

TEST(AdapterOptions, TextStaysTextAndListsComeAgain) {
  const std::vector<std::string> words = {"url=sub+connect:inproc://a", "url=sub+connect:inproc://b",
                                          "sources=007"};
  const auto params = source_params(*adapters::find_source("zeromq"), words);
  ASSERT_TRUE(params) << params.error().message;
  EXPECT_EQ(std::get<std::vector<std::string>>(*(*params)->get("url")).size(), 2u);
  EXPECT_EQ(std::get<std::vector<std::string>>(*(*params)->get("sources"))[0], "007");
}

TEST(AdapterOptions, NestedKeysAreWrittenWithDotOrDash) {
  for (const char* word : {"curve.secret_key_file=k", "curve-secret-key-file=k"}) {
    const std::vector<std::string> words = {"url=pub+bind:inproc://x", word};
    const auto entry = sink_entry("zeromq", words);
    ASSERT_TRUE(entry) << entry.error().message;
  }
}

// F-24: `ps` shows command lines.
TEST(AdapterOptions, SecretsAreRefused) {
  for (const char* word : {"options=sasl.password=hunter2", "options=[linger.ms=5, ssl.key.pem=hunter2]",
                           "brokers=kafka://me:hunter2@b"}) {
    const std::string error = error_of("kafka", {word});
    EXPECT_THAT(error, testing::AllOf(HasSubstr("holds a secret"), Not(HasSubstr("hunter2")))) << word;
  }
}

TEST(AdapterOptions, ErrorsNameTheOptionItsValueAndWhatIsAllowed) {
  EXPECT_THAT(error_of("json_file", {"foldr=x"}), HasSubstr("did you mean 'folder'?"));
  EXPECT_THAT(error_of("json_file", {"foldr=x"}), HasSubstr("foldr=x"));
  EXPECT_THAT(error_of("json_file", {"password=hunter2"}),
              testing::AllOf(HasSubstr("password=***"), testing::Not(HasSubstr("hunter2"))));
  EXPECT_THAT(error_of("json_file", {"gzip=perhaps"}), HasSubstr("gzip=perhaps: expects true or false"));
  EXPECT_THAT(error_of("json_file", {"queue.policy=blok"}),
              testing::AllOf(HasSubstr("queue.policy=blok"), HasSubstr("one of: auto, block"),
                             HasSubstr("did you mean 'block'?")));
  EXPECT_THAT(error_of("json_file", {"queue.size=3"}), HasSubstr("queue.records, queue.bytes"));
  EXPECT_THAT(error_of("json_file", {"rotate_records=-1"}), HasSubstr("rotate_records=-1"));
  EXPECT_THAT(error_of("json_file", {"folder"}), HasSubstr("key=value"));
  EXPECT_THAT(error_of("json_fil", {}), HasSubstr("did you mean 'json_file'?"));
  for (const auto& word : {"gzip=perhaps", "queue.policy=blok", "x=y"})
    EXPECT_THAT(error_of("json_file", {word}), Not(HasSubstr("\n")));
}

TEST(AdapterOptions, HelpShowsOptionsWithTheirDefaults) {
  const std::string help = sink_help("json_file");
  EXPECT_THAT(help, HasSubstr("folder=TEXT"));
  EXPECT_THAT(help, HasSubstr("batch.count=NUMBER"));
  EXPECT_THAT(help, HasSubstr("queue.policy="));
  EXPECT_THAT(sink_list(), HasSubstr("json_file"));
  EXPECT_THAT(source_list(), HasSubstr("zeromq"));
}

}  // namespace
}  // namespace sightglass::cli
