#include "sightglass/module/object_functions.h"

#include <algorithm>
#include <format>

namespace sightglass::module {
namespace {

constexpr size_t most_faults = 256;  // frames in the element; there are no more in an instance

bool has_tag(const Frame& frame, Label model, Label tag) {
  return frame.attributes && std::ranges::any_of(frame.attributes->items(), [&](const Attribute& attribute) {
           return attribute.model == model && attribute.name == tag;
         });
}

}  // namespace

FrameFacts facts_of(const TicketTable& tickets, Time pts) {
  FrameFacts facts;
  facts.pts = pts;
  const TicketRef ticket = tickets.find(pts);
  if (!ticket) return facts;
  const auto& message = *ticket->delivery.message;
  facts.keyframe = message.frame && message.frame->keyframe;
  facts.seq = message.seq;
  facts.pts = ticket->original_pts;
  facts.param_revision = ticket->param_revision;
  facts.queue_fill = ticket->queue_fill;
  return facts;
}

std::string functions_json(const std::vector<FunctionStep>& steps, const std::vector<std::string>& keys) {
  Value list = Value::list();
  size_t next = 0;
  for (const FunctionStep& step : steps) {
    if (!step.is_users) {
      list.add(step.value);
      continue;
    }
    Value named = Value::map(), parameters = Value::map();
    parameters.set("key", next < keys.size() ? keys[next] : std::string());
    ++next;
    if (step.width > 0) parameters.set("size", Value::list({step.width, step.height}));
    named.set(step.changes_box ? "user_region" : "user_prepare", std::move(parameters));
    list.add(std::move(named));
  }
  return list.to_json();
}

// One function. Its hook is called by one thread, that of its element in the bin.
class ObjectFunctions::Hooks final : public UserHooks {
 public:
  Hooks(ObjectFunctions& owner, std::unique_ptr<FunctionStream> function)
      : owner_(&owner), function_(std::move(function)) {}

  Result<std::optional<Box>> region(const Frame& frame, size_t index, const Box& box) override {
    const std::lock_guard lock(mutex_);
    if (!function_) return std::nullopt;
    take_parameters();
    frame_ = frame;
    frame_.regions[index].box = box;
    Box wanted = box;
    const auto verdict = function_->region(frame_, index, facts_of(owner_->tickets_, frame.pts), wanted);
    auto counts = owner_->note(frame.pts, frame, frame_, verdict);
    frame_.clear();  // the picture is not held on to
    if (!counts) return forward_error(counts);
    return *counts ? std::optional(wanted) : std::nullopt;
  }

  Result<bool> prepare(Frame& picture, const Region* object) override {
    const std::lock_guard lock(mutex_);
    if (!function_) return false;
    take_parameters();
    const Frame before;
    picture.regions.clear();
    if (object) picture.regions.push_back(*object);
    const auto verdict = function_->process(picture, facts_of(owner_->tickets_, picture.pts));
    auto counts = owner_->note(picture.pts, before, picture, verdict);
    picture.regions.clear();
    picture.attributes = nullptr;
    return counts;
  }

  void apply(std::shared_ptr<const ParameterSet> parameters) {
    const std::lock_guard lock(parameters_mutex_);
    parameters_ = std::move(parameters);
  }
  void stop(std::string_view reason) {
    const std::lock_guard lock(mutex_);
    if (function_) function_->stop(reason);
    function_ = nullptr;
  }

 private:
  void take_parameters() {
    std::shared_ptr<const ParameterSet> next;
    {
      const std::lock_guard lock(parameters_mutex_);
      next.swap(parameters_);
    }
    if (next) function_->apply(std::move(next));
  }

  ObjectFunctions* const owner_;  // until stop()
  std::mutex mutex_;              // against stop() only
  std::unique_ptr<FunctionStream> function_;
  Frame frame_;
  std::mutex parameters_mutex_;
  std::shared_ptr<const ParameterSet> parameters_;  // that it has not been told
};

ObjectFunctions::ObjectFunctions(const ElementPlan& plan, const TicketTable& tickets)
    : tickets_(tickets),
      tag_model_("tag"),
      error_tag_("error." + plan.name()),
      overrun_tag_("overrun." + plan.name()) {}

Result<std::unique_ptr<ObjectFunctions>> ObjectFunctions::open(
    const ElementPlan& plan, const StreamInfo& stream, const std::shared_ptr<const ParameterSet>& parameters,
    const TicketTable& tickets) {
  auto made = std::unique_ptr<ObjectFunctions>(new ObjectFunctions(plan, tickets));
  std::vector<std::string> keys;
  for (const FunctionStep& step : plan.preprocess) {
    if (!step.is_users) continue;
    auto function = step.function->open_stream(stream, parameters);
    if (!function) return forward_error(function);
    made->hooks_.push_back(std::make_shared<Hooks>(*made, std::move(*function)));
    keys.push_back(made->offered_.emplace_back(made->hooks_.back()).key());
  }
  made->list_ = functions_json(plan.preprocess, keys);
  return made;
}

ObjectFunctions::~ObjectFunctions() { stop("gone"); }

void ObjectFunctions::apply(const std::shared_ptr<const ParameterSet>& parameters) {
  for (const auto& hooks : hooks_) hooks->apply(parameters);
}

void ObjectFunctions::stop(std::string_view reason) {
  for (const auto& hooks : hooks_) hooks->stop(reason);
}

Result<bool> ObjectFunctions::note(Time pts, const Frame& before, const Frame& after,
                                   const Result<Verdict>& verdict) {
  if (!verdict) {
    Error error = verdict.error();
    if (error.code == ErrorCode::cancelled) {
      failed_module_ = true;
      error.code = ErrorCode::internal;  // cancelled would end the flow without a word
    }
    return std::unexpected(std::move(error));
  }
  const bool is_changed = after.attributes != before.attributes;
  const bool failed = is_changed && has_tag(after, tag_model_, error_tag_);
  const bool late = is_changed && has_tag(after, tag_model_, overrun_tag_);
  const bool drops = *verdict == Verdict::drop;
  if (!failed && !late && !drops) return true;
  const std::lock_guard lock(mutex_);
  auto found = std::ranges::find(faults_, pts, &Faults::pts);
  if (found == faults_.end()) {
    if (faults_.size() >= most_faults) faults_.erase(faults_.begin());
    found = faults_.insert(faults_.end(), {pts, false, false, false});
  }
  found->failed |= failed, found->late |= late, found->drops |= drops;
  return !failed && !drops;
}

Verdict ObjectFunctions::settle(Frame& frame) {
  Faults faults{frame.pts, false, false, false};
  {
    const std::lock_guard lock(mutex_);
    for (const Faults& one : faults_)
      if (one.pts == frame.pts) faults = one;
    std::erase_if(faults_, [&](const Faults& one) { return one.pts <= frame.pts; });
  }
  const auto tag = [&](Label name) {
    frame.attributes = with(frame.attributes,
                            {.name = name, .kind = AttributeKind::number, .number = 1, .model = tag_model_});
  };
  if (faults.failed) tag(error_tag_);
  if (faults.late) tag(overrun_tag_);
  return faults.drops ? Verdict::drop : Verdict::pass;
}

}  // namespace sightglass::module
