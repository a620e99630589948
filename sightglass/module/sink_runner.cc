#include "sightglass/module/sink_runner.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "sightglass/core/left_behind.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/module/record_codec.h"

namespace sightglass::module {
namespace {

using adapters::Stored;
constexpr auto tick = std::chrono::milliseconds(100);
constexpr int64_t ms = 1'000'000;

std::chrono::nanoseconds ns(int64_t time) { return std::chrono::nanoseconds(time); }

// About what a record holds in memory.
uint64_t bytes_of(const adapters::Record& record) {
  return 512 + record.payload.bytes.size() + 256 * record.results.regions.size();
}

bool is_note(const adapters::Record& record) {
  return record.kind == adapters::RecordKind::end_of_stream ||
         record.kind == adapters::RecordKind::stream_update;
}

// Many adapters name themselves in what they say.
void name_sink(Error& error, const std::string& name) {
  if (!error.message.starts_with(name + ": ")) error.element = name;
}

// Clips around events: the sink sees what comes before and behind them as well.
bool rolls_around_when(const SinkSettings& settings) {
  const auto is_set = [&](const char* name) {
    return settings.desc->params.find(name) && settings.params->is_set(name);
  };
  return !settings.when.is_null() && (is_set("pre-roll") || is_set("post-roll"));
}

}  // namespace

Result<std::unique_ptr<SinkRunner>> SinkRunner::open(const SinkSettings& settings) {
  std::unique_ptr<SinkRunner> runner(new SinkRunner(settings));
  auto params = *settings.params;
  const bool rolls = rolls_around_when(settings);
  if (rolls)
    if (auto set = params.set_text("roll-when", settings.when.to_json()); !set) return forward_error(set);
  auto sink = settings.desc->create(params, {.name = settings.name,
                                             .module = settings.module,
                                             .folder = settings.folder,
                                             .batch_bytes = settings.batch_bytes});
  if (!sink) {
    name_sink(sink.error(), settings.name);
    return forward_error(sink);
  }
  runner->sink_ = std::move(*sink);
  runner->sink_->tell_stored_to([self = runner.get()](size_t record) { self->is_stored_already(record); });
  auto when = Selector::parse(settings.when.is_null() || rolls ? "{}" : settings.when.to_json(),
                              "pipeline.sinks." + settings.name + ".when", Selector::Scope::frame);
  if (!when) return forward_error(when);
  runner->when_ = *when;
  if (settings.map) {
    auto map = load_map(*settings.map, {.element = settings.name, .folder = settings.folder});
    if (!map) return forward_error(map);
    runner->map_ = std::move(*map);
  }
  stream::SinkSpill spill;
  if (settings.queue.policy == QueuePolicy::spill) {
    auto file = stream::SpillFile::open(
        settings.spill_folder,
        {.most_bytes = settings.queue.spill_bytes, .sync = stream::SpillSync(settings.queue.sync)});
    if (!file) {
      file.error().message += "; storage.spill names another folder, queue.policy another way";
      file.error().element = settings.name;
      return forward_error(file);
    }
    spill.file = std::move(*file);
    auto codec = std::make_shared<RecordCodec>();
    spill.encode = [codec](const stream::SinkItem& item, std::vector<uint8_t>& bytes) {
      codec->encode(*static_cast<const Parcel*>(item.record.get())->record, bytes);
    };
    spill.decode = [codec](std::span<const uint8_t> bytes) -> Result<stream::SinkItem> {
      auto record = codec->decode(bytes);
      if (!record) return forward_error(record);
      const uint64_t size = bytes_of(**record);
      return stream::SinkItem{.record = std::make_shared<const Parcel>(*record, nullptr, nullptr),
                              .bytes = size,
                              .keyframe = (*record)->keyframe,
                              .keep = is_note(**record)};
    };
  }
  runner->queue_ = std::make_unique<stream::SinkQueue>(
      stream::SinkQueueLimits{.records = settings.queue.records,
                              .bytes = settings.queue.bytes,
                              .policy = stream::QueuePolicy(settings.queue.policy),
                              .durable = settings.queue.durable},
      std::move(spill), [self = runner.get()](const stream::SinkItem& item) { self->settle(item, false); },
      [self = runner.get()](const stream::SinkItem& item) {
        self->settle_spilled(*static_cast<const Parcel*>(item.record.get()));
      });
  return runner;
}

SinkRunner::SinkRunner(const SinkSettings& settings) : settings_(settings) {}

SinkRunner::~SinkRunner() {
  if (thread_.joinable()) (void)stop(0);
  queue_.reset();  // it may still have to say what is on disk
}

Status SinkRunner::start() {
  if (auto started = sink_->start(); !started) {
    name_sink(started.error(), settings_.name);
    return started;
  }
  {
    const std::lock_guard lock(mutex_);  // it may be asked for already
    is_up_ = true;
  }
  thread_ = std::jthread([this] { run(); });
  return {};
}

SinkRunner::Offer SinkRunner::offer(const ParcelRef& parcel, uint64_t stream,
                                    const std::function<void()>& waiter) {
  const adapters::Record& record = *parcel->record;
  if (record.kind == adapters::RecordKind::frame && !when_.everything()) {
    const auto& frame = record.message->frame;
    if (!when_.matches(record.results, {.source = record.source_id,
                                        .keyframe = record.keyframe,
                                        .width = frame ? frame->width : 0,
                                        .height = frame ? frame->height : 0}))
      return Offer::taken;
  }
  // Where it may be full it is asked again after the waiter is known: no wake-up is lost.
  for (bool last_try = false;; last_try = true) {
    if (settings_.required) parcel->expect();
    stream::SinkItem item{.record = parcel,
                          .bytes = bytes_of(record),
                          .stream = stream,
                          .keyframe = record.keyframe || record.payload.bytes.empty(),
                          .keep = is_note(record)};
    switch (queue_->push(item)) {
      case stream::SinkQueue::Status::taken:
      case stream::SinkQueue::Status::dropped:  // on_dropped has settled it
        return Offer::taken;
      case stream::SinkQueue::Status::closed:
        // Stays expected, for ever: a required sink has not stored it, and its writer learns that.
        note_end(*parcel, "dropped");
        ++dropped_;
        return Offer::taken;
      case stream::SinkQueue::Status::full:
        break;
    }
    if (settings_.required) parcel->withdraw();
    if (last_try) return Offer::full;
    const std::scoped_lock lock(mutex_);
    waiters_.push_back(waiter);
  }
}

// Of a record's way here; no error: it is stored. Before it is settled, which may be the end of its trace.
void SinkRunner::note_end(const Parcel& parcel, std::string_view error) {
  if (!parcel.is_of_frame()) return;
  const int64_t now = steady_now_ns();
  if (error.empty()) latencies_.observe(uint64_t(std::max<int64_t>(now - parcel.record->received_ns, 0)));
  if (parcel.trace) parcel.trace->add("sink." + settings_.name, parcel.offered_ns, now, error);
}

// On disk: that counts as stored.
void SinkRunner::settle_spilled(const Parcel& parcel) {
  note_end(parcel, {});
  if (settings_.required) parcel.done(true);
}

// What is on disk is settled already.
void SinkRunner::settle(const stream::SinkItem& item, bool stored) {
  if (!item.on_disk) {
    note_end(*item.as<Parcel>(), stored ? "" : "dropped");
    if (settings_.required) item.as<Parcel>()->done(stored);
  }
  ++(stored ? delivered_ : dropped_);
}

void SinkRunner::run() {
  // Client libraries write to connections that the server has closed.
  sigset_t pipes;
  sigemptyset(&pipes);
  sigaddset(&pipes, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipes, nullptr);
  Items items;
  while (gather(items)) {
    const size_t stored = store(items);
    queue_->done(stored);
    if (stored < items.size()) queue_->retry();  // given up: nothing of it is committed
    items.clear();
    wake_waiters();
    flush_if_asked();
  }
  flush_if_asked();
  if (auto flushed = sink_->flush(); !flushed) note_error(flushed.error());
  sink_->stop();
  const std::scoped_lock lock(mutex_);
  is_up_ = false;
  is_ended_ = true;
  wake_.notify_all();
}

// Waits for a batch. False: the end.
bool SinkRunner::gather(Items& items) {
  for (;;) {
    flush_if_asked();
    const bool is_empty = queue_->is_empty();
    {
      std::unique_lock lock(mutex_);
      if (is_cancelled_) return false;
      if (is_empty) blocked_since_ = 0;
      if (is_paused_) {
        if (!blocked_since_ && !is_empty) blocked_since_ = steady_now_ns();
        wake_.wait_for(lock, tick);
        continue;
      }
    }
    const bool is_last = is_closing_;
    if (!queue_->pop(items, settings_.batch_records, tick)) {
      if (is_last) return false;
      continue;
    }
    const int64_t until = steady_now_ns() + settings_.batch_time;
    while (items.size() < settings_.batch_records) {
      const int64_t left = until - steady_now_ns();
      const size_t missing = settings_.batch_records - items.size();
      if (left <= 0 || !queue_->pop(items, missing, ns(left), missing)) break;
    }
    return true;
  }
}

// Until each item is stored, buried, or the time is up. How many of the first ones are done with.
size_t SinkRunner::store(const Items& items) {
  {
    const std::scoped_lock lock(mutex_);
    if (!blocked_since_) blocked_since_ = steady_now_ns();
  }
  Items left = items;
  std::vector<size_t> places(items.size());  // of `left` in `items`
  std::iota(places.begin(), places.end(), size_t(0));
  std::vector<Stored> outcome;
  Time pause = settings_.retry_initial;
  for (unsigned attempt = 1; !left.empty(); ++attempt) {
    const auto written = write(left, outcome);
    const std::string refusal = written ? sink_->refusal() : std::string();
    if (!refusal.empty()) note_error({ErrorCode::io, refusal, {}, {}});
    bool has_stored = false;
    Items again;
    for (size_t i = 0; i < left.size(); ++i) {
      const Stored what = written ? outcome[i] : Stored::retry;
      if (settled_[i]) {
        has_stored = true;
      } else if (what == Stored::yes) {
        settle(left[i], true);
        has_stored = true;
      } else if (what == Stored::never) {
        bury(left[i], refusal.empty() ? "refused by the sink" : refusal);
      } else if (settings_.attempts && attempt >= settings_.attempts) {
        bury(left[i], std::format("not stored after {} attempts", attempt));
      } else {
        places[again.size()] = places[i];
        again.push_back(std::move(left[i]));
      }
    }
    left = std::move(again);
    {
      const std::scoped_lock lock(mutex_);
      is_up_ = written.has_value();
      blocked_since_ = left.empty() ? 0 : has_stored ? steady_now_ns() : blocked_since_;
      if (!left.empty()) ++retries_;
    }
    if (left.empty()) break;
    if (!pause_for(pause)) break;
    pause = std::min(pause * 2, settings_.retry_max);
  }
  if (left.empty()) return items.size();
  stored_behind_ = items.size() - places[0] - left.size();
  return places[0];
}

// Told by the sink from within write().
void SinkRunner::is_stored_already(size_t record) {
  const size_t place = map_ ? places_of_batch_[record] : record;
  if (settled_[place]) return;
  settled_[place] = true;
  settle((*writing_)[place], true);
  const std::scoped_lock lock(mutex_);
  blocked_since_ = steady_now_ns();
}

Status SinkRunner::write(Items& items, std::vector<Stored>& outcome) {
  batch_.clear();
  outcome.assign(items.size(), Stored::yes);
  settled_.assign(items.size(), false);
  writing_ = &items;
  if (!map_) {
    for (const auto& item : items) batch_.push_back(item.as<Parcel>()->record);
  } else {
    // Those that the function leaves out count as stored.
    places_of_batch_.clear();
    for (size_t i = 0; i < items.size(); ++i) {
      auto record = mapped(items[i].as<Parcel>()->record);
      if (!record) continue;
      batch_.push_back(std::move(*record));
      places_of_batch_.push_back(i);
    }
    std::vector<Stored> of_batch(batch_.size(), Stored::yes);
    auto written = sink_->write(batch_, of_batch);
    for (size_t i = 0; i < places_of_batch_.size(); ++i) outcome[places_of_batch_[i]] = of_batch[i];
    if (!written) note_error(written.error());
    return written;
  }
  auto written = sink_->write(batch_, outcome);
  if (!written) note_error(written.error());
  return written;
}

// None: the record is left out.
std::optional<adapters::RecordRef> SinkRunner::mapped(const adapters::RecordRef& record) {
  std::string json;
  adapters::write_record_json(*record, json);
  if (auto done = map_->map(json); !done) {
    note_error(done.error());
    return record;
  }
  if (json.empty()) return std::nullopt;
  auto changed = std::make_shared<adapters::Record>(*record);
  changed->results.json = std::move(json);
  return changed;
}

void SinkRunner::bury(const stream::SinkItem& item, std::string_view reason) {
  if (!settings_.dead_letter.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(settings_.dead_letter, ignored);
    const std::string path = std::filesystem::path(settings_.dead_letter) / (settings_.name + ".jsonl");
    std::string line;
    adapters::write_record_json(*item.as<Parcel>()->record, line);
    std::FILE* const file = std::fopen(path.c_str(), "a");
    if (file) std::fprintf(file, "%s\n", line.c_str());
    if (!file || std::fclose(file))
      note_error({ErrorCode::io, std::format("{}: dead letters cannot be written there", path), {}, {}});
  }
  if (!item.on_disk) {
    note_end(*item.as<Parcel>(), reason);
    // Settled by a policy that is counted: not to be sent again.
    if (settings_.required) item.as<Parcel>()->done(false);
  }
  const std::scoped_lock lock(mutex_);
  ++dead_letters_;
  last_error_ = reason;
}

// False: there is no more time.
bool SinkRunner::pause_for(Time time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, ns(time), [&] { return is_cancelled_; });
  return !is_cancelled_;
}

void SinkRunner::note_error(const Error& error) {
  const std::scoped_lock lock(mutex_);
  last_error_ = error.to_string();
}

void SinkRunner::wake_waiters() {
  if (!is_closing_ && !queue_->has_room()) return;
  std::vector<std::function<void()>> waiters;
  {
    const std::scoped_lock lock(mutex_);
    waiters.swap(waiters_);
  }
  for (const auto& waiter : waiters) waiter();
}

void SinkRunner::flush_if_asked() {
  {
    const std::scoped_lock lock(mutex_);
    if (!flush_asked_) return;
    flush_asked_ = false;
  }
  if (auto flushed = sink_->flush(); !flushed) note_error(flushed.error());
}

Status SinkRunner::act(std::string_view action) {
  const std::scoped_lock lock(mutex_);
  if (action == "flush")
    flush_asked_ = true;
  else if (action == "pause")
    is_paused_ = true;
  else if (action == "resume")
    is_paused_ = false;
  else
    return fail(ErrorCode::invalid_argument, "'{}' is no action of a sink; there are: flush, pause, resume",
                action);
  wake_.notify_all();
  return {};
}

SinkStatus SinkRunner::status() const {
  const auto queue = queue_->counts();
  const std::scoped_lock lock(mutex_);
  return {.name = settings_.name,
          .type = settings_.desc->name,
          .policy = std::string(stream::to_string(stream::QueuePolicy(settings_.queue.policy))),
          .last_error = last_error_.empty() ? queue.last_error : last_error_,
          .is_up = is_up_,
          .is_paused = is_paused_,
          .required = settings_.required,
          .queued = queue.records + queue.spill_records,
          .queued_bytes = queue.bytes,
          .spilled_bytes = queue.spill_bytes,
          .delivered = delivered_,
          .retries = retries_,
          .dropped = dropped_ + queue.spill_dropped,
          .dead_letters = dead_letters_,
          .latencies = latencies_.counts()};
}

bool SinkRunner::is_idle() const { return queue_->is_empty(); }

int64_t SinkRunner::blocked_since_ns() const {
  const std::scoped_lock lock(mutex_);
  return blocked_since_;
}

void SinkRunner::close() {
  queue_->close();
  is_closing_ = true;
  const std::scoped_lock lock(mutex_);
  is_paused_ = false;
  wake_.notify_all();
}

bool SinkRunner::wait_ended(int64_t deadline_ns) {
  if (!thread_.joinable()) return true;
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, ns(std::max<int64_t>(deadline_ns - steady_now_ns(), 0)),
                        [&] { return is_ended_; });
}

void SinkRunner::cancel() {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(is_cancelled_, true)) return;
    wake_.notify_all();
  }
  sink_->cancel();
}

uint64_t SinkRunner::stop(int64_t deadline_ns) {
  close();
  if (!thread_.joinable()) return 0;
  if (!wait_ended(deadline_ns)) {
    cancel();
    is_abandoned_ = !wait_ended(steady_now_ns() + 2000 * ms);
  }
  if (is_abandoned_) {
    thread_.detach();
    note_thread_left_behind();
  } else {
    thread_.join();
  }
  const uint64_t left = let_go();
  wake_waiters();
  return left;
}

// What the thread has not stored. Writers learn it now that they can still be told; what is on disk stays.
uint64_t SinkRunner::let_go() {
  const auto counts = queue_->counts();
  const uint64_t left = counts.records + counts.spill_records - (is_abandoned_ ? 0 : stored_behind_);
  if (is_abandoned_ || settings_.queue.policy == QueuePolicy::spill) return left;
  Items rest;
  queue_->retry();
  if (counts.records) (void)queue_->pop(rest, counts.records, {});
  queue_->done(rest.size());
  dropped_ += left;
  return left;
}

}  // namespace sightglass::module
