// The codec itself, without our messages: schemas, fingerprints, resolution.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "sightglass/core/allocation_count.h"
#include "sightglass/stream/avro/resolution.h"

namespace sightglass::stream::avro {
namespace {

Schema parse(std::string_view text) {
  auto schema = Schema::parse(text, Defaults::keep);
  EXPECT_TRUE(schema) << text << ": " << schema.error().message;
  return std::move(*schema);
}

std::vector<uint8_t> bytes(auto&& write) {
  std::vector<uint8_t> data;
  BinaryWriter out(data);
  write(out);
  return data;
}

// What the reader's schema sees of a datum of the writer's; nothing where it cannot be read.
std::optional<std::vector<uint8_t>> converted(std::string_view writer, std::string_view reader, Bytes datum) {
  auto plan = Resolution::make(parse(writer), parse(reader));
  EXPECT_TRUE(plan) << plan.error().message;
  std::vector<uint8_t> out;
  if (!plan || !plan->convert(datum, {}, out)) return std::nullopt;
  return out;
}

std::string record(std::string_view fields, std::string_view more = "") {
  return std::format(R"({{"type":"record","name":"R","fields":[{}]{}}})", fields, more);
}

// Vectors of the specification (schema-tests.txt).
TEST(Fingerprint, IsThatOfTheSpecification) {
  const std::map<std::string, int64_t> vectors = {
      {R"("null")", 7195948357588979594},
      {R"({"type":"boolean"})", -6970731678124411036},
      {R"("int")", 8247732601305521295},
      {R"("long")", -3434872931120570953},
      {R"("float")", 5583340709985441680},
      {R"("double")", -8181574048448539266},
      {R"("bytes")", 5746618253357095269},
      {R"("string")", -8142146995180207161},
      {R"([ "int"  ])", -5232228896498058493},
      {R"([ "int" , {"type":"boolean"} ])", 5392556393470105090},
      {R"({"fields":[], "type":"record", "name":"foo"})", -4824392279771201922},
      {R"({"fields":[], "type":"record", "name":"foo", "namespace":"x.y"})", 5916914534497305771},
      {R"({"fields":[], "type":"record", "name":"a.b.foo", "namespace":"x.y"})", -4616218487480524110},
      {R"({"fields":[], "type":"record", "name":"foo", "doc":"Useful info"})", -4824392279771201922},
      {R"({"fields":[], "type":"record", "name":"foo", "aliases":["foo","bar"]})", -4824392279771201922},
      {R"({"fields":[{"type":{"type":"boolean"}, "name":"f1"}], "type":"record", "name":"foo"})",
       7843277075252814651},
      {R"({"type":"enum", "name":"foo", "symbols":["A1"]})", -6342190197741309591},
      {R"({"namespace":"x.y.z", "type":"enum", "name":"foo", "doc":"foo bar", "symbols":["A1", "A2"]})",
       -4448647247586288245},
      {R"({"name":"foo","type":"fixed","size":15})", 1756455273707447556},
      {R"({"namespace":"x.y.z", "type":"fixed", "name":"foo", "doc":"foo bar", "size":32})",
       -3064184465700546786},
      {R"({ "items":{"type":"null"}, "type":"array"})", -589620603366471059},
      {R"({ "values":"string", "type":"map"})", -8732877298790414990},
      {R"({"name":"PigValue","type":"record","fields":[{"name":"value","type":["null","int","long","PigValue"]}]})",
       -1759257747318642341},
  };
  for (const auto& [text, expected] : vectors) {
    EXPECT_EQ(int64_t(fingerprint(parse(text).canonical_form())), expected) << parse(text).canonical_form();
  }
}

TEST(CanonicalForm, StripsAndOrders) {
  EXPECT_EQ(
      parse(R"({"fields":[{"default":1,"type":{"type":"int","logicalType":"date"},"name":"a","doc":"x"},
                     {"name":"b","type":{"type":"enum","name":"E","symbols":["X"],"default":"X"}},{"name":"c","type":"E"}],
                     "doc":"x","namespace":"n","name":"R","type":"record"})")
          .canonical_form(),
      R"({"name":"n.R","type":"record","fields":[{"name":"a","type":"int"},{"name":"b","type":{"name":"n.E",)"
      R"("type":"enum","symbols":["X"]}},{"name":"c","type":"n.E"}]})");
}

TEST(Schema, RefusesNonsense) {
  for (const char* text : {
           "",
           "nonsense",
           "1",
           "\"nothing\"",
           "[]",
           R"(["int","int"])",
           R"([["int"]])",
           R"({"type":"array"})",
           R"({"type":"map"})",
           R"({"type":"record","name":"R"})",
           R"({"type":"record","fields":[]})",
           R"({"type":"record","name":"R","fields":[{"name":"a"}]})",
           R"({"type":"record","name":"R-","fields":[]})",
           R"({"type":"record","name":"int","fields":[]})",
           R"({"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]})",
           R"({"type":"enum","name":"E","symbols":[]})",
           R"({"type":"enum","name":"E","symbols":["A","A"]})",
           R"({"type":"enum","name":"E","symbols":["A"],"default":"B"})",
           R"({"type":"fixed","name":"F"})",
           R"({"type":"fixed","name":"F","size":-1})",
           R"({"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]})",
           R"({"type":"record","name":"R","fields":[{"name":"a","type":["null","int"],"default":1}]})",
       }) {
    EXPECT_FALSE(Schema::parse(text, Defaults::keep)) << text;
  }
}

TEST(Resolution, PromotesNumbersAndTexts) {
  const auto number = bytes([](BinaryWriter& out) { out.write_long(-3); });
  EXPECT_EQ(converted(R"("int")", R"("long")", number), number);
  EXPECT_EQ(converted(R"("int")", R"("float")", number),
            bytes([](BinaryWriter& out) { out.write_float(-3); }));
  EXPECT_EQ(converted(R"("long")", R"("double")", number),
            bytes([](BinaryWriter& out) { out.write_double(-3); }));
  EXPECT_EQ(converted(R"("float")", R"("double")", bytes([](BinaryWriter& out) { out.write_float(0.5f); })),
            bytes([](BinaryWriter& out) { out.write_double(0.5); }));
  const auto text = bytes([](BinaryWriter& out) { out.write_string("abc"); });
  EXPECT_EQ(converted(R"("string")", R"("bytes")", text), text);
  EXPECT_EQ(converted(R"("bytes")", R"("string")", text), text);
}

TEST(Resolution, RefusesWhatIsNoPromotion) {
  for (const auto& [writer, reader] : std::map<std::string, std::string>{
           {R"("long")", R"("int")"},
           {R"("double")", R"("float")"},
           {R"("string")", R"("int")"},
           {R"({"type":"fixed","name":"F","size":2})", R"({"type":"fixed","name":"F","size":3})"},
           {R"({"type":"fixed","name":"F","size":3})", R"({"type":"fixed","name":"G","size":3})"},
           {R"({"type":"array","items":"string"})", R"({"type":"array","items":"int"})"},
           {R"(["null","string"])", R"(["int","boolean"])"},
           {record(""), record(R"({"name":"a","type":"int"})")},
       }) {
    const auto plan = Resolution::make(parse(writer), parse(reader));
    EXPECT_FALSE(plan) << writer << " → " << reader;
  }
  const auto plan = Resolution::make(parse(record("")), parse(record(R"({"name":"a","type":"int"})")));
  EXPECT_EQ(plan.error().message, "schema: a is missing and has no default");
}

TEST(Resolution, MatchesFieldsByNameWhateverTheirOrder) {
  const std::string writer =
      record(R"({"name":"a","type":"int"},{"name":"gone","type":{"type":"map","values":"string"}},)"
             R"({"name":"b","type":"string"},{"name":"c","type":"boolean"})");
  const std::string reader =
      record(R"({"name":"c","type":"boolean"},{"name":"new","type":"string","default":"x"},)"
             R"({"name":"a","type":"long"},{"name":"b","type":"string"})");
  const auto datum = bytes([](BinaryWriter& out) {
    out.write_long(7);
    out.write_long(-1);  // a map of one entry with the size of its block
    out.write_long(4);
    out.write_string("k");
    out.write_string("v");
    out.write_long(0);
    out.write_string("text");
    out.write_boolean(true);
  });
  EXPECT_EQ(converted(writer, reader, datum), bytes([](BinaryWriter& out) {
              out.write_boolean(true);
              out.write_string("x");
              out.write_long(7);
              out.write_string("text");
            }));
}

TEST(Resolution, FillsInDefaultsOfEveryKind) {
  const std::string reader = record(
      R"({"name":"a","type":"double","default":1},{"name":"b","type":"bytes","default":"\u00ff\u0001"},)"
      R"({"name":"c","type":{"type":"enum","name":"E","symbols":["X","Y"]},"default":"Y"},)"
      R"({"name":"d","type":{"type":"array","items":"int"},"default":[1,2]},)"
      R"({"name":"e","type":["null","int"],"default":null},{"name":"f","type":{"type":"map","values":"int"},"default":{"k":1}},)"
      R"({"name":"g","type":{"type":"record","name":"S","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":5}]},"default":{"x":4}},)"
      R"({"name":"h","type":{"type":"fixed","name":"F","size":2},"default":"\u0000a"},{"name":"i","type":"float","default":-1.5})");
  EXPECT_EQ(converted(record(""), reader, {}), bytes([](BinaryWriter& out) {
              out.write_double(1);
              out.write_sized(std::vector<uint8_t>{255, 1});
              out.write_long(1);
              for (const int i : {2, 1, 2, 0}) out.write_long(i);
              out.write_long(0);
              out.write_long(1);
              out.write_string("k");
              for (const int i : {1, 0}) out.write_long(i);
              for (const int i : {4, 5}) out.write_long(i);
              out.write(std::vector<uint8_t>{0, 'a'});
              out.write_float(-1.5);
            }));
}

TEST(Resolution, FollowsAliases) {
  const std::string writer =
      record(R"({"name":"old","type":{"type":"record","name":"Old","fields":[{"name":"x","type":"int"}]}})");
  const std::string reader = record(
      R"({"name":"new","aliases":["older","old"],"type":{"type":"record","name":"New","aliases":["Old"],"fields":[{"name":"x","type":"int"}]}})");
  const auto datum = bytes([](BinaryWriter& out) { out.write_long(9); });
  EXPECT_EQ(converted(writer, reader, datum), datum);
}

TEST(Resolution, ReadsUnknownSymbolsAsTheDefault) {
  const std::string writer = R"({"type":"enum","name":"E","symbols":["A","B","C"]})";
  const auto symbol = [](int64_t i) { return bytes([=](BinaryWriter& out) { out.write_long(i); }); };
  EXPECT_EQ(converted(writer, R"({"type":"enum","name":"E","symbols":["C","A"],"default":"A"})", symbol(1)),
            symbol(1));
  EXPECT_EQ(converted(writer, R"({"type":"enum","name":"E","symbols":["C","A"],"default":"A"})", symbol(2)),
            symbol(0));
  EXPECT_EQ(converted(writer, R"({"type":"enum","name":"E","symbols":["C","A"]})", symbol(1)), std::nullopt);
  EXPECT_EQ(converted(writer, writer, symbol(3)), std::nullopt);
}

TEST(Resolution, GoesThroughUnionsBranchByBranch) {
  const auto value = [](int64_t branch, auto&& write) {
    return bytes([&](BinaryWriter& out) {
      out.write_long(branch);
      write(out);
    });
  };
  const auto three = [](BinaryWriter& out) { out.write_long(3); };
  const auto nothing = [](BinaryWriter&) {};
  EXPECT_EQ(converted(R"("int")", R"(["null","int"])", bytes(three)), value(1, three));
  EXPECT_EQ(converted(R"(["null","int"])", R"("int")", value(1, three)), bytes(three));
  EXPECT_EQ(converted(R"(["null","int"])", R"("int")", value(0, nothing)), std::nullopt);
  EXPECT_EQ(converted(R"(["int","string","null"])", R"(["null","string","long"])", value(0, three)),
            value(2, three));
  EXPECT_EQ(converted(R"(["int","string"])", R"(["string","double","int"])", value(0, three)),
            value(2, three));
  EXPECT_EQ(converted(R"(["null","string"])", R"(["null","int"])", value(0, nothing)), value(0, nothing));
  EXPECT_EQ(converted(R"(["null","string"])", R"(["null","int"])", value(1, three)), std::nullopt);
}

TEST(Resolution, ReadsTypesThatHoldThemselves) {
  const std::string list = record(R"({"name":"v","type":"int"},{"name":"next","type":["null","R"]})");
  const auto datum = bytes([](BinaryWriter& out) {
    for (const int i : {1, 1, 2, 1, 3, 0}) out.write_long(i);
  });
  EXPECT_EQ(converted(list, list, datum), datum);
  // Far deeper than any sensible value.
  const auto deep = bytes([](BinaryWriter& out) {
    for (int i = 0; i < 100'000; ++i) out.write_long(1);
    out.write_long(0);
  });
  EXPECT_EQ(converted(list, list, deep), std::nullopt);
  EXPECT_EQ(converted(record(R"({"name":"gone","type":["null","R"]})"), record(""), deep), std::nullopt);
}

TEST(Resolution, BoundsWhatNothingCosts) {
  // Items without bytes: as many as the limit of an array may be claimed, of 200 fields each.
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += std::format(R"({}{{"name":"f{}","type":"null"}})", i ? "," : "", i);
  const std::string empty = std::format(R"({{"type":"record","name":"Empty","fields":[{}]}})", fields);
  const std::string writer =
      record(std::format(R"({{"name":"a","type":{{"type":"array","items":{}}}}})", empty));
  const auto datum = bytes([](BinaryWriter& out) {
    out.write_long(65'536);
    out.write_long(0);
  });
  EXPECT_EQ(converted(writer, record(""), datum), std::nullopt);
  EXPECT_EQ(converted(writer, writer, datum), std::nullopt);
  // And defaults that make much of little.
  const std::string few = R"({"type":"record","name":"Empty","fields":[]})";
  const std::string much = std::format(
      R"({{"type":"record","name":"Empty","fields":[{{"name":"x","type":"string","default":"{}"}}]}})",
      std::string(2000, 'x'));
  EXPECT_EQ(converted(std::format(R"({{"type":"array","items":{}}})", few),
                      std::format(R"({{"type":"array","items":{}}})", much), datum),
            std::nullopt);
}

TEST(Resolution, RefusesDamagedData) {
  const std::string writer =
      record(R"({"name":"a","type":{"type":"array","items":"string"}},{"name":"b","type":"boolean"})");
  const auto datum = bytes([](BinaryWriter& out) {
    out.write_long(2);
    out.write_string("one");
    out.write_string("two");
    out.write_long(0);
    out.write_boolean(true);
  });
  EXPECT_EQ(converted(writer, writer, datum), datum);
  for (size_t size = 0; size < datum.size(); ++size) {
    EXPECT_EQ(converted(writer, writer, Bytes(datum).first(size)), std::nullopt) << size;
  }
  auto longer = datum;
  longer.push_back(0);
  EXPECT_EQ(converted(writer, writer, longer), std::nullopt);
}

TEST(Resolution, DoesNotAllocateOnceWarm) {
  const std::string writer = record(R"({"name":"a","type":"int"},{"name":"b","type":"string"})");
  const std::string reader = record(R"({"name":"b","type":"string"},{"name":"a","type":"long"})");
  const auto plan = Resolution::make(parse(writer), parse(reader));
  const auto datum = bytes([](BinaryWriter& out) {
    out.write_long(1);
    out.write_string("text");
  });
  std::vector<uint8_t> out;
  for (int i = 0; i < 2; ++i) plan->convert(datum, {}, out);
  const size_t before = allocation_count();
  EXPECT_TRUE(plan->convert(datum, {}, out));
  EXPECT_EQ(allocation_count(), before);
}

TEST(SingleObject, HasMarkerAndFingerprint) {
  std::vector<uint8_t> out;
  write_header(0x0123456789abcdef, out);
  EXPECT_EQ(out, (std::vector<uint8_t>{0xc3, 0x01, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01}));
  EXPECT_EQ(read_header(out), 0x0123456789abcdef);
  EXPECT_EQ(read_header(Bytes(out).first(9)), std::nullopt);
  out[1] = 2;
  EXPECT_EQ(read_header(out), std::nullopt);
}

TEST(Utf8, IsCheckedInFull) {
  const auto valid = [](std::string_view text) {
    return is_utf8({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  for (const std::string_view text :
       {"", "plain text of more than eight", "ü", "漢字", "🎥", "12345678\xef\xbf\xbd"}) {
    EXPECT_TRUE(valid(text)) << text;
  }
  for (const std::string_view text : {"\x80", "\xc3", "12345678\xc3", "\xc0\xaf", "\xe0\x80\xaf",
                                      "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_FALSE(valid(text));
  }
}

}  // namespace
}  // namespace sightglass::stream::avro
