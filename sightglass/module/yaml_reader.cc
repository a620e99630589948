#include "sightglass/module/yaml_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <format>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "sightglass/core/utf8.h"

namespace sightglass::module {
namespace {

// Ends the parsing of a document; the place is already an Origin.
struct Refused {
  Origin origin;
  std::string message;
};

// What is left of the limits that all files of a description share.
struct Budget {
  size_t nodes, bytes, files;
};

// Turns the parser's marks (0-based, columns in bytes) into origins (1-based, columns in characters).
class Places {
 public:
  Places(std::string_view text, const std::string& file)
      : text_(text), file_(std::make_shared<const std::string>(file)) {
    starts_.push_back(0);
    for (size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') starts_.push_back(i + 1);
  }
  Origin at(const YAML::Mark& mark) const {
    if (mark.line < 0) return {file_, 1, 1};
    const size_t line = std::min(size_t(mark.line), starts_.size() - 1);
    std::string_view before = text_.substr(starts_[line]);
    before = before.substr(0, std::min(before.size(), size_t(std::max(mark.column, 0))));
    const auto characters = std::ranges::count_if(before, [](char c) { return (uint8_t(c) & 0xc0) != 0x80; });
    return {file_, int(line) + 1, int(characters) + 1};
  }
  Origin at_offset(size_t offset) const {
    const auto line = size_t(std::ranges::upper_bound(starts_, offset) - starts_.begin()) - 1;
    YAML::Mark mark;
    mark.line = int(line), mark.column = int(offset - starts_[line]);
    return at(mark);
  }
  char byte(const YAML::Mark& mark) const {
    if (mark.line < 0 || size_t(mark.line) >= starts_.size()) return 0;
    const size_t offset = starts_[size_t(mark.line)] + size_t(std::max(mark.column, 0));
    return offset < text_.size() ? text_[offset] : 0;
  }

 private:
  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  std::vector<size_t> starts_;
};

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_real(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (const size_t e = text.find_first_of("eE"); e != text.npos) {
    std::string_view exponent = text.substr(e + 1);
    if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
    if (!is_digits(exponent)) return false;
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  if (point == text.npos) return is_digits(text);
  const auto whole = text.substr(0, point), part = text.substr(point + 1);
  if (whole.empty()) return is_digits(part);
  return is_digits(whole) && (part.empty() || is_digits(part));
}

// A plain scalar by the core schema; throws for numbers that do not fit.
Value resolve(const std::string& text, const Origin& origin) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  std::string_view digits = text;
  const bool has_sign = digits.starts_with('-') || digits.starts_with('+');
  if (has_sign) digits.remove_prefix(1);
  int base = 10;
  if (!has_sign && digits.starts_with("0x"))
    base = 16, digits.remove_prefix(2);
  else if (!has_sign && digits.starts_with("0o"))
    base = 8, digits.remove_prefix(2);
  if (base != 10 || is_digits(digits)) {
    const std::string signed_digits = (text.starts_with('-') ? "-" : "") + std::string(digits);
    int64_t number = 0;
    const auto* end = signed_digits.data() + signed_digits.size();
    const auto [rest, error] = std::from_chars(signed_digits.data(), end, number, base);
    if (error == std::errc::result_out_of_range)
      throw Refused{origin, std::format("{} is too large a number; put it in quotes if it is a text", text)};
    if (error == std::errc() && rest == end) return number;
    return text;  // 0xyz
  }
  const bool special = digits == ".inf" || digits == ".Inf" || digits == ".INF" || text == ".nan" ||
                       text == ".NaN" || text == ".NAN";
  if (special) throw Refused{origin, std::format("{}: numbers have to be finite", text)};
  if (is_real(text)) {
    const char* start = text.data() + (text.starts_with('+') ? 1 : 0);
    double number = 0;
    const auto [rest, error] = std::from_chars(start, text.data() + text.size(), number);
    if (error == std::errc::result_out_of_range || !std::isfinite(number))
      throw Refused{origin, std::format("{} is beyond the range of numbers", text)};
    return number;
  }
  return text;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(const Places& places, Diagnostics& found, const YamlLimits& limits, Budget& budget)
      : places_(places), found_(found), limits_(limits), budget_(budget) {}

  Value take() { return std::move(root_); }
  bool has_document() const { return has_document_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_document_) throw Refused{places_.at(mark), "a second document; a description is one"};
    has_document_ = true;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, anchor, Value(), true); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    const Origin origin = places_.at(mark);
    refuse_tag(mark, tag, origin);
    if (text.find('\0') != text.npos) throw Refused{origin, "a text with a NUL character"};
    const bool is_key = wants_key();
    scalar(mark, anchor, tag == "?" && !is_key ? resolve(text, origin) : Value(text), false);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Origin origin = places_.at(mark);
    if (wants_key()) throw Refused{origin, "an alias as a key"};
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) throw Refused{origin, "an alias of what it is part of"};
    const Anchored& target = known->second;
    if (open_.size() + target.depth > limits_.depth) throw too_deep(origin);
    // Counted before it is copied.
    count(target.nodes, target.bytes, origin);
    add_counts(target.nodes, target.bytes, target.depth);
    add(target.value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, false);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, true);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Anchored {
    Value value;
    size_t nodes, bytes, depth;
  };
  struct Level {
    bool is_map;
    YAML::anchor_t anchor;
    Value value;
    Value::List items;
    Value::Map entries;
    std::map<std::string, int, std::less<>> lines;  // of the keys so far
    std::optional<std::string> key;
    Origin key_origin;
    bool is_repeated = false;
    size_t nodes = 1, bytes = 0, depth = 1;
  };

  bool wants_key() const { return !open_.empty() && open_.back().is_map && !open_.back().key; }

  Refused too_deep(const Origin& origin) const {
    return {origin, std::format("lists and maps are nested deeper than {} levels", limits_.depth)};
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag, const Origin& origin) const {
    // "?": none; "!": quoted, or the tag "!" itself.
    if ((tag == "?" || tag == "!" || tag.empty()) && places_.byte(mark) != '!') return;
    throw Refused{origin, "tags are not used in descriptions"};
  }

  void count(size_t nodes, size_t bytes, const Origin& origin) {
    if (nodes > budget_.nodes)
      throw Refused{origin, std::format("more than {} values, with aliases counted as what they stand for",
                                        limits_.nodes)};
    if (bytes > budget_.bytes)
      throw Refused{
          origin, std::format("more than {} bytes of text, with aliases counted likewise", limits_.expanded)};
    budget_.nodes -= nodes;
    budget_.bytes -= bytes;
  }
  void add_counts(size_t nodes, size_t bytes, size_t depth) {
    if (open_.empty()) return;
    open_.back().nodes += nodes;
    open_.back().bytes += bytes;
    open_.back().depth = std::max(open_.back().depth, depth + 1);
  }

  void scalar(const YAML::Mark& mark, YAML::anchor_t anchor, Value value, bool is_null) {
    value.origin = places_.at(mark);
    const size_t bytes = value.text() ? value.text()->size() : 0;
    count(1, bytes, value.origin);
    add_counts(1, bytes, 0);
    if (anchor) anchors_[anchor] = {value, 1, bytes, 0};
    if (wants_key()) {
      if (is_null) throw Refused{value.origin, "a key is missing"};
      take_key(*value.text(), value.origin);
    } else {
      add(std::move(value));
    }
  }

  void take_key(const std::string& key, const Origin& origin) {
    Level& level = open_.back();
    level.key = key;
    level.key_origin = origin;
    const auto [first, is_new] = level.lines.emplace(key, origin.line);
    level.is_repeated = !is_new;
    if (!is_new)
      found_.error(origin, path() + key,
                   std::format("the key '{}' is there twice, first in line {}", key, first->second));
  }

  // "pipeline.elements[2]."
  std::string path() const {
    std::string text;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      const Level& level = open_[i];
      if (level.is_map)
        text += (text.empty() ? "" : ".") + level.key.value_or("");
      else
        text += std::format("[{}]", level.items.size());
    }
    return text.empty() ? text : text + '.';
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, bool is_map) {
    const Origin origin = places_.at(mark);
    refuse_tag(mark, tag, origin);
    if (wants_key()) throw Refused{origin, "a list or a map as a key"};
    if (open_.size() >= limits_.depth) throw too_deep(origin);
    count(1, 0, origin);
    Level level{.is_map = is_map, .anchor = anchor};
    level.value.origin = origin;
    open_.push_back(std::move(level));
  }

  void close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    const Origin origin = level.value.origin;
    Value value = level.is_map ? Value::map(std::move(level.entries)) : Value::list(std::move(level.items));
    value.origin = origin;
    add_counts(level.nodes, level.bytes, level.depth);
    if (level.anchor) anchors_[level.anchor] = {value, level.nodes, level.bytes, level.depth};
    add(std::move(value));
  }

  void add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Level& level = open_.back();
    if (!level.is_map) {
      level.items.push_back(std::move(value));
      return;
    }
    value.key_origin = level.key_origin;
    if (!level.is_repeated) level.entries.emplace_back(std::move(*level.key), std::move(value));
    level.key.reset();
  }

  const Places& places_;
  Diagnostics& found_;
  const YamlLimits& limits_;
  Budget& budget_;
  Value root_;
  std::vector<Level> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  bool has_document_ = false;
};

// The parser takes any encoding; we take one.
std::optional<Refused> check_characters(std::string_view text, const Places& places) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t offset = text.size() - rest.size();
    const char first = rest.front();
    const char32_t character = next_character(rest);
    const size_t length = text.size() - offset - rest.size();
    if (character == replacement_character && length == 1)
      return Refused{places.at_offset(offset), "bytes that are no UTF-8"};
    const bool is_control = (character < 0x20 && first != '\t' && first != '\n' && first != '\r') ||
                            (character >= 0x7f && character < 0xa0 && character != 0x85);
    if (is_control)
      return Refused{places.at_offset(offset),
                     std::format("a control character (U+{:04X})", uint32_t(character))};
  }
  return std::nullopt;
}

Value parse(std::string_view text, const std::string& file, Diagnostics& found, const YamlLimits& limits,
            Budget& budget) {
  // A mark at the start is no content.
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const Places places(text.substr(0, std::min(text.size(), limits.bytes)), file);
  if (text.size() > limits.bytes) {
    found.error(places.at_offset(0), "", std::format("the file is larger than {} bytes", limits.bytes));
    return {};
  }
  if (auto refused = check_characters(text, places)) {
    found.error(refused->origin, "", refused->message);
    return {};
  }
  Builder builder(places, found, limits, budget);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    // The second call is for what follows the document.
    if (parser.HandleNextDocument(builder)) parser.HandleNextDocument(builder);
  } catch (const Refused& refused) {
    found.error(refused.origin, "", refused.message);
    return {};
  } catch (const YAML::Exception& error) {
    found.error(places.at(error.mark), "", "no valid YAML: " + error.msg);
    return {};
  }
  return builder.take();
}

struct Includer {
  Diagnostics& found;
  const YamlLimits& limits;
  Budget budget;
  std::vector<std::filesystem::path> open;  // files being read, the outermost first

  Value read(std::string_view text, const std::string& file, const std::filesystem::path& folder) {
    Value tree = parse(text, file, found, limits, budget);
    const Value* include = tree.find("include");
    if (!include) return tree;
    Value base;
    const auto take = [&](const Value& name) {
      if (!name.text() || name.text()->empty())
        found.error(name.origin, "include", "expects names of files, got " + name.type_name());
      else
        merge(base, included(name, folder));
    };
    if (const auto* items = include->items())
      for (const Value& item : *items) take(item);
    else
      take(*include);
    Value::Map own;
    for (const auto& entry : *tree.entries())
      if (entry.first != "include") own.push_back(entry);
    Value rest = Value::map(std::move(own));
    rest.origin = tree.origin;
    if (base.is_null()) return rest;
    merge(base, std::move(rest));
    base.origin = tree.origin;
    return base;
  }

  Value included(const Value& name, const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path path = folder / *name.text();
    const fs::path canonical = fs::weakly_canonical(path, error);
    if (std::ranges::contains(open, canonical)) {
      found.error(name.origin, "include", std::format("{} includes itself", *name.text()));
      return {};
    }
    if (budget.files == 0) {
      found.error(name.origin, "include", std::format("more than {} included files", limits.files));
      return {};
    }
    --budget.files;
    auto text = read_text_file(path, limits.bytes);
    if (!text) {
      found.error(name.origin, "include", text.error().message);
      return {};
    }
    open.push_back(canonical);
    Value tree = read(*text, path.string(), path.parent_path());
    open.pop_back();
    if (!tree.is_null() && !tree.entries()) {
      found.error(tree.origin, "", "expects a map, got " + tree.type_name());
      return {};
    }
    return tree;
  }
};

}  // namespace

Value read_yaml(std::string_view text, const std::string& file, Diagnostics& found,
                const YamlLimits& limits) {
  Budget budget{limits.nodes, limits.expanded, limits.files};
  return parse(text, file, found, limits, budget);
}

Value read_yaml_with_includes(std::string_view text, const std::string& file,
                              const std::filesystem::path& folder, Diagnostics& found,
                              const YamlLimits& limits) {
  Includer includer{found, limits, {limits.nodes, limits.expanded, limits.files}, {}};
  std::error_code error;
  if (const auto self = folder / std::filesystem::path(file).filename(); exists(self, error))
    includer.open.push_back(weakly_canonical(self, error));
  return includer.read(text, file, folder);
}

void merge(Value& target, Value over) {
  if (!target.entries() || !over.entries()) {
    target = std::move(over);
    return;
  }
  for (const auto& [key, value] : *over.entries()) {
    const Value* old = target.find(key);
    Value merged = old ? *old : Value();
    if (old)
      merge(merged, value);
    else
      merged = value;
    merged.key_origin = value.key_origin;
    target.set(key, std::move(merged));
  }
}

Result<std::string> read_text_file(const std::filesystem::path& path, size_t limit) {
  std::error_code error;
  if (is_directory(path, error)) return fail(ErrorCode::io, "{}: is a folder", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::not_found, "{}: no such file, or not readable", path.string());
  std::string text(limit + 1, '\0');
  file.read(text.data(), std::streamsize(text.size()));
  if (file.bad()) return fail(ErrorCode::io, "{}: cannot be read", path.string());
  text.resize(size_t(file.gcount()));
  if (text.size() > limit)
    return fail(ErrorCode::exhausted, "{}: larger than {} bytes", path.string(), limit);
  return text;
}

}  // namespace sightglass::module
