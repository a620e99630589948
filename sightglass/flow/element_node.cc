#include "sightglass/flow/element_node.h"

#include <algorithm>

#include "sightglass/flow/source_node.h"
#include "sightglass/memory/cuda/cuda.h"

namespace sightglass::flow {

Status ElementNode::set(std::string_view name, std::string_view text) {
  std::lock_guard lock(mutex_);
  const auto* param = desc_.params.find(name);
  if (param && !param->is_live)
    return fail(ErrorCode::invalid_argument, "{}: {} can only be set before the flow starts", this->name(),
                name);
  if (auto status = params_.set_text(name, text); !status)
    return fail(status.error().code, "{}: {}", this->name(), status.error().message);
  live_changed_.store(true, std::memory_order_release);
  return {};
}

Result<ParamValue> ElementNode::value(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto* param = desc_.params.find(name);
  if (param && param->is_readable_only && !started_.empty()) return started_.front()->value(name);
  return params_.get(name);
}

Result<Element*> ElementNode::make() {
  std::unique_ptr<Element> made;
  Element* element = own_;
  ParamSet params = [&] {
    std::lock_guard lock(mutex_);
    return params_;
  }();
  if (!element) {
    auto created = desc_.create(params);
    if (!created) return forward_error(created);
    made = *std::move(created);
    element = made.get();
  }
  auto status = element->start();
  give_warnings(*element);
  if (!status) return forward_error(status);
  std::lock_guard lock(mutex_);
  if (made) elements_.push_back(std::move(made));
  started_.push_back(element);
  return element;
}

Status ElementNode::prepare() {
  auto element = make();
  if (!element) return stop_with(element.error(), 0);
  lanes_.push_back(std::make_unique<Lane>());
  last_ = lanes_.back().get();
  last_->element = *element;
  return {};
}

Result<ElementNode::Lane*> ElementNode::lane_for(uint64_t stream) {
  for (const auto& lane : lanes_)
    if (lane->stream == stream) return last_ = lane.get();
  Lane* first = lanes_.front().get();
  if (first->stream == any_stream) {
    first->stream = stream;
    return last_ = first;
  }
  Element* element = first->element;
  if (!shared()) {
    auto made = make();
    if (!made) return forward_error(made);
    element = *made;
  }
  last_ = lanes_.emplace_back(std::make_unique<Lane>()).get();
  last_->stream = stream;
  last_->element = element;
  return last_;
}

ElementNode::Lane& ElementNode::lane_of(uint64_t stream) {
  if (last_->stream == stream) return *last_;
  for (const auto& lane : lanes_)
    if (lane->stream == stream) return *(last_ = lane.get());
  return *last_;
}

Status ElementNode::configure(Lane& lane) {
  auto status = lane.element->configure(lane.input, lane.output);
  give_warnings(*lane.element);
  configured_ = &lane;
  run_.configured.fetch_add(1, std::memory_order_release);
  return status;
}

Status ElementNode::use(Lane& lane) {
  if (live_changed_.load(std::memory_order_relaxed)) apply_live_params();
  if (configured_ == &lane || !shared()) return {};
  if (configured_ && same(configured_->input, lane.input) && same(configured_->output, lane.output)) {
    configured_ = &lane;
    return {};
  }
  return configure(lane);
}

void ElementNode::apply_live_params() {
  live_changed_.store(false, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  for (Element* element : started_) {
    element->update(params_);
    give_warnings(*element);
  }
}

Status ElementNode::end(Port&) {
  if (!all_ended()) return {};
  std::vector<const Element*> drained;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[i];
    if (std::ranges::contains(drained, lane.element)) continue;
    drained.push_back(lane.element);
    if (auto status = drain(lane); !status) return stop_with(status.error(), lane.stream);
  }
  return send_end();
}

void ElementNode::cancel() {
  std::lock_guard lock(mutex_);
  for (Element* element : started_) element->cancel();
}

void ElementNode::stop() {
  std::vector<Element*> started;
  {
    std::lock_guard lock(mutex_);
    started.swap(started_);
  }
  for (Element* element : started) {
    element->stop();
    give_warnings(*element);
  }
}

namespace {

class TransformNode final : public ElementNode {
 public:
  using ElementNode::ElementNode;

  FormatSpecs accepts(const Port&) const override {
    const FormatSpecs next = out.empty() ? FormatSpecs{{AnySpec{}}} : out[0]->accepts();
    FormatSpecs all;
    for (const auto& spec : next) add(spec, all);
    if (all.empty()) add({AnySpec{}}, all);  // what comes out has to be converted
    return all;
  }

  Status format(Port&, uint64_t stream, const Format& format) override {
    auto lane = lane_for(stream);
    if (!lane) return stop_with(lane.error(), stream);
    (*lane)->input = format;
    const auto offers = transform(**lane).transform_format(Direction::input, spec_of(format));
    if (offers.empty())
      return stop_with({ErrorCode::not_negotiated, "makes nothing of " + to_string(format), {}, {}}, stream);
    auto chosen = out.empty() ? first_of(offers, format) : out[0]->choose(offers, format);
    if (!chosen) return stop_with(chosen.error(), stream);
    (*lane)->output = *chosen;
    (*lane)->maker.set_format(*chosen);
    if (auto status = configure(**lane); !status) return stop_with(status.error(), stream);
    {
      std::lock_guard lock(pools_mutex_);
      std::erase_if(pools_,
                    [&](const auto& known) { return known.first == stream || known.first == any_stream; });
      pools_.emplace_back(stream, transform(**lane).input_pool());
    }
    run_.configured.fetch_add(1, std::memory_order_release);
    return send_format(stream, *chosen);
  }

  Status frame(Port&, Frame& frame, Hold) override {
    Lane& lane = lane_of(stream_of(frame.source));
    Sending output(*this, lane);
    return call(lane, [&] { return transform(lane).process(frame, output); });
  }

  Status gap(Port&, const Gap& gap) override {
    Lane& lane = lane_of(stream_of(gap.source));
    Sending output(*this, lane);
    return call(lane, [&] { return transform(lane).gap(gap, output); });
  }

  Ref<MemoryPool> pool(const Port&, uint64_t stream) override {
    std::lock_guard lock(pools_mutex_);
    for (const auto& [known, pool] : pools_)
      if (known == stream || known == any_stream) return pool;
    return nullptr;
  }

 private:
  static Transform& transform(Lane& lane) { return *static_cast<Transform*>(lane.element); }

  void add(const FormatSpec& behind, FormatSpecs& all) const {
    const auto& element = *static_cast<const Transform*>(lanes_.front()->element);
    for (const auto& spec : intersect(element.transform_format(Direction::output, behind), desc_.input))
      all.push_back(spec);
  }

  // Nobody behind says what is wanted.
  Result<Format> first_of(const FormatSpecs& offers, const Format& like) const {
    for (const auto& offer : offers)
      if (auto fixed = fixate(offer, like)) return *fixed;
    return fail(ErrorCode::not_negotiated,
                "what it gives ({}) has no fixed type and size; put caps behind it, or set width and height",
                to_string(offers));
  }

  Status drain(Lane& lane) override {
    Sending output(*this, lane);
    return call(lane, [&] { return transform(lane).drain(output); });
  }

  template <class Call>
  Status call(Lane& lane, Call&& process) {
    auto status = use(lane);
    if (status) {
      const BusyTime time(busy);
      status = process();
    }
    if (status) return {};
    return stop_with(status.error(), lane.stream);
  }

  // What the element sends goes on while it waits.
  class Sending final : public Output {
   public:
    Sending(TransformNode& node, Lane& lane) : node_(node), lane_(lane) {}
    Status allocate(Frame& frame) override {
      const OutsideTime outside;
      return lane_.maker.make(node_.run_, node_.out.empty() ? nullptr : node_.out[0], lane_.stream, frame);
    }
    Status push(const Frame& frame) override {
      const OutsideTime outside;
      if (node_.run_.stopping()) return fail(ErrorCode::cancelled, "the flow has stopped");
      const bool lent =
          lane_.maker.made() && !frame.tensors.empty() && frame.tensors[0].memory.get() == lane_.maker.made();
      if (lent) lane_.maker.taken();
      Frame& sent = node_.sent_;
      sent = frame;
      if (!sent.source && lane_.stream != 0 && lane_.stream != any_stream)
        sent.source = SourceId{.stream = lane_.stream, .pts = sent.pts};
      for (auto& region : sent.regions) region.id = region.parent = -1;  // of another frame
      number_regions(sent);
      auto status = node_.send(sent, {.lent = lent});
      sent.clear();
      return status;
    }
    Status gap(const Gap& gap) override {
      const OutsideTime outside;
      if (gap.source || lane_.stream == 0 || lane_.stream == any_stream) return node_.send_gap(gap);
      Gap of_stream = gap;
      of_stream.source = SourceId{.stream = lane_.stream, .pts = gap.pts};
      return node_.send_gap(of_stream);
    }

   private:
    TransformNode& node_;
    Lane& lane_;
  };

  Frame sent_;  // kept for its capacity
  std::mutex pools_mutex_;
  std::vector<std::pair<uint64_t, Ref<MemoryPool>>>
      pools_;  // by stream; guarded: upstream asks from its thread
};

class InplaceNode final : public ElementNode {
 public:
  using ElementNode::ElementNode;

  FormatSpecs accepts(const Port& port) const override {
    auto both = intersect(desc_.input, Node::accepts(port));
    return both.empty() ? desc_.input : both;
  }

  Status format(Port&, uint64_t stream, const Format& format) override {
    auto lane = lane_for(stream);
    if (!lane) return stop_with(lane.error(), stream);
    (*lane)->input = (*lane)->output = format;
    (*lane)->maker.set_format(format);
    if (auto status = configure(**lane); !status) return stop_with(status.error(), stream);
    return send_format(stream, format);
  }

  Status frame(Port& port, Frame& frame, Hold hold) override {
    Lane& lane = lane_of(stream_of(frame.source));
    auto verdict = process(port, lane, frame, hold);
    if (!verdict) return stop_with(verdict.error(), lane.stream);
    if (*verdict == Verdict::drop) return {};
    if (*verdict == Verdict::gap) return send_gap({frame.pts, frame.duration, frame.source});
    number_regions(frame);
    if (!desc_.writes_pixels) hold.lent = false;  // it may have kept the frame
    return send(frame, hold);
  }

  Status gap(Port&, const Gap& gap) override {
    static_cast<TransformInplace*>(lane_of(stream_of(gap.source)).element)->gap(gap);
    return send_gap(gap);
  }

 private:
  Result<Verdict> process(Port& port, Lane& lane, Frame& frame, Hold& hold) {
    if (auto status = use(lane); !status) return forward_error(status);
    if (desc_.writes_pixels && !may_write(frame, hold)) {
      if (auto status = copy_pixels(port, lane, frame); !status) return forward_error(status);
      hold = {};
    }
    const BusyTime time(busy);
    return static_cast<TransformInplace*>(lane.element)->process(frame);
  }

  // Replaces memory that others look at by a copy.
  Status copy_pixels(Port& port, Lane& lane, Frame& frame) {
    if (run_.strict_zero_copy) {
      return fail(
          ErrorCode::not_negotiated,
          "strict zero-copy: {} changes pixels that {} or another branch still holds, which would copy "
          "them",
          name(), port.from().name());
    }
    // On the device that they lie on.
    const bool has_memory = !frame.tensors.empty() && frame.tensors[0].memory;
    const Context* device =
        has_memory && lane.input.memory == MemoryKind::cuda ? frame.tensors[0].memory->context() : nullptr;
    if (auto status = lane.maker.make(run_, nullptr, lane.stream, copy_, device); !status) return status;
    auto status =
        lane.input.memory == MemoryKind::cuda ? cuda_copy(frame, copy_) : copy_content(frame, copy_);
    port.hop().copied(content_bytes(frame));
    frame.tensors.swap(copy_.tensors);
    copy_.tensors.clear();
    return status;
  }

  Status drain(Lane& lane) override {
    if (auto status = use(lane); !status) return status;
    const BusyTime time(busy);
    return static_cast<TransformInplace*>(lane.element)->drain();
  }

  Frame copy_;  // kept for its capacity
};

class SinkNode final : public ElementNode {
 public:
  using ElementNode::ElementNode;

  FormatSpecs accepts(const Port&) const override { return desc_.input; }
  bool may_have_outputs() const override { return false; }

  Status format(Port&, uint64_t stream, const Format& format) override {
    auto lane = lane_for(stream);
    if (!lane) return stop_with(lane.error(), stream);
    (*lane)->input = format;
    if (auto status = configure(**lane); !status) return stop_with(status.error(), stream);
    return {};
  }

  Status frame(Port&, Frame& frame, Hold) override {
    Lane& lane = lane_of(stream_of(frame.source));
    auto status = use(lane);
    if (status) {
      const BusyTime time(busy);
      status = static_cast<Sink*>(lane.element)->write(frame);
    }
    if (status) return {};
    return stop_with(status.error(), lane.stream);
  }

  Status gap(Port&, const Gap&) override { return {}; }

 private:
  Status drain(Lane& lane) override {
    const BusyTime time(busy);
    return static_cast<Sink*>(lane.element)->drain();
  }
};

}  // namespace

std::unique_ptr<Node> make_element_node(RunState& run, ElementNode::Kind kind, unsigned number) {
  switch (kind.desc->kind) {
    case ElementKind::source:
      return std::make_unique<SourceNode>(run, std::move(kind), number);
    case ElementKind::transform:
      return std::make_unique<TransformNode>(run, std::move(kind));
    case ElementKind::transform_inplace:
      return std::make_unique<InplaceNode>(run, std::move(kind));
    case ElementKind::sink:
      return std::make_unique<SinkNode>(run, std::move(kind));
  }
  return nullptr;
}

}  // namespace sightglass::flow
