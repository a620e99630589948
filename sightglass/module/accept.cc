#include "sightglass/module/accept.h"

#include "sightglass/adapters/record.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {

Result<std::shared_ptr<AcceptFunction>> accept_function(const SourceSpec& source, const std::string& name,
                                                        const std::string& folder) {
  const Value* value = source.properties.find("accept");
  if (!value || value->is_null()) return nullptr;
  FunctionSpec spec;
  read(*value, *function_schema(), &spec);
  auto loaded = load_accept(spec, {.element = name + ".accept", .folder = folder});
  if (!loaded) return forward_error(loaded);
  return std::shared_ptr<AcceptFunction>(std::move(*loaded));
}

bool AcceptingIngress::deliver(stream::Delivery delivery) { return ingress_.deliver(std::move(delivery)); }

bool AcceptingIngress::is_wanted(const stream::Message& message) {
  frame_.clear();
  frame_.video = VideoInfo{.width = message.frame->width, .height = message.frame->height};
  adapters::to_frame(*message.frame, frame_);
  const StreamInfo info{.source_id = message.source_id,
                        .codec = message.frame->codec.value_or(""),
                        .epoch = message.epoch,
                        .width = message.frame->width,
                        .height = message.frame->height};
  const Result<bool> accepted = function_->accept(frame_, info);
  if (!accepted) shared_->counters.count_rejected("accept_error");
  return accepted.value_or(true);
}

}  // namespace sightglass::module
