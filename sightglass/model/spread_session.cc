#include "sightglass/model/spread_session.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "sightglass/model/stream_spread.h"

namespace sightglass {
namespace {

void add(HistogramCounts& sum, const HistogramCounts& more) {
  if (sum.buckets.empty()) {
    sum = more;
    return;
  }
  for (size_t i = 0; i < std::min(sum.buckets.size(), more.buckets.size()); ++i)
    sum.buckets[i] += more.buckets[i];
  sum.sum += more.sum;
}

class SpreadSession final : public Session, public std::enable_shared_from_this<SpreadSession> {
 public:
  explicit SpreadSession(std::vector<SpreadPart> parts) : parts_(std::move(parts)), spread_(parts_.size()) {}

  const ModelSignature& signature() const override { return first().signature(); }
  const ModelSignature& signature_with_constants() const override {
    return first().signature_with_constants();
  }
  const std::string& model() const override { return first().model(); }
  ContextRef device() const override { return first().device(); }
  size_t batch_size() const override { return first().batch_size(); }
  void set_batch_timeout(int milliseconds) override {
    for (const SpreadPart& part : parts_) part.session->set_batch_timeout(milliseconds);
  }
  SessionTotals totals() const override {
    SessionTotals sum;
    for (const SpreadPart& part : parts_) {
      const SessionTotals one = part.session->totals();
      sum.batches += one.batches;
      sum.samples += one.samples;
      sum.seconds += one.seconds;
      add(sum.sizes, one.sizes);
      add(sum.waits, one.waits);
      add(sum.runs, one.runs);
      sum.failed += one.failed;
      // One device that is gone is reason enough.
      sum.failed_in_a_row = std::max(sum.failed_in_a_row, one.failed_in_a_row);
      if (one.last_failed_ns <= sum.last_failed_ns) continue;
      sum.last_failed_ns = one.last_failed_ns;
      sum.last_failure = one.last_failure;
    }
    return sum;
  }
  std::vector<DeviceLoad> loads() const override {
    std::vector<DeviceLoad> loads;
    const auto spread = spread_.loads();
    loads.reserve(parts_.size());
    for (size_t i = 0; i < parts_.size(); ++i)
      loads.push_back({.device = parts_[i].device,
                       .streams = spread[i].streams,
                       .frames_per_second = std::max(spread[i].frames_per_second, 0.0),
                       .totals = parts_[i].session->totals()});
    return loads;
  }
  Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape> inputs) override {
    return first().outputs_for(inputs);
  }
  Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo> inputs,
                                                     MemoryKind memory) override;

  Session& on(size_t place) const { return *parts_[place].session; }
  // Whose memory it is; none: of no device here.
  std::optional<size_t> place_of(const Context& device) const {
    for (size_t i = 0; i < parts_.size(); ++i)
      if (const ContextRef own = on(i).device(); own && device.same_device(*own)) return i;
    return {};
  }

 private:
  Session& first() const { return on(0); }

  const std::vector<SpreadPart> parts_;
  StreamSpread spread_;
};

// Blocks of the device that the stream is bound to just now.
class BoundPool final : public MemoryPool {
 public:
  explicit BoundPool(Ref<MemoryPool> pool) : block_size_(pool->block_size()), pool_(std::move(pool)) {}
  size_t block_size() const override { return block_size_; }
  Result<MemoryRef> acquire() override { return current()->acquire(); }
  void bind(Ref<MemoryPool> pool) {
    const std::lock_guard lock(mutex_);
    pool_ = std::move(pool);
  }

 private:
  Ref<MemoryPool> current() {
    const std::lock_guard lock(mutex_);
    return pool_;
  }
  const size_t block_size_;
  std::mutex mutex_;
  Ref<MemoryPool> pool_;
};

class SpreadStream final : public SessionStream {
 public:
  SpreadStream(std::shared_ptr<SpreadSession> session, std::span<const TensorInfo> inputs, MemoryKind memory,
               std::unique_ptr<StreamSpread::Share> share, std::unique_ptr<SessionStream> stream)
      : session_(std::move(session)),
        inputs_(inputs.begin(), inputs.end()),
        memory_(memory),
        share_(std::move(share)),
        stream_(std::move(stream)),
        outputs_(stream_->outputs()),
        note_(stream_->note()) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Ref<MemoryPool> pool = stream_->input_pool(i);
      pools_.push_back(pool ? make_ref<BoundPool>(std::move(pool)) : nullptr);
    }
  }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::string& note() const override { return note_; }
  Ref<MemoryPool> input_pool(size_t input) const override { return pools_[input]; }

  Status submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) override {
    if (memory_ != MemoryKind::system)
      if (Status bound = bind_to(inputs); !bound) return bound;
    return stream_->submit(inputs, pts, outputs);
  }
  void drain() override { stream_->drain(); }
  void set_frame_period(Time period) override {
    period_ = period;
    share_->set_rate(period > 0 ? 1e9 / double(period) : StreamSpread::usual_rate);
    stream_->set_frame_period(period);
  }
  void cancel() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    stream_->cancel();
  }
  void resume() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = false;
    stream_->resume();
  }

 private:
  // To the device whose memory the tensors lie in. What is under way on another one is finished first.
  Status bind_to(std::span<const Tensor> inputs) {
    const Context* const device = inputs.empty() || !inputs[0].memory ? nullptr : inputs[0].memory->context();
    if (!device || device == device_) return {};
    const auto place = session_->place_of(*device);
    if (!place)
      return fail(ErrorCode::not_negotiated, "{}: tensors lie on {}, where the model is not loaded",
                  session_->model(), device->description());
    if (*place != share_->place()) {
      auto opened = session_->on(*place).open_stream(inputs_, memory_);
      if (!opened) return forward_error(opened);
      if (period_ > 0) (*opened)->set_frame_period(period_);
      std::unique_ptr<SessionStream> old;
      {
        const std::lock_guard lock(mutex_);
        if (is_cancelled_) (*opened)->cancel();
        old = std::exchange(stream_, *std::move(opened));
      }
      for (size_t i = 0; i < pools_.size(); ++i)
        if (pools_[i]) pools_[i]->bind(stream_->input_pool(i));
      share_->move_to(*place);
    }
    device_ = device;
    return {};
  }

  const std::shared_ptr<SpreadSession> session_;
  const std::vector<TensorInfo> inputs_;
  const MemoryKind memory_;
  const std::unique_ptr<StreamSpread::Share> share_;
  const Context* device_ = nullptr;  // of the last tensors
  std::mutex mutex_;                 // of who replaces the stream, and of cancel() and resume()
  std::unique_ptr<SessionStream> stream_;
  bool is_cancelled_ = false;
  Time period_ = no_time;
  const std::vector<TensorInfo> outputs_;
  const std::string note_;
  std::vector<Ref<BoundPool>> pools_;
};

Result<std::unique_ptr<SessionStream>> SpreadSession::open_stream(std::span<const TensorInfo> inputs,
                                                                  MemoryKind memory) {
  auto share = std::make_unique<StreamSpread::Share>(spread_, StreamSpread::usual_rate);
  auto stream = on(share->place()).open_stream(inputs, memory);
  if (!stream) return stream;
  return std::make_unique<SpreadStream>(shared_from_this(), inputs, memory, std::move(share),
                                        *std::move(stream));
}

}  // namespace

std::shared_ptr<Session> spread_session(std::vector<SpreadPart> parts) {
  return std::make_shared<SpreadSession>(std::move(parts));
}

}  // namespace sightglass
