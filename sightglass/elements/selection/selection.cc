#include "sightglass/elements/selection/selection.h"

namespace sightglass {

Status Selection::check(std::string_view json, std::string_view name, Selector::Scope scope) {
  if (auto parsed = Selector::parse(json, name, scope); !parsed) return forward_error(parsed);
  return {};
}

Status Selection::set(std::string_view json) {
  if (json == text_) return {};
  auto parsed = Selector::parse(json, name_, scope_);
  if (!parsed) return forward_error(parsed);
  selector_ = *std::move(parsed);
  text_ = json;
  return {};
}

void Selection::begin(const Frame& frame) {
  if (selector_.everything()) return;
  context_.frame_number = context_.frame_number ? *context_.frame_number + 1 : 0;
  if (!selector_.uses_track_age()) return;
  ages_.see(frame);
  context_.track_ages = &ages_;
}

void Selection::reset() {
  context_.frame_number.reset();
  ages_.clear();
}

std::string kept_as_it_was(const Error& error) { return error.message + "; what was set before goes on"; }

}  // namespace sightglass
