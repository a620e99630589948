#include "sightglass/module/yaml_reader.h"

#include <gmock/gmock.h>

#include <chrono>

#include "sightglass/module/worked_example.h"

namespace sightglass::module {
namespace {

using testing::HasSubstr;

std::string json(std::string_view text) {
  Diagnostics found;
  const Value value = read_yaml(text, "a.yml", found);
  return found.has_errors() ? found.to_string() : value.to_json();
}

TEST(YamlReader, ReadsTheCoreSchema) {
  EXPECT_EQ(json("a: on\nb: no\nc: yes\nd: true\ne: False\nf: ~\ng: null\nh:\n"),
            R"({"a":"on","b":"no","c":"yes","d":true,"e":false,"f":null,"g":null,"h":null})");
  EXPECT_EQ(json("[0x1F, 0o17, 017, +5, -3, 1e3, .5, 5., 1_000, 0b1, 12:30:45]"),
            R"([31,15,17,5,-3,1000.0,0.5,5.0,"1_000","0b1","12:30:45"])");
  EXPECT_EQ(json("[\"1\", '2', 1.2.3, 0x, -, 'true', 2026-01-01]"),
            R"(["1","2","1.2.3","0x","-","true","2026-01-01"])");
  EXPECT_EQ(json("1: {true: x}"), R"({"1":{"true":"x"}})");
  EXPECT_EQ(json("a: |\n  two\n  lines\nb: >-\n  folded\n  text\n"),
            R"({"a":"two\nlines\n","b":"folded text"})");
  EXPECT_EQ(json(""), "null");
  EXPECT_EQ(json("# nothing\n"), "null");
}

TEST(YamlReader, KnowsWhereEverythingStands) {
  Diagnostics found;
  const Value value = read_yaml("a:\n  bé: [x,\n    {c: 1}]\n", "a.yml", found);
  const Value* list = value.find("a")->find("bé");
  ASSERT_TRUE(list);
  EXPECT_EQ(value.find("a")->key_origin.to_string(), "a.yml:1:1");
  EXPECT_EQ(list->key_origin.to_string(), "a.yml:2:3");
  EXPECT_EQ(list->origin.to_string(), "a.yml:2:7");  // in characters, not bytes
  EXPECT_EQ((*list->items())[1].find("c")->origin.to_string(), "a.yml:3:9");
}

TEST(YamlReader, RefusesRepeatedKeys) {
  EXPECT_EQ(json("a:\n  b: 1\n  c: 2\n  b: 3\n"),
            "a.yml:4:3: a.b: the key 'b' is there twice, first in line 2\n");
  EXPECT_EQ(json("{x: [{a: 1, \"a\": 2}]}"),
            "a.yml:1:13: x[0].a: the key 'a' is there twice, first in line 1\n");
}

TEST(YamlReader, RefusesWhatIsNoPlainData) {
  EXPECT_THAT(json("a: !!str 1"), HasSubstr("a.yml:1:4: tags are not used"));
  EXPECT_THAT(json("a: !python/object:os.system {}"), HasSubstr("tags are not used"));
  EXPECT_THAT(json("a: ! 1"), HasSubstr("tags are not used"));
  EXPECT_THAT(json("? [a]\n: 1"), HasSubstr("a list or a map as a key"));
  EXPECT_THAT(json("{: 1}"), HasSubstr("a key is missing"));
  EXPECT_THAT(json("a: &x k\n*x : 1"), HasSubstr("an alias as a key"));
  EXPECT_THAT(json("a: .nan"), HasSubstr("numbers have to be finite"));
  EXPECT_THAT(json("a: -.inf"), HasSubstr("numbers have to be finite"));
  EXPECT_THAT(json("a: 99999999999999999999"), HasSubstr("too large a number"));
  EXPECT_THAT(json("a: 1e999"), HasSubstr("beyond the range"));
  EXPECT_THAT(json("a: 1\n---\nb: 2\n"), HasSubstr("a second document"));
  EXPECT_THAT(json("a: [1"), HasSubstr("no valid YAML"));
  EXPECT_THAT(json("a: b: c"), HasSubstr("a.yml:1:"));
  EXPECT_THAT(json("a: *nobody"), HasSubstr("a.yml:1:4"));
}

TEST(YamlReader, RefusesBytesThatAreNoText) {
  EXPECT_THAT(json(std::string_view("a: \0b", 5)), HasSubstr("a.yml:1:4: a control character (U+0000)"));
  EXPECT_THAT(json("a: \"\\0\""), HasSubstr("NUL"));
  EXPECT_THAT(json("ok: 1\na: \xff\xfe"), HasSubstr("a.yml:2:4: bytes that are no UTF-8"));
  EXPECT_THAT(json("a: \xc0\x80"), HasSubstr("no UTF-8"));
  EXPECT_THAT(json("a: \xed\xa0\x80"), HasSubstr("no UTF-8"));
  EXPECT_THAT(json(std::string_view("\xff\xfe"
                                    "a\0:\0",
                                    6)),
              HasSubstr("no UTF-8"));  // UTF-16
  EXPECT_THAT(json("a: \x1b[31m"), HasSubstr("U+001B"));
  EXPECT_EQ(json("\xef\xbb\xbf"
                 "a: 1"),
            R"({"a":1})");
  EXPECT_EQ(json("a: 1\r\nb: 2\r\n"), R"({"a":1,"b":2})");
}

TEST(YamlReader, AliasesStandForTheirAnchors) {
  EXPECT_EQ(json("a: &x {k: [1, 2]}\nb: *x\nc: [*x]\n"),
            R"({"a":{"k":[1,2]},"b":{"k":[1,2]},"c":[{"k":[1,2]}]})");
  EXPECT_THAT(json("a: &x [*x]"), HasSubstr("an alias of what it is part of"));
  // No merging: the key is as unknown as any other.
  EXPECT_EQ(json("a: &x {k: 1}\nb: {<<: *x}\n"), R"({"a":{"k":1},"b":{"<<":{"k":1}}})");
}

TEST(YamlReader, CountsAliasesBeforeItExpandsThem) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    text += std::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) text += std::format("{}*a{}", j ? ", " : "", i - 1);
    text += "]\n";
  }
  EXPECT_THAT(json(text), HasSubstr("more than 10000 values"));
  // One long text many times.
  std::string long_text = "a: &a " + std::string(500'000, 'x') + "\nb: [";
  for (int i = 0; i < 5000; ++i) long_text += "*a,";
  long_text += "]\n";
  EXPECT_THAT(json(long_text), HasSubstr("bytes of text"));
}

TEST(YamlReader, KeepsToItsLimits) {
  EXPECT_EQ(json(std::string(32, '[') + std::string(32, ']')), std::string(32, '[') + std::string(32, ']'));
  EXPECT_THAT(json(std::string(33, '[') + std::string(33, ']')), HasSubstr("deeper than 32 levels"));
  EXPECT_THAT(json(std::string(900'000, '[')), HasSubstr("a.yml:1:"));
  EXPECT_THAT(json(std::string(900'000, '{')), HasSubstr("a.yml:"));
  std::string blocks;
  for (int i = 0; i < 40; ++i) blocks += std::string(size_t(i) * 2, ' ') + "a:\n";
  EXPECT_THAT(json(blocks), HasSubstr("deeper than 32 levels"));
  std::string dashes;
  for (int i = 0; i < 1000; ++i) dashes += "- ";
  EXPECT_THAT(json(dashes), HasSubstr("deeper than 32 levels"));
  // By way of an alias.
  std::string alias = "a: &a ";
  for (int i = 0; i < 20; ++i) alias += "[";
  for (int i = 0; i < 20; ++i) alias += "]";
  alias += "\nb: ";
  for (int i = 0; i < 20; ++i) alias += "[";
  alias += "*a";
  for (int i = 0; i < 20; ++i) alias += "]";
  EXPECT_THAT(json(alias), HasSubstr("deeper than 32 levels"));
  EXPECT_THAT(json("a: " + std::string(2 << 20, 'x')), HasSubstr("larger than 1048576 bytes"));
  std::string many = "[";
  for (int i = 0; i < 11'000; ++i) many += "1,";
  EXPECT_THAT(json(many + "]"), HasSubstr("more than 10000 values"));
}

TEST(YamlReader, IncludedFilesShareTheLimits) {
  TestFolder folder;
  std::string list = "[";
  for (int i = 0; i < 6000; ++i) list += "1,";
  folder.write("one.yml", "a: " + list + "]\n");
  folder.write("two.yml", "b: " + list + "]\n");
  Diagnostics found;
  read_yaml_with_includes("include: [one.yml, two.yml]\n", "m.yml", folder.path(), found);
  EXPECT_THAT(found.to_string(), HasSubstr("more than 10000 values"));
  // A tree of files, each including two.
  for (int i = 0; i < 20; ++i)
    folder.write(std::format("t{}.yml", i), std::format("include: [t{0}.yml, t{0}.yml]\n", i + 1));
  folder.write("t20.yml", "x: 1\n");
  Diagnostics many;
  read_yaml_with_includes("include: t0.yml\n", "m.yml", folder.path(), many);
  EXPECT_THAT(many.to_string(), HasSubstr("more than 64 included files"));
}

TEST(YamlReader, MergesMapsAndReplacesTheRest) {
  TestFolder folder;
  folder.write("sub/base.yml", "include: deeper.yml\na: {x: 1, y: [1, 2]}\nb: 1\n");
  folder.write("sub/deeper.yml", "a: {x: 0, z: 9}\n");
  Diagnostics found;
  const Value value =
      read_yaml_with_includes("include: [sub/base.yml]\na: {y: [3]}\n", "m.yml", folder.path(), found);
  EXPECT_FALSE(found.has_errors()) << found.to_string();
  EXPECT_EQ(value.to_json(), R"({"a":{"x":1,"z":9,"y":[3]},"b":1})");
  EXPECT_EQ(value.find("b")->origin.to_string(), (folder.path() / "sub/base.yml").string() + ":3:4");
}

TEST(JsonValue, IsReadWithLimits) {
  EXPECT_EQ(value_from_json_or_null(R"({"a":[1,2.5,"x",true,null]})").to_json(),
            R"({"a":[1,2.5,"x",true,null]})");
  EXPECT_TRUE(value_from_json_or_null(std::string(100, '[')).is_null());
  EXPECT_TRUE(value_from_json_or_null(std::string(33, '[') + std::string(33, ']')).is_null());
  EXPECT_FALSE(value_from_json_or_null(std::string(32, '[') + std::string(32, ']')).is_null());
  EXPECT_TRUE(value_from_json_or_null("{\"a\":1,\"a\":2}").is_null());
  EXPECT_TRUE(value_from_json_or_null("{\"a\":1").is_null());
  EXPECT_TRUE(value_from_json_or_null("\"" + std::string(2 << 20, 'x') + "\"").is_null());
  EXPECT_EQ(value_from_json_or_null("5.0").to_json(), "5.0");
  EXPECT_EQ(value_from_json_or_null("18446744073709551615").type_name(), "a number");
}

}  // namespace
}  // namespace sightglass::module
