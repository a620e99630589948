#include "sightglass/core/label.h"

#include <deque>
#include <mutex>
#include <string>
#include <unordered_set>

#include "sightglass/core/find_label.h"

namespace sightglass {
namespace {

struct Table {
  std::mutex mutex;
  std::deque<std::string> texts;  // a deque never moves its elements
  std::unordered_set<std::string_view> known;
};

// Never destroyed: labels are still read while other static objects go.
Table& table() {
  static Table& instance = *new Table;
  return instance;
}

}  // namespace

Label::Label(std::string_view name) {
  name = name.substr(0, name.find('\0'));
  if (name.empty()) return;
  Table& names = table();
  std::lock_guard lock(names.mutex);
  auto found = names.known.find(name);
  if (found == names.known.end()) found = names.known.insert(names.texts.emplace_back(name)).first;
  text_ = found->data();
}

Label find_label(std::string_view name) {
  Table& names = table();
  std::lock_guard lock(names.mutex);
  const auto found = names.known.find(name);
  return found == names.known.end() ? Label() : Label::from_static(found->data());
}

Label Label::from_static(const char* text) {
  Label label;
  if (text) label.text_ = text;
  return label;
}

}  // namespace sightglass
