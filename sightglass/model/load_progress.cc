#include "sightglass/model/load_progress.h"

#include <cstdio>
#include <utility>

namespace sightglass {
namespace {

thread_local const LoadProgress* listener = nullptr;

}  // namespace

LoadProgress::LoadProgress(Tell tell) : tell_(std::move(tell)), before_(std::exchange(listener, this)) {}
LoadProgress::~LoadProgress() { listener = before_; }

void tell_load_progress(std::string_view text) {
  if (listener)
    listener->tell_(text);
  else
    std::fprintf(stderr, "sightglass: %.*s\n", int(text.size()), text.data());
}

}  // namespace sightglass
