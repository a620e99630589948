#include "sightglass/memory/context.h"

#include <array>
#include <mutex>
#include <utility>

#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

struct Opener {
  OpenContext open = nullptr;
  std::once_flag once;
  Result<ContextRef> opened{nullptr};
};

std::array<Opener, memory_kinds>& openers() {
  static auto& instance =
      *new std::array<Opener, memory_kinds>;  // never destroyed: memory may outlive main()
  return instance;
}

}  // namespace

Result<Ref<Context>> Context::derive(MemoryKind kind) {
  if (kind == kind_) return Ref(this);
  return fail(ErrorCode::unavailable, "{} ({}) has no {} sibling on the same device", description(),
              to_string(kind_), to_string(kind));
}

ContextRegistration::ContextRegistration(MemoryKind kind, OpenContext open) {
  openers()[std::to_underlying(kind)].open = open;
}

Result<ContextRef> default_context(MemoryKind kind) {
  if (auto status = load_modules_for(kind); !status) return forward_error(status);
  Opener& opener = openers()[std::to_underlying(kind)];
  std::call_once(opener.once, [&] {
    if (opener.open) opener.opened = opener.open();
  });
  return opener.opened;
}

}  // namespace sightglass
