#include "sightglass/flow/frame_exchange.h"

#include <utility>

namespace sightglass::flow {
namespace {

std::unexpected<Error> cancelled() { return fail(ErrorCode::cancelled, "the flow has stopped"); }

class FakeSink final : public Sink {
 public:
  struct Params {
    bool sync = false, async = true;
  };
  Status write(const Frame&) override { return {}; }
};

ParamTable exchange_params() {
  return ParamTable::of<FrameSource::Params>({
      param("max-buffers", &FrameSource::Params::max_buffers, "most frames that wait").range(1, 1e6),
  });
}

}  // namespace

Result<bool> FrameSource::read(Frame& frame, Output&) {
  const OutsideTime waiting;
  if (!queue_.pop(item_)) return cancelled();
  if (item_.kind == Item::Kind::end) return false;
  std::swap(frame, item_.frame);
  item_.frame.clear();
  return true;
}

Status FrameSource::push(const Frame& frame) {
  if (ended_) return fail(ErrorCode::invalid_argument, "the end has been pushed already");
  if (!queue_.push(Item::Kind::frame, [&](Item& item) { item.frame = frame; })) return cancelled();
  return {};
}

Status FrameSource::end() {
  if (ended_.exchange(true)) return {};
  if (!queue_.push(Item::Kind::end, [](Item&) {})) return cancelled();
  return {};
}

Status FrameSink::write(const Frame& frame) {
  const OutsideTime waiting;
  if (!queue_.push(Item::Kind::frame, [&](Item& item) { item.frame = frame; })) return cancelled();
  return {};
}

Status FrameSink::drain() {
  if (!queue_.push(Item::Kind::end, [](Item&) {})) return cancelled();
  return {};
}

Result<std::optional<Frame>> FrameSink::pull() {
  std::lock_guard lock(pull_mutex_);
  if (at_end_) return std::nullopt;
  Item item;
  if (!queue_.pop(item)) return cancelled();
  if (item.kind == Item::Kind::frame) return std::move(item.frame);
  at_end_ = true;
  return std::nullopt;
}

const ElementDesc& frame_source_desc() {
  static const ElementDesc desc{
      .name = "frame_source",
      .title = "Frames of the program",
      .klass = "Source/Video",
      .doc = "Gives the frames that the program pushes.",
      .kind = ElementKind::source,
      .output = {{AnySpec{}}},
      .params = exchange_params(),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<FrameSource>(params.as<FrameSource::Params>());
      },
  };
  return desc;
}

const ElementDesc& frame_sink_desc() {
  static const ElementDesc desc{
      .name = "frame_sink",
      .title = "Frames for the program",
      .klass = "Sink/Video",
      .doc = "Keeps frames until the program pulls them.",
      .kind = ElementKind::sink,
      .input = {{AnySpec{}}},
      .params = exchange_params(),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<FrameSink>(params.as<FrameSink::Params>());
      },
  };
  return desc;
}

const ElementDesc& fakesink_desc() {
  static const ElementDesc desc{
      .name = "fakesink",
      .title = "Drops frames",
      .klass = "Sink",
      .doc = "Drops what it gets.",
      .kind = ElementKind::sink,
      .input = {{AnySpec{}}},
      .params = ParamTable::of<FakeSink::Params>({
          param("sync", &FakeSink::Params::sync, "of GStreamer; frames are never held back here"),
          param("async", &FakeSink::Params::async, "of GStreamer; without effect here"),
      }),
      .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<FakeSink>();
      },
  };
  return desc;
}

}  // namespace sightglass::flow
