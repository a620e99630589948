#include "sightglass/elements/functions/user_hooks.h"

#include <map>
#include <mutex>

namespace sightglass {
namespace {

struct Offers {
  std::mutex mutex;
  uint64_t last = 0;
  std::map<std::string, std::shared_ptr<UserHooks>, std::less<>> by_key;
};
Offers& offers() {
  static Offers all;
  return all;
}

}  // namespace

OfferedHooks::OfferedHooks(std::shared_ptr<UserHooks> hooks) {
  const std::lock_guard lock(offers().mutex);
  key_ = std::to_string(++offers().last);
  offers().by_key.emplace(key_, std::move(hooks));
}

OfferedHooks::~OfferedHooks() {
  if (key_.empty()) return;
  std::shared_ptr<UserHooks> last;  // ends without the lock, which is let go of before it
  const std::lock_guard lock(offers().mutex);
  if (auto found = offers().by_key.extract(key_)) last = std::move(found.mapped());
}

std::shared_ptr<UserHooks> hooks_offered(std::string_view key) {
  const std::lock_guard lock(offers().mutex);
  const auto found = offers().by_key.find(key);
  return found == offers().by_key.end() ? nullptr : found->second;
}

}  // namespace sightglass
