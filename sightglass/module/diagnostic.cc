#include "sightglass/module/diagnostic.h"

#include <algorithm>
#include <charconv>
#include <format>
#include <utility>

namespace sightglass::module {
namespace {

std::string plain(std::string_view word) {
  std::string text(word.substr(0, 128));
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return text;
}

// Damerau's distance: letters in the wrong order are one mistake.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) table[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) table[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool equal = a[i - 1] == b[j - 1];
      table[i][j] = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + !equal});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        table[i][j] = std::min(table[i][j], table[i - 2][j - 2] + 1);
    }
  return table[a.size()][b.size()];
}

}  // namespace

Path Path::operator/(std::string_view key) const {
  Path path = *this;
  path.steps_.emplace_back(key);
  return path;
}

Path Path::operator[](size_t index) const {
  Path path = *this;
  path.steps_.push_back(std::format("[{}]", index));
  return path;
}

std::string Path::to_string() const {
  std::string text;
  for (const auto& step : steps_) {
    if (!text.empty() && !step.starts_with('[')) text += '.';
    text += step;
  }
  return text;
}

const Value* Path::nearest(const Value& root) const {
  const Value* value = &root;
  for (const auto& step : steps_) {
    const Value* next = value->find(step);
    const auto* items = value->items();
    if (size_t index = 0; !next && items && step.starts_with('[')) {
      std::from_chars(step.data() + 1, step.data() + step.size(), index);
      if (index < items->size()) next = &(*items)[index];
    }
    // A list of one may be written without brackets.
    if (!next && step == "[0]" && !items) continue;
    if (!next) break;
    value = next;
  }
  return value;
}

std::string Diagnostic::to_string() const {
  std::string text = origin.to_string();
  if (!text.empty()) text += ": ";
  if (severity == Severity::warning) text += "warning: ";
  if (!path.empty()) text += path + ": ";
  text += message;
  if (!suggestion.empty()) text += std::format("; did you mean '{}'?", suggestion);
  return text;
}

void Diagnostics::error(Origin origin, std::string path, std::string message, std::string suggestion) {
  add({std::move(origin), std::move(path), std::move(message), std::move(suggestion), Severity::error});
}

void Diagnostics::warning(Origin origin, std::string path, std::string message, std::string suggestion) {
  add({std::move(origin), std::move(path), std::move(message), std::move(suggestion), Severity::warning});
}

void Diagnostics::add(Diagnostic diagnostic) {
  errors_ += diagnostic.severity == Severity::error;
  if (items_.size() >= limit)
    ++left_out_;
  else
    items_.push_back(std::move(diagnostic));
}

void Diagnostics::sort() {
  std::vector<const std::string*> files;
  const auto rank = [&](const Diagnostic& item) -> size_t {
    const auto* file = item.origin.file.get();
    if (!file) return files.size();
    const auto found = std::ranges::find_if(files, [&](const auto* known) { return *known == *file; });
    return size_t(found - files.begin());
  };
  for (const auto& item : items_)
    if (item.origin.file && rank(item) == files.size()) files.push_back(item.origin.file.get());
  std::ranges::stable_sort(items_, [&](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(rank(a), a.origin.line, a.origin.column) <
           std::tuple(rank(b), b.origin.line, b.origin.column);
  });
}

std::string Diagnostics::to_string() const {
  std::string text;
  for (const auto& item : items_) text += item.to_string() + '\n';
  if (left_out_) text += std::format("and {} more\n", left_out_);
  return text;
}

Error Diagnostics::to_error() const {
  std::string text = to_string();
  if (text.ends_with('\n')) text.pop_back();
  return {ErrorCode::invalid_argument, std::move(text), {}, {}};
}

std::string nearest_name(std::string_view word, std::span<const std::string> known) {
  const std::string wanted = plain(word);
  // Of a word of three letters or less, two changes leave nothing.
  const size_t most = wanted.size() < 4 ? 1 : 2;
  size_t least = most + 1;
  std::string_view best;
  for (const auto& candidate : known) {
    const std::string other = plain(candidate);
    const size_t longer = std::max(other.size(), wanted.size()),
                 shorter = std::min(other.size(), wanted.size());
    if (longer - shorter > most) continue;
    const size_t d = distance(wanted, other);
    if (d < least) least = d, best = candidate;
  }
  return std::string(best);
}

}  // namespace sightglass::module
