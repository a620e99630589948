#include "sightglass/flow/join_node.h"

#include <algorithm>

#include "sightglass/core/frame_join.h"

namespace sightglass::flow {
namespace {

constexpr size_t most_results = 4096;  // of one branch and stream, without the frame that they belong to

bool comes_from(const Node& node, const Node& origin) {
  if (&node == &origin) return true;
  return std::ranges::any_of(node.in, [&](const auto& port) { return comes_from(port->from(), origin); });
}

// Where what comes here begins.
const Node& origin_of(const Node& node) { return node.in.empty() ? node : origin_of(node.in[0]->from()); }

Time time_of(const Item& item) { return item.kind == Item::Kind::gap ? item.gap.pts : item.frame.pts; }

// Whether this is the last of a branch for its frame.
bool closes(const Item& item) {
  const auto& source = item.kind == Item::Kind::gap ? item.gap.source : item.frame.source;
  return !source || !source->roi || source->last_roi;
}

}  // namespace

void JoinNode::start_joining(size_t most) {
  most_ = most;
  ended_.assign(in.size(), false);
  const Node& origin = origin_of(in[0]->from());
  for (size_t i = 1; i < in.size(); ++i) has_one_origin_ |= comes_from(in[i]->from(), origin);
}

FormatSpecs JoinNode::accepts(const Port& port) const {
  return is_main(port) ? Node::accepts(port) : FormatSpecs{{AnySpec{}}};
}

Ref<MemoryPool> JoinNode::pool(const Port& port, uint64_t stream) {
  return is_main(port) ? Node::pool(port, stream) : nullptr;
}

JoinNode::Stream& JoinNode::stream(uint64_t id) {
  auto& stream = streams_[id];
  if (!stream) {
    stream = std::make_unique<Stream>();
    stream->branches.resize(in.size());
  }
  return *stream;
}

Status JoinNode::format(Port& port, uint64_t id, const Format& format) {
  std::unique_lock lock(mutex_);
  if (id == any_stream) {
    lock.unlock();
    return is_main(port) ? send_format(id, format) : Status{};
  }
  Stream& own = stream(id);
  if (is_main(port)) {
    Item& item = own.frames.push();
    item.kind = Item::Kind::format;
    item.stream = id;
    item.format = format;
    return send_complete(lock);
  }
  Branch& branch = own.branches[port.index()];
  const auto* info = format.tensors();
  branch.has_tensors = info;
  branch.model = info ? Label(info->model) : Label();
  branch.tensors = info ? tensor_names(*info) : std::vector<Label>();
  return {};
}

Status JoinNode::frame(Port& port, Frame& frame, Hold hold) {
  return put(port, stream_of(frame.source), Item::Kind::frame, &frame, hold, nullptr);
}

Status JoinNode::gap(Port& port, const Gap& gap) {
  return put(port, stream_of(gap.source), Item::Kind::gap, nullptr, {}, &gap);
}

Status JoinNode::put(Port& port, uint64_t id, Item::Kind kind, Frame* frame, Hold hold, const Gap* gap) {
  std::unique_lock lock(mutex_);
  Stream& own = stream(id);
  if (is_main(port)) {
    // What holds up the source of the frames holds up that of the results as well: waiting would not help.
    if (waiting_ >= most_ && has_one_origin_) {
      lock.unlock();
      return run_.stop(
          name(),
          {ErrorCode::exhausted,
           std::format("{} frames wait for results that do not come: a branch keeps or drops frames "
                       "without a gap",
                       most_),
           {},
           {}},
          id);
    }
    const OutsideTime outside;
    room_.wait(lock, [&] { return waiting_ < most_ || cancelled_; });
    ++waiting_;
  } else if (own.branches[port.index()].results.size() >= most_results) {
    lock.unlock();
    return run_.stop(
        name(),
        {ErrorCode::exhausted,
         std::format("{} results of {} belong to no frame that has come", most_results, port.from().name()),
         {},
         {}},
        id);
  }
  if (cancelled_) return fail(ErrorCode::cancelled, "the flow has stopped");
  if (!is_main(port) && ended_[0] && waiting_ == 0) return {};  // nobody waits for it
  Item& item = is_main(port) ? own.frames.push() : own.branches[port.index()].results.push();
  item.kind = kind;
  item.hold = hold;
  if (frame) std::swap(item.frame, *frame), frame->clear();
  if (gap) item.gap = *gap;
  if (!is_main(port) && !closes(item)) return {};
  return send_complete(lock);
}

Status JoinNode::end(Port& port) {
  std::unique_lock lock(mutex_);
  ended_[port.index()] = true;
  return send_complete(lock);
}

// Whether the branch has nothing more for the frame at `now`.
bool JoinNode::has_closed(Branch& branch, Time now) {
  for (size_t i = 0; i < branch.results.size(); ++i) {
    const Time time = time_of(branch.results[i]);
    const bool by_arrival = time == no_time || now == no_time;
    if (!by_arrival && time > now) return true;
    if ((by_arrival || time == now) && closes(branch.results[i])) return true;
  }
  return false;
}

bool JoinNode::is_complete(Stream& own) {
  Item& head = own.frames.front();
  if (head.kind == Item::Kind::format) return true;
  for (size_t i = 1; i < in.size(); ++i) {
    if (ended_[i]) continue;
    if (!has_closed(own.branches[i], time_of(head))) return false;
  }
  return true;
}

// Takes what the branches have for the frame; what is older belongs to frames whose turn is over.
void JoinNode::join_results(Stream& own, Item& item) {
  static const std::vector<Label> none;
  const Time now = time_of(item);
  for (size_t i = 1; i < in.size(); ++i) {
    Branch& branch = own.branches[i];
    for (bool closed = false; !closed && !branch.results.empty(); branch.results.pop()) {
      Item& result = branch.results.front();
      const Time time = time_of(result);
      const bool by_arrival = time == no_time || now == no_time;
      if (!by_arrival && time > now) break;
      const bool is_own = by_arrival || time == now;
      closed = is_own && closes(result);
      if (is_own && result.kind == Item::Kind::frame && item.kind == Item::Kind::frame) {
        // A repeated result (meta_smooth) comes without tensors.
        const bool attach = attaches_tensors_ && branch.has_tensors && !result.frame.tensors.empty();
        join(result.frame, branch.model, attach ? branch.tensors : none, item.frame);
      }
      result.frame.clear();
    }
  }
}

// Takes the first frame that is complete, of any stream.
bool JoinNode::next(Item& item) {
  for (auto& [id, own] : streams_) {
    if (own->frames.empty() || !is_complete(*own)) continue;
    std::swap(item, own->frames.front());
    own->frames.pop();
    if (item.kind != Item::Kind::format) {
      join_results(*own, item);
      --waiting_;
      room_.notify_one();
    }
    return true;
  }
  return false;
}

Status JoinNode::send_item(Item& item) {
  switch (item.kind) {
    case Item::Kind::frame: {
      number_regions(item.frame);
      auto status = send(item.frame, item.hold);
      item.frame.clear();
      return status;
    }
    case Item::Kind::gap:
      return send_gap(item.gap);
    case Item::Kind::format:
      return send_format(item.stream, item.format);
    case Item::Kind::end:
      return send_end();
  }
  return {};
}

Status JoinNode::send_complete(std::unique_lock<std::mutex>& lock) {
  if (sending_) return {};  // whoever does it will see what has come
  sending_ = true;
  Status status;
  while (status && !cancelled_) {
    if (!next(item_)) {
      const bool is_end = ended_[0] && waiting_ == 0 && !end_sent_;
      if (!is_end) break;
      end_sent_ = true;
      item_.kind = Item::Kind::end;
    }
    lock.unlock();
    status = send_item(item_);
    lock.lock();
  }
  sending_ = false;
  return status;
}

void JoinNode::cancel() {
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  room_.notify_all();
}

size_t JoinNode::queued() const {
  std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace sightglass::flow
