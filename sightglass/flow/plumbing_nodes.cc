#include "sightglass/flow/plumbing_nodes.h"

namespace sightglass::flow {

// ---- tee

Status TeeNode::frame(Port&, Frame& frame, Hold hold) {
  frames_out.add();
  hold.lent = false;
  for (Port* port : out) {
    if (port == out.back()) return port->frame(frame, hold);
    copy_ = frame;
    auto status = port->frame(copy_, hold);
    copy_.clear();  // or the last branch would not have the pixels to itself when the others are done
    if (!status) return status;
  }
  return {};
}

// ---- queue

Status QueueNode::format(Port&, uint64_t stream, const Format& format) {
  if (!queueing_) return send_format(stream, format);
  const bool put = queue_.push(Item::Kind::format, [&](Item& item) {
    item.stream = stream;
    item.format = format;
  });
  return put ? Status{} : cancelled();
}

Status QueueNode::frame(Port&, Frame& frame, Hold hold) {
  const bool put = queue_.push(Item::Kind::frame, [&](Item& item) {
    std::swap(item.frame, frame);
    item.hold = hold;
  });
  frame.clear();
  return put ? Status{} : cancelled();
}

Status QueueNode::gap(Port&, const Gap& gap) {
  return queue_.push(Item::Kind::gap, [&](Item& item) { item.gap = gap; }) ? Status{} : cancelled();
}

Status QueueNode::end(Port&) {
  if (!all_ended()) return {};
  return queue_.push(Item::Kind::end, [](Item&) {}) ? Status{} : cancelled();
}

Status QueueNode::pass(Item& item) {
  switch (item.kind) {
    case Item::Kind::frame: {
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

void QueueNode::work() {
  Item item;
  while (queue_.pop(item)) {
    const bool last = item.kind == Item::Kind::end;
    if (!pass(item) || last) return;
  }
}

// ---- caps

FormatSpecs CapsNode::accepts(const Port& port) const {
  auto both = intersect(specs_, Node::accepts(port));
  return both.empty() ? specs_ : both;
}

}  // namespace sightglass::flow
