#include "sightglass/model/spelling.h"

#include <algorithm>
#include <format>
#include <numeric>
#include <vector>

namespace sightglass {
namespace {

std::string plain(std::string_view word) {
  std::string text(word.substr(0, 64));
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return text;
}

// Levenshtein's distance.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

template <class Word>
std::string nearest(std::string_view word, std::span<const Word> known) {
  const std::string wanted = plain(word);
  std::string_view best;
  size_t least = std::max<size_t>(1, wanted.size() / 3) + 1;
  for (const Word& candidate : known) {
    const size_t d = distance(wanted, plain(candidate));
    if (d < least) least = d, best = candidate;
  }
  return best.empty() ? std::string() : std::format("; did you mean '{}'?", best);
}

template <class Word>
std::string join(std::span<const Word> words, std::string_view separator) {
  std::string text;
  for (const Word& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  return nearest(word, known);
}
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  return nearest(word, known);
}
std::string joined(std::span<const std::string> words, std::string_view separator) {
  return join(words, separator);
}
std::string joined(std::span<const std::string_view> words, std::string_view separator) {
  return join(words, separator);
}

}  // namespace sightglass
