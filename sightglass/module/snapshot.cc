#include "sightglass/module/snapshot.h"

#include <chrono>
#include <condition_variable>
#include <optional>

#include "sightglass/module/record_maker.h"

namespace sightglass::module {
namespace {

class Waiting final : public InstanceEvents {
 public:
  void first_frame() override {}
  void result(InstanceResult result) override {
    const std::scoped_lock lock(mutex_);
    if (result.outcome == FrameOutcome::stored)
      picture_.emplace(result.payload.bytes.begin(), result.payload.bytes.end());
    is_done_ = true;
    changed_.notify_all();
  }
  void room() override {}
  void ended() override { end({}); }
  void failed(FailureKind, std::string text, std::string) override { end(std::move(text)); }

  Result<std::vector<uint8_t>> wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(5), [&] { return is_done_; }))
      return fail(ErrorCode::internal, "the picture was not ready within 5 s");
    if (picture_ && !picture_->empty()) return std::move(*picture_);
    return fail(ErrorCode::corrupt, "no picture could be made of the latest keyframe{}{}",
                text_.empty() ? "" : ": ", text_);
  }

 private:
  void end(std::string text) {
    const std::scoped_lock lock(mutex_);
    if (text_.empty()) text_ = std::move(text);
    is_done_ = true;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::vector<uint8_t>> picture_;
  std::string text_;
  bool is_done_ = false;
};

Value drawing() {
  Value box = Value::map();
  box.set("color", "lime");
  box.set("width", 2);
  Value rule = Value::map();
  rule.set("box", box);
  rule.set("label", "{label}");
  return Value::list({rule});
}

}  // namespace

Result<std::vector<uint8_t>> Snapshot::take(const stream::Delivery& keyframe, const adapters::Record& record,
                                            std::shared_ptr<const ParameterSet> parameters) {
  const std::scoped_lock lock(mutex_);
  if (!template_) {
    ModuleSpec spec;
    spec.name = "snapshot";
    spec.draw = drawing();
    spec.output_frame.codec = "jpeg";
    auto made = prepare_template(spec);
    if (!made) return forward_error(made);
    template_ = std::move(*made);
  }
  // The keyframe as it came, with the results in place of what it brought along.
  auto message = std::make_shared<stream::Message>();
  adapters::to_message(record, *message);
  const stream::VideoFrame& original = *keyframe.message->frame;
  stream::VideoFrame& frame = *message->frame;
  frame.codec = original.codec;
  frame.codec_data = original.codec_data;
  frame.raw = original.raw;
  frame.keyframe = true;
  frame.content = original.content;
  auto ticket = std::make_shared<Ticket>();
  ticket->delivery = keyframe;
  ticket->delivery.message = std::move(message);
  ticket->delivery.settlement.reset();
  ticket->pts = 0;
  ticket->original_pts = original_pts(original);

  auto waiting = std::make_unique<Waiting>();
  auto instance = start_instance(*template_,
                                 {.source_id = record.source_id,
                                  .epoch = 1,
                                  .format = format_of(original),
                                  .parameters = std::move(parameters)},
                                 *waiting);
  if (!instance) return forward_error(instance);
  Result<std::vector<uint8_t>> picture = fail(ErrorCode::internal, "the picture was not taken");
  if ((*instance)->push(ticket) == StreamInstance::Push::ok) {
    (*instance)->end();
    picture = waiting->wait();
  }
  if (!(*instance)->stop(5'000'000'000)) {
    // Its threads use both.
    (void)instance->release();
    (void)waiting.release();
    return fail(ErrorCode::internal, "the pipeline of the picture does not stop");
  }
  return picture;
}

}  // namespace sightglass::module
