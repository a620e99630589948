#include "sightglass/flow/node.h"

#include <algorithm>

#include "sightglass/memory/system/system_frame.h"

namespace sightglass::flow {
namespace {

Form form_of_format(const Format& format) {
  Form form{format.memory, {}};
  if (const auto* video = format.video()) form.pixels = video->format;
  return form;
}

// The formats of a set that `offered` could become by another memory or other pixels.
std::vector<Format> neighbours(const FormatSpec& spec, const Format& offered) {
  std::vector<Format> formats;
  Format one = offered;
  one.memory = spec.memory;
  if (const auto* set = std::get_if<VideoSpec>(&spec.media)) {
    if (!offered.video()) return {};
    std::vector<PixelFormat> pixels = set->formats;
    const auto own = std::ranges::find(pixels, offered.video()->format);
    if (own != pixels.end()) std::rotate(pixels.begin(), own, own + 1);
    if (pixels.empty()) pixels = {offered.video()->format};
    for (PixelFormat format : pixels) {
      std::get<VideoInfo>(one.media).format = format;
      if (contains(spec, one)) formats.push_back(one);
    }
  } else if (offered.tensors() && contains(spec, one)) {
    formats.push_back(one);
  }
  return formats;
}

}  // namespace

bool may_write(const Frame& frame, Hold hold) {
  if (hold.foreign) return false;
  for (const auto& tensor : frame.tensors) {
    if (!tensor.memory->writable()) return false;
    const auto own = std::ranges::count(frame.tensors, tensor.memory, &Tensor::memory);
    if (tensor.memory->count() > uint32_t(own) * (hold.lent ? 2 : 1)) return false;
  }
  return true;
}

void number_regions(Frame& frame) {
  int32_t next = -1;
  bool missing = false;
  for (const auto& region : frame.regions) {
    missing |= region.id < 0;
    next = std::max(next, region.id);
  }
  if (!missing) return;
  for (auto& region : frame.regions)
    if (region.id < 0) region.id = ++next;
}

std::chrono::nanoseconds& OutsideTime::total() {
  thread_local std::chrono::nanoseconds time{0};
  return time;
}

// ---- Port

Port::Port(RunState& run, Node& from, Node& to, size_t index)
    : run_(run),
      from_(from),
      to_(to),
      index_(index),
      name_(from.name() + " → " + to.name()),
      hop_(run.ledger.hop(name_)),
      accepts_{{AnySpec{}}} {}

Result<Port::Choice> Port::way_to(const Format& offered) const {
  if (contains(accepts_, offered)) return Choice{offered, nullptr};
  std::optional<Choice> best;
  std::string reason;
  for (const auto& spec : accepts_) {
    for (const auto& format : neighbours(spec, offered)) {
      auto plan = plan_map(form_of_format(offered), form_of_format(format));
      if (!plan) {
        if (reason.empty()) reason = plan.error().message;
        continue;
      }
      if (!best || (best->plan->copies() && !(*plan)->copies())) best = Choice{format, *plan};
      if (!best->plan->copies()) return *best;
    }
  }
  if (!best) {
    return fail(ErrorCode::not_negotiated, "{} gives {}, {} takes {}{}{}", from_.name(), to_string(offered),
                to_.name(), to_string(accepts_), reason.empty() ? "" : ": ", reason);
  }
  return *best;
}

Result<Format> Port::choose(const FormatSpecs& offers, const Format& like) const {
  for (const auto& both : intersect(offers, accepts_))
    if (auto fixed = fixate(both, like)) return *fixed;
  std::optional<Format> copied;
  Result<Format> failed =
      fail(ErrorCode::not_negotiated, "{} has nothing to give to {}", from_.name(), to_.name());
  for (const auto& offer : offers) {
    auto fixed = fixate(offer, like);
    if (!fixed) {
      failed =
          fail(ErrorCode::not_negotiated,
               "what {} gives ({}) has no fixed type and size; put caps behind it, or set width and height",
               from_.name(), to_string(FormatSpecs{offer}));
      continue;
    }
    auto way = way_to(*fixed);
    if (!way)
      failed = forward_error(way);
    else if (!way->plan || !way->plan->copies())
      return *fixed;
    else if (!copied)
      copied = *fixed;
  }
  if (copied) return *copied;
  return failed;
}

Status Port::format(uint64_t stream, const Format& offered) {
  auto choice = way_to(offered);
  if (!choice) return run_.stop(to_.name(), choice.error(), stream == any_stream ? 0 : stream);
  if (choice->plan && choice->plan->steps.empty()) choice->plan = nullptr;
  if (run_.strict_zero_copy && choice->plan && choice->plan->copies()) {
    return run_.stop(
        to_.name(),
        {ErrorCode::not_negotiated,
         std::format("strict zero-copy: {} gives {} and {} takes {}, which would copy: {}", from_.name(),
                     to_string(offered), to_.name(), to_string(choice->taken), choice->plan->to_string()),
         {},
         {}});
  }
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find(ways_, stream, &Way::stream);
    if (found == ways_.end()) found = std::ranges::find(ways_, any_stream, &Way::stream);
    if (found == ways_.end()) found = ways_.insert(ways_.end(), std::make_unique<Way>());
    **found = {stream, offered, choice->taken, choice->plan};
    last_ = found->get();
  }
  std::unique_lock lock(to_.turn, std::defer_lock);
  if (to_.takes_turns()) lock.lock();
  return to_.format(*this, stream, choice->taken);
}

Port::Way* Port::way_of(uint64_t stream) {
  if (last_ && last_->stream == stream) return last_;
  for (const auto& way : ways_)
    if (way->stream == stream) return last_ = way.get();
  return nullptr;
}

Status Port::convert(const Way& way, Frame& frame, Hold& hold) {
  const bool own = may_write(frame, hold);
  auto mapped = map_to(frame, {.form = form_of_format(way.taken), .access = Access::read, .context = nullptr},
                       {.hop = &hop_, .strict_zero_copy = run_.strict_zero_copy});
  if (!mapped) return forward_error(mapped);
  hold = {.lent = false, .foreign = !way.plan->copies() && !own};
  const Frame& made = mapped->frame();
  frame.video = made.video;
  frame.tensors.assign(made.tensors.begin(), made.tensors.end());
  return mapped->finish();
}

Status Port::frame(Frame& frame, Hold hold) {
  const uint64_t stream = stream_of(frame.source);
  const Way* way = way_of(stream);
  if (!way)
    return run_.stop(to_.name(), {ErrorCode::internal, "a frame came before its format", {}, {}}, stream);
  if (!way->plan) {
    hop_.shared(content_bytes(frame));
  } else if (auto status = convert(*way, frame, hold); !status) {
    return run_.stop(to_.name(), status.error(), stream);
  }
  std::unique_lock lock(to_.turn, std::defer_lock);
  if (to_.takes_turns()) lock.lock();
  to_.frames_in.add();
  return to_.frame(*this, frame, hold);
}

Status Port::gap(const Gap& gap) {
  std::unique_lock lock(to_.turn, std::defer_lock);
  if (to_.takes_turns()) lock.lock();
  to_.gaps.add();
  return to_.gap(*this, gap);
}

Status Port::end() {
  std::unique_lock lock(to_.turn, std::defer_lock);
  if (to_.takes_turns()) lock.lock();
  ended_ = true;
  return to_.end(*this);
}

Ref<MemoryPool> Port::pool(uint64_t stream) {
  {
    std::lock_guard lock(mutex_);
    const auto way = std::ranges::find_if(
        ways_, [&](const auto& known) { return known->stream == stream || known->stream == any_stream; });
    if (way == ways_.end() || (*way)->plan) return nullptr;
  }
  return to_.pool(*this, stream);
}

std::string Port::explain() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& way : ways_) {
    text += name_;
    if (ways_.size() > 1) text += std::format(" (stream {})", way->stream);
    text += ": " + to_string(way->offered);
    if (!way->plan)
      text += ", shared";
    else
      text += " → " + to_string(way->taken) + ", " + way->plan->to_string();
    text += '\n';
  }
  return text.empty() ? name_ + ": not agreed yet\n" : text;
}

// ---- Node

FormatSpecs Node::accepts(const Port&) const {
  if (out.empty()) return {{AnySpec{}}};
  // All branches in common, else what the first takes: the others convert.
  FormatSpecs all = out[0]->accepts();
  for (const Port* port : out)
    if (auto both = intersect(all, port->accepts()); !both.empty()) all = std::move(both);
  return all;
}

Status Node::format(Port&, uint64_t stream, const Format& format) { return send_format(stream, format); }
Status Node::frame(Port&, Frame& frame, Hold hold) { return send(frame, hold); }
Status Node::gap(Port&, const Gap& gap) { return send_gap(gap); }
Status Node::end(Port&) { return all_ended() ? send_end() : Status{}; }

Ref<MemoryPool> Node::pool(const Port&, uint64_t stream) {
  return out.size() == 1 ? out[0]->pool(stream) : nullptr;
}

bool Node::all_ended() const {
  return std::ranges::all_of(in, [](const auto& port) { return port->ended(); });
}

Status Node::send_format(uint64_t stream, const Format& format) {
  for (Port* port : out)
    if (auto status = port->format(stream, format); !status) return status;
  return {};
}

Status Node::send(Frame& frame, Hold hold) {
  frames_out.add();
  if (!out.empty()) return out[0]->frame(frame, hold);
  if (!run_.on_frame || run_.stopping()) return {};
  const OutsideTime outside;
  std::lock_guard lock(run_.callback_mutex);
  auto status = run_.on_frame(frame);
  return status ? status : run_.stop(name(), status.error(), stream_of(frame.source));
}

Status Node::send_gap(const Gap& gap) {
  for (Port* port : out)
    if (auto status = port->gap(gap); !status) return status;
  return {};
}

Status Node::send_end() {
  for (Port* port : out)
    if (auto status = port->end(); !status) return status;
  return {};
}

}  // namespace sightglass::flow
