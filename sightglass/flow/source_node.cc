#include "sightglass/flow/source_node.h"

#include <algorithm>

namespace sightglass::flow {
namespace {

// Whether the frame is of this format, as far as a frame can say.
bool is_of(const Frame& frame, const Format& format) {
  if (!frame.tensors.empty() && frame.tensors[0].memory && frame.tensors[0].memory->kind() != format.memory)
    return false;
  if (frame.video) return format.video() && *format.video() == *frame.video;
  const auto* tensors = format.tensors();
  if (!tensors) return format.media.index() == 0 && frame.tensors.empty();
  return std::ranges::equal(frame.tensors, tensors->tensors,
                            [](const Tensor& tensor, const TensorInfo& info) {
                              return tensor.type == info.type && tensor.shape == info.shape &&
                                     (info.strides.empty() ? tensor.dense() : tensor.strides == info.strides);
                            });
}

}  // namespace

class SourceNode::Allocating final : public Output {
 public:
  Allocating(SourceNode& node, Lane& lane) : node_(node), lane_(lane) {}
  Status allocate(Frame& frame) override {
    return lane_.maker.make(node_.run_, node_.out.empty() ? nullptr : node_.out[0], lane_.stream, frame);
  }
  Status push(const Frame&) override {
    return fail(ErrorCode::unsupported, "a source fills the frame that it is given");
  }
  Status gap(const Gap& gap) override { return node_.send_gap(gap); }

 private:
  SourceNode& node_;
  Lane& lane_;
};

Status SourceNode::negotiate() {
  auto formats = source().formats();
  if (!formats) return stop_with(formats.error(), 0);
  if (formats->empty()) return {};  // known with the first frame
  Result<Format> chosen = formats->front();
  if (!out.empty()) {
    FormatSpecs offers;
    for (const auto& format : *formats) offers.push_back(spec_of(format));
    chosen = out[0]->choose(offers, formats->front());
    if (!chosen) return stop_with(chosen.error(), 0);
    // As the source has said it, with its frame rate and colours.
    for (const auto& format : *formats)
      if (contains(spec_of(format), *chosen)) {
        chosen = format;
        break;
      }
  }
  Lane& lane = *lanes_.front();
  lane.output = *chosen;
  lane.maker.set_format(*chosen);
  if (auto status = configure(lane); !status) return stop_with(status.error(), 0);
  lane.stream = number_ ? number_ : any_stream;
  streams_.push_back({lane.stream, *chosen});
  return send_format(lane.stream, *chosen);
}

void SourceNode::number(Frame& frame) const {
  if (number_ == 0) return;
  if (!frame.source) frame.source = SourceId{.stream = 0, .pts = frame.pts};
  const uint64_t own = frame.source->stream;
  frame.source->stream = own == 0 ? number_ : own | uint64_t(number_) << 32;
}

Status SourceNode::follow_format(const Frame& frame) {
  const uint64_t id = stream_of(frame.source);
  auto stream = std::ranges::find(streams_, id, &Stream::id);
  if (stream != streams_.end() && is_of(frame, stream->format)) return {};
  if (stream == streams_.end() && !streams_.empty() && streams_.front().id == any_stream) {
    stream = streams_.begin();
    stream->id = lanes_.front()->stream = id;
    if (is_of(frame, stream->format)) return send_format(id, stream->format);
  }
  if (stream == streams_.end()) stream = streams_.insert(stream, {id, {}});
  stream->format = format_of(frame);
  if (streams_.size() == 1) {
    lanes_.front()->stream = id;
    lanes_.front()->maker.set_format(stream->format);
  }
  return send_format(id, stream->format);
}

Result<bool> SourceNode::read() {
  if (run_.stopping() || run_.finishing.load(std::memory_order_relaxed)) return false;
  frame_.clear();
  Allocating memory(*this, *lanes_.front());
  auto more = [&] {
    const BusyTime time(busy);
    return source().read(frame_, memory);
  }();
  if (!more && run_.finishing.load(std::memory_order_relaxed)) return false;
  if (!more || !*more) return more;
  number(frame_);
  return true;
}

void SourceNode::work() {
  uint64_t count = 0;
  while (run_.frame_limit == 0 || count < run_.frame_limit) {
    auto more = read();
    if (!more) {
      (void)stop_with(more.error(), 0);
      return;
    }
    if (!*more) break;
    ++count;
    if (!follow_format(frame_)) return;
    if (!send(frame_, {})) return;
  }
  frame_.clear();
  if (!run_.stopping()) (void)send_end();
}

}  // namespace sightglass::flow
