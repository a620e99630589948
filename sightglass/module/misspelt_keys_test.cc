// F-17: a key that is misspelt is an error, at its line, with what was meant.
#include <gtest/gtest.h>

#include <cstdlib>
#include <format>
#include <random>
#include <set>

#include "sightglass/module/module_file.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/module/worked_example.h"
#include "sightglass/module/yaml_reader.h"
#include "tests/long_form.h"

namespace sightglass::module {
namespace {

struct KeyPlace {
  std::string key;
  int line, column;
};

// Keys that the format knows; names that the author has chosen are no mistake however they are spelt.
const std::set<std::string>& chosen_names() {
  static const std::set<std::string> names = {"min_face", "gate", "ignored", "face_rfb", "emotion", "main"};
  return names;
}

void collect(const Value& value, std::vector<KeyPlace>& places) {
  if (const auto* items = value.items())
    for (const Value& item : *items) collect(item, places);
  if (const auto* entries = value.entries())
    for (const auto& [key, content] : *entries) {
      if (!chosen_names().contains(key))
        places.push_back({key, content.key_origin.line, content.key_origin.column});
      collect(content, places);
    }
}

// Every key that may stand anywhere: a mutation must not be one of them.
std::set<std::string> known_keys(const std::vector<KeyPlace>& places) {
  std::set<std::string> keys = {"ge", "gt", "le", "lt", "eq", "ne", "in", "id", "any", "all"};
  for (const auto& place : places) keys.insert(place.key);
  return keys;
}

std::string mutated(const std::string& key, std::mt19937& random) {
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  std::string word = key;
  const auto any = [&](size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random); };
  switch (any(4)) {
    case 0:
      word.erase(any(word.size()), 1);
      break;
    case 1:
      word.insert(any(word.size() + 1), 1, letters[any(letters.size())]);
      break;
    case 2:
      word[any(word.size())] = letters[any(letters.size())];
      break;
    default:
      if (word.size() > 1) {
        const size_t at = any(word.size() - 1);
        std::swap(word[at], word[at + 1]);
      }
  }
  return word;
}

std::string replaced(const std::string& text, const KeyPlace& place, const std::string& word) {
  size_t start = 0;
  for (int line = 1; line < place.line; ++line) start = text.find('\n', start) + 1;
  std::string result = text;
  return result.replace(start + size_t(place.column) - 1, place.key.size(), word);
}

TEST(F17, MisspeltKeysAreRefusedAtTheirLineWithWhatWasMeant) {
  TestFolder folder;
  folder.write_example_files();
  const std::string text = worked_example;
  Diagnostics none;
  const Value tree = read_yaml(text, "gate.yml", none);
  std::vector<KeyPlace> places;
  collect(tree, places);
  ASSERT_GT(places.size(), 100u);
  const auto known = known_keys(places);

  const int wanted = test::long_or(500, 100);
  std::mt19937 random(17);
  int tried = 0, right = 0;
  std::string missed;
  while (tried < wanted) {
    const auto& place = places[std::uniform_int_distribution<size_t>(0, places.size() - 1)(random)];
    const std::string word = mutated(place.key, random);
    // Empty keys, and letters that are no letters of a key, are other mistakes.
    if (word.empty() || word == place.key || known.contains(word) || word.starts_with('.')) continue;
    ++tried;
    const auto loaded = load_module_text(replaced(text, place, word), "gate.yml", folder.path());
    EXPECT_FALSE(loaded) << place.key << " → " << word << " is accepted, line " << place.line;
    bool at_line = false, is_right = false;
    for (const auto& item : loaded.diagnostics.items()) {
      if (item.severity != Severity::error || item.origin.line != place.line) continue;
      at_line = true;
      is_right = is_right || item.suggestion == place.key || item.suggestion.ends_with("." + place.key) ||
                 place.key.ends_with("." + item.suggestion);
    }
    EXPECT_TRUE(at_line) << place.key << " → " << word << " in line " << place.line << ":\n"
                         << loaded.diagnostics.to_string();
    right += is_right;
    if (!is_right) missed += std::format("{} → {}\n", place.key, word);
  }
  EXPECT_GE(right, wanted * 95 / 100) << missed;
  RecordProperty("right_suggestions", right);
}

}  // namespace
}  // namespace sightglass::module
