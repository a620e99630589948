#include "sightglass/model/spread_session.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

namespace sightglass {
namespace {

// What a stream counts for that has not said how far its frames are apart.
constexpr double usual_rate = 30;

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
  explicit SpreadSession(std::vector<SpreadPart> parts) {
    for (SpreadPart& part : parts) places_.push_back({.part = std::move(part), .streams = 0, .rate = 0});
  }

  const ModelSignature& signature() const override { return first().signature(); }
  const ModelSignature& signature_with_constants() const override {
    return first().signature_with_constants();
  }
  const std::string& model() const override { return first().model(); }
  ContextRef device() const override { return first().device(); }
  size_t batch_size() const override { return first().batch_size(); }
  void set_batch_timeout(int milliseconds) override {
    for (const Place& place : places_) place.part.session->set_batch_timeout(milliseconds);
  }
  SessionTotals totals() const override {
    SessionTotals sum;
    for (const Place& place : places_) {
      const SessionTotals one = place.part.session->totals();
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
    const std::lock_guard lock(mutex_);
    for (const Place& place : places_)
      loads.push_back({.device = place.part.device,
                       .streams = place.streams,
                       .frames_per_second = std::max(place.rate, 0.0),
                       .totals = place.part.session->totals()});
    return loads;
  }
  Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape> inputs) override {
    return first().outputs_for(inputs);
  }
  Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo> inputs,
                                                     MemoryKind memory) override;

  Session& on(size_t place) const { return *places_[place].part.session; }

  // The place that has least to do; the stream counts there from now on.
  size_t take(double rate) {
    const std::lock_guard lock(mutex_);
    const auto least = std::ranges::min_element(
        places_, {}, [](const Place& place) { return std::pair(place.rate, place.streams); });
    ++least->streams, least->rate += rate;
    return size_t(least - places_.begin());
  }
  void move(size_t from, size_t to, double rate) {
    const std::lock_guard lock(mutex_);
    --places_[from].streams, places_[from].rate -= rate;
    ++places_[to].streams, places_[to].rate += rate;
  }
  void change_rate(size_t place, double by) {
    const std::lock_guard lock(mutex_);
    places_[place].rate += by;
  }
  void leave(size_t place, double rate) {
    const std::lock_guard lock(mutex_);
    // Without a stream exactly nothing: sums of fractions leave rests.
    if (--places_[place].streams == 0)
      places_[place].rate = 0;
    else
      places_[place].rate -= rate;
  }
  // Whose memory it is; none: of no device here.
  std::optional<size_t> place_of(const Context& device) const {
    for (size_t i = 0; i < places_.size(); ++i)
      if (const ContextRef own = on(i).device(); own && device.same_device(*own)) return i;
    return {};
  }

 private:
  struct Place {
    SpreadPart part;
    size_t streams = 0;
    double rate = 0;
  };
  Session& first() const { return on(0); }

  mutable std::mutex mutex_;  // of streams and rates
  std::vector<Place> places_;
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
               size_t place, std::unique_ptr<SessionStream> stream)
      : session_(std::move(session)),
        inputs_(inputs.begin(), inputs.end()),
        memory_(memory),
        place_(place),
        stream_(std::move(stream)),
        outputs_(stream_->outputs()),
        note_(stream_->note()) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Ref<MemoryPool> pool = stream_->input_pool(i);
      pools_.push_back(pool ? make_ref<BoundPool>(std::move(pool)) : nullptr);
    }
  }
  ~SpreadStream() override {
    stream_ = nullptr;
    session_->leave(place_, rate_);
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
    const double rate = period > 0 ? 1e9 / double(period) : usual_rate;
    session_->change_rate(place_, rate - rate_);
    rate_ = rate;
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
    if (*place != place_) {
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
      session_->move(place_, *place, rate_);
      place_ = *place;
    }
    device_ = device;
    return {};
  }

  const std::shared_ptr<SpreadSession> session_;
  const std::vector<TensorInfo> inputs_;
  const MemoryKind memory_;
  size_t place_;
  const Context* device_ = nullptr;  // of the last tensors
  std::mutex mutex_;                 // of who replaces the stream, and of cancel() and resume()
  std::unique_ptr<SessionStream> stream_;
  bool is_cancelled_ = false;
  Time period_ = no_time;
  double rate_ = usual_rate;
  const std::vector<TensorInfo> outputs_;
  const std::string note_;
  std::vector<Ref<BoundPool>> pools_;
};

Result<std::unique_ptr<SessionStream>> SpreadSession::open_stream(std::span<const TensorInfo> inputs,
                                                                  MemoryKind memory) {
  const size_t place = take(usual_rate);
  auto stream = on(place).open_stream(inputs, memory);
  if (!stream) {
    leave(place, usual_rate);
    return stream;
  }
  return std::make_unique<SpreadStream>(shared_from_this(), inputs, memory, place, *std::move(stream));
}

}  // namespace

std::shared_ptr<Session> spread_session(std::vector<SpreadPart> parts) {
  return std::make_shared<SpreadSession>(std::move(parts));
}

}  // namespace sightglass
