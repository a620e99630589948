#include "sightglass/cli/adapter_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <format>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/units.h"

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

TEST(AdapterOptions, WholeNumberIsAFraction) {
  for (const char* word : {"rate=5", "rate=5/1"}) {
    const std::vector<std::string> words = {"location=a.jpg", word};
    const auto params = source_params(*adapters::find_source("image_file"), words);
    ASSERT_TRUE(params) << params.error().message;
    EXPECT_EQ(std::get<Fraction>(*(*params)->get("rate")), (Fraction{5, 1})) << word;
  }
  for (const char* word : {"rate=29.97", "rate=fast", "rate=-1"}) {
    const std::vector<std::string> words = {"location=a.jpg", word};
    const auto params = source_params(*adapters::find_source("image_file"), words);
    ASSERT_FALSE(params) << word;
    EXPECT_THAT(params.error().message, HasSubstr(std::string(word) + ": expects a fraction such as 30/1"));
  }
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

// Every option of every adapter with values that it may not have: words, wrong ones, too small, too large.
struct Bad {
  std::string value;
  std::vector<std::string> allowed;  // of which the error has to tell: all, of a|b one
};

// As a number, and as people write times and sizes.
std::string limit(const ParamDesc& param, double value) {
  std::string text = std::abs(value) < 1e15 && value == std::trunc(value) ? std::format("{:.0f}", value)
                                                                          : std::format("{}", value);
  const double unit = param.unit == "s" ? 1e9 : param.unit == "ms" ? 1e6 : 0;
  if (unit > 0 && value * unit < 9e18) text += "|" + module::duration_text(std::llround(value * unit));
  if (param.unit == "bytes") text += "|" + module::size_text(uint64_t(value));
  return text;
}

std::vector<Bad> bad_values(const ParamDesc& param) {
  switch (param.type) {
    case ParamType::boolean:
      return {{"perhaps", {"true", "false"}}, {"7", {"true", "false"}}};
    case ParamType::choice:
      return {{"no-such-choice", param.choice_names}};
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
    case ParamType::number32:
    case ParamType::number: {
      std::vector<Bad> bad{{"many", {}}, {"1,2,x", {}}};
      const bool is_whole = param.type != ParamType::number && param.type != ParamType::number32;
      if (is_whole && param.unit.empty()) bad.push_back({"1.5", {}});
      if (param.min > -1e15) bad.push_back({std::format("{}", param.min - 1), {limit(param, param.min)}});
      if (param.max < 1e15) bad.push_back({std::format("{:.0f}", param.max + 1), {limit(param, param.max)}});
      return bad;
    }
    case ParamType::fraction:
      return {{"often", {}}, {"1/0", {}}};
    default:
      return {};
  }
}

template <class Entry, class Desc>
size_t expect_errors(const Desc& desc, const Entry& entry) {
  size_t count = 0;
  const auto expect = [&](const std::string& word, const std::string& value,
                          const std::vector<std::string>& allowed) {
    SCOPED_TRACE(desc.name + " " + word);
    ++count;
    const std::vector<std::string> words{word};
    const auto made = entry(desc.name, words);
    ASSERT_FALSE(made);
    const std::string& message = made.error().message;
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    EXPECT_THAT(message, testing::StartsWith(desc.name + ": "));
    EXPECT_THAT(message, HasSubstr("=" + value));
    for (const std::string& each : allowed) {
      const size_t bar = each.find('|');
      EXPECT_THAT(message, testing::AnyOf(HasSubstr(each.substr(0, bar)), HasSubstr(each.substr(bar + 1))));
    }
  };
  for (const ParamDesc& param : desc.params.params) {
    std::string name = param.name;
    for (const Bad& bad : bad_values(param)) expect(name + "=" + bad.value, bad.value, bad.allowed);
  }
  std::string first = desc.params.params.front().name;
  std::ranges::replace(first, '-', '_');
  expect("no-such-option=some", "some", {first.substr(0, first.find('_'))});
  return count;
}

TEST(AdapterOptions, EveryOptionOfEveryAdapterTellsInOneLineWhatItMayBe) {
  size_t count = 0;
  for (const adapters::SinkDesc* desc : adapters::all_sinks())
    count +=
        expect_errors(*desc, [](const auto& type, const auto& words) { return sink_entry(type, words); });
  for (const adapters::SourceDesc* desc : adapters::all_sources())
    count +=
        expect_errors(*desc, [](const auto& type, const auto& words) { return source_entry(type, words); });
  EXPECT_GT(count, 200u);
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
