#include "sightglass/core/json_writer.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>
#include <vector>

#include "sightglass/core/utf8.h"

namespace sightglass {
namespace {

template <class T>
std::string written(const T& value) {
  std::string text;
  JsonWriter(text).value(value);
  return text;
}

TEST(JsonWriter, NestsAndSeparates) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.field("a", 1);
  json.key("b");
  json.begin_array();
  json.value(0.25f);
  json.begin_object();
  json.end_object();
  json.value(true);
  json.value(nullptr);
  json.end_array();
  json.field("c", "x");
  json.key("raw");
  json.raw("[1]");
  json.end_object();
  EXPECT_EQ(text, R"({"a":1,"b":[0.25,{},true,null],"c":"x","raw":[1]})");
}

TEST(JsonWriter, Indents) {
  std::string text;
  JsonWriter json(text, 2);
  json.begin_object();
  json.key("a");
  json.begin_array();
  json.value(1);
  json.value(2);
  json.end_array();
  json.key("b");
  json.begin_object();
  json.end_object();
  json.end_object();
  EXPECT_EQ(text, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

TEST(JsonWriter, EscapesText) {
  EXPECT_EQ(written("a\"b\\c\n\t\x01"), R"("a\"b\\c\n\t\u0001")");
  EXPECT_EQ(written("浙B2V9L7 é"), "\"浙B2V9L7 é\"");
  EXPECT_EQ(written(std::string_view("\0x", 2)), "\"\\u0000x\"");
}

TEST(JsonWriter, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(written("a\xff"
                    "b"),
            "\"a\uFFFDb\"");
  EXPECT_EQ(written("\xe6\xb5"), "\"\uFFFD\uFFFD\"");            // cut off
  EXPECT_EQ(written("\xc0\xaf"), "\"\uFFFD\uFFFD\"");            // overlong
  EXPECT_EQ(written("\xed\xa0\x80"), "\"\uFFFD\uFFFD\uFFFD\"");  // surrogate
  EXPECT_EQ(written("\xf4\x90\x80\x80"), "\"\uFFFD\uFFFD\uFFFD\uFFFD\"");
}

TEST(JsonWriter, WritesTheShortestNumberThatReadsBack) {
  EXPECT_EQ(written(0.1f), "0.1");
  EXPECT_EQ(written(0.1), "0.1");
  EXPECT_EQ(written(1.0f), "1");
  EXPECT_EQ(written(-0.91f), "-0.91");
  EXPECT_EQ(written(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(written(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
}

TEST(JsonWriter, WhatIsNotFiniteIsNull) {
  EXPECT_EQ(written(NAN), "null");
  EXPECT_EQ(written(INFINITY), "null");
  EXPECT_EQ(written(-double(INFINITY)), "null");
}

TEST(JsonWriter, DoesNotCareAboutTheLocale) {
  if (!std::setlocale(LC_ALL, "de_DE.UTF-8")) std::setlocale(LC_ALL, "");
  EXPECT_EQ(written(1234.5), "1234.5");
  std::setlocale(LC_ALL, "C");
}

TEST(Utf8, ReadsCharactersOfEveryLength) {
  std::string_view text = "aé浙😀";
  std::vector<char32_t> characters;
  while (!text.empty()) characters.push_back(next_character(text));
  EXPECT_EQ(characters, (std::vector<char32_t>{U'a', U'é', U'浙', U'😀'}));
}

}  // namespace
}  // namespace sightglass
