#include "sightglass/gst/batch/batcher.h"

#include <algorithm>
#include <format>
#include <unordered_map>
#include <utility>

#include "sightglass/gst/frame_meta.h"

namespace sightglass::gst {
namespace {

constexpr std::chrono::milliseconds timeout_of_unknown_rate{40};

// The frame rates of two streams may differ within a batch.
CapsPtr key_of(const GstCaps* caps) {
  CapsPtr key(gst_caps_copy(caps));
  for (guint i = 0; i < gst_caps_get_size(key.get()); ++i)
    gst_structure_remove_field(gst_caps_get_structure(key.get(), i), "framerate");
  return key;
}

GstClockTime period_of(const GstCaps* caps) {
  gint num = 0, den = 1;
  if (!gst_structure_get_fraction(gst_caps_get_structure(caps, 0), "framerate", &num, &den) || num <= 0)
    return 0;
  return gst_util_uint64_scale_int(GST_SECOND, den, num);
}

bool equal(const CapsPtr& a, const CapsPtr& b) {
  return a == b || (a && b && gst_caps_is_equal(a.get(), b.get()));
}

}  // namespace

std::shared_ptr<Batcher> Batcher::shared(const std::string& id, const Options& options) {
  if (id.empty()) return std::make_shared<Batcher>(options);
  static std::mutex& mutex = *new std::mutex;
  static auto& known = *new std::unordered_map<std::string, std::weak_ptr<Batcher>>;
  std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
  if (auto batcher = known[id].lock()) return batcher;
  auto made = std::make_shared<Batcher>(options);
  known[id] = made;
  return made;
}

Batcher::Batcher(const Options& options)
    : batch_size_(std::max(1, options.batch_size.value_or(1))),
      timeout_(options.timeout.value_or(-1)),
      watcher_([this](std::stop_token stop) { watch(stop); }) {}

Batcher::~Batcher() {
  watcher_.request_stop();
  watcher_.join();
}

std::string Batcher::difference(const Options& options) const {
  std::lock_guard lock(mutex_);
  std::string text;
  if (options.batch_size && std::max(1, *options.batch_size) != batch_size_)
    text = std::format("batch-size={}", batch_size_);
  if (options.timeout && *options.timeout != timeout_)
    text += std::format("{}batch-timeout={}", text.empty() ? "" : ", ", timeout_);
  return text;
}

void Batcher::set_timeout(int milliseconds) {
  std::lock_guard lock(mutex_);
  timeout_ = milliseconds;
  if (!pending_.empty()) start_clock();
}

std::chrono::milliseconds Batcher::timeout() const {
  if (timeout_ >= 0) return std::chrono::milliseconds(timeout_);
  GstClockTime slowest = 0;
  for (const auto* member : members_) {
    if (member->period == 0) return timeout_of_unknown_rate;
    slowest = std::max(slowest, member->period);
  }
  return std::chrono::milliseconds(2 * slowest / GST_MSECOND);
}

GstClockTime Batcher::wait_time() const {
  std::lock_guard lock(mutex_);
  return batch_size_ > 1 ? GstClockTime(timeout().count()) * GST_MSECOND : 0;
}

void Batcher::start_clock() {
  deadline_ = Clock::now() + timeout();
  clock_set_.notify_all();
}

void Batcher::watch(std::stop_token stop) {
  Lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (deadline_ == Clock::time_point::max()) {
      clock_set_.wait(lock, stop, [&] { return deadline_ != Clock::time_point::max(); });
      continue;
    }
    const auto deadline = deadline_;
    if (clock_set_.wait_until(lock, stop, deadline, [&] { return deadline_ != deadline; })) continue;
    if (stop.stop_requested()) return;
    deadline_ = Clock::time_point::max();
    dispatch(lock);
  }
}

// ---- pushing

// One pushes at a time, without the lock.
void Batcher::begin_push(Lock& lock) {
  pushed_.wait(lock, [&] { return !pushing_; });
  pushing_ = true;
  lock.unlock();
}

void Batcher::end_push() {
  pushing_ = false;
  pushed_.notify_all();
}

BatchMember* Batcher::choose_leader() {
  const auto can_lead = [](const BatchMember* member) {
    return member->ready && !member->retired && (member->stream || !member->flushing);
  };
  if (leader_ && can_lead(leader_)) return leader_;
  const auto next = std::ranges::find_if(members_, can_lead);
  leader_ = next == members_.end() ? nullptr : *next;
  leader_key_ = leader_ && leader_->key ? CapsPtr(gst_caps_ref(leader_->key.get())) : nullptr;
  return leader_;
}

GstFlowReturn Batcher::dispatch(Lock& lock) {
  // Somebody else may send it meanwhile.
  pushed_.wait(lock, [&] { return !pushing_; });
  if (pending_.empty()) return flow_;
  samples_ = 0;
  deadline_ = Clock::time_point::max();
  return send(lock, std::exchange(pending_, {}));
}

GstFlowReturn Batcher::send(Lock& lock, std::vector<Entry> entries) {
  pushed_.wait(lock, [&] { return !pushing_; });
  auto* leader = choose_leader();
  if (!leader) return GST_FLOW_FLUSHING;
  const auto& key = entries.front().member->key;
  CapsPtr new_caps;
  if (key && !equal(key, leader_key_)) {
    new_caps.reset(gst_caps_ref(entries.front().member->caps.get()));
    leader_key_.reset(gst_caps_ref(key.get()));
  }
  GstPad* src = leader->src;
  begin_push(lock);

  if (new_caps) gst_pad_push_event(src, gst_event_new_caps(new_caps.get()));
  auto* list = gst_buffer_list_new_sized(guint(entries.size()));
  int index = 0;
  for (auto& entry : entries) {
    auto* buffer = entry.buffer.release();
    if (!entry.is_gap) set_batch_index(buffer, index++);
    gst_buffer_list_add(list, buffer);
  }
  const GstFlowReturn flow = gst_pad_push_list(src, list);

  lock.lock();
  end_push();
  // The pipeline of a shared leader that is broken says so itself, and the next batch takes another way.
  if (leader->stream && flow != GST_FLOW_OK) {
    leader->retired = true;
    leader->failed = flow;
  }
  if (!leader->stream) flow_ = flow;
  return flow;
}

// ---- members

void Batcher::join(BatchMember& member) {
  std::lock_guard lock(mutex_);
  member.retired = member.flushing = member.ready = member.has_sent = false;
  member.failed = GST_FLOW_OK;
  members_.push_back(&member);
  flow_ = GST_FLOW_OK;
}

void Batcher::leave(BatchMember& member) {
  Lock lock(mutex_);
  pushed_.wait(lock, [&] { return !pushing_; });
  member.retired = true;
  std::erase_if(pending_, [&](const Entry& entry) { return entry.member == &member; });
  samples_ = int(std::ranges::count(pending_, false, &Entry::is_gap));
  std::erase(members_, &member);
  if (leader_ == &member) leader_ = nullptr;
  dispatch(lock);
  pushed_.notify_all();
}

void Batcher::retire(BatchMember& member) {
  Lock lock(mutex_);
  // Nobody may lead in its place before what it carries has come out, so this and the push below are one
  // step.
  pushed_.wait(lock, [&] { return !pushing_; });
  if (std::exchange(member.retired, true)) return;
  const bool led = leader_ == &member;
  if (led) leader_ = nullptr;
  if (!led || !member.stream || !member.stream->bound()) return;
  // The next leader must not overtake what is under way here.
  member.stream->expect_drained();
  begin_push(lock);
  auto* end = gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty(drained_event_name));
  if (gst_pad_push_event(member.src, end)) member.stream->wait_until_drained();
  lock.lock();
  end_push();
  dispatch(lock);
}

bool Batcher::push_caps(BatchMember& member, GstEvent* event) {
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  Lock lock(mutex_);
  const bool leads = leader_ == &member || !member.stream;
  if (leads || waits(member)) dispatch(lock);
  if (leads) pushed_.wait(lock, [&] { return !pushing_; });
  member.caps.reset(gst_caps_ref(caps));
  member.key = key_of(caps);
  member.period = period_of(caps);
  if (leads) leader_key_.reset(gst_caps_ref(member.key.get()));
  if (!leads) {
    lock.unlock();
    return gst_pad_push_event(member.src, event);
  }
  begin_push(lock);
  const bool sent = gst_pad_push_event(member.src, event);
  lock.lock();
  end_push();
  return sent;
}

void Batcher::set_ready(BatchMember& member) {
  std::lock_guard lock(mutex_);
  member.ready = true;
}

bool Batcher::waits(const BatchMember& member) const {
  return std::ranges::any_of(pending_, [&](const Entry& entry) { return entry.member == &member; });
}

GstFlowReturn Batcher::append(BatchMember& member, GstBuffer* sample) {
  BufferPtr owned(sample);
  Lock lock(mutex_);
  const auto full = [&] { return samples_ >= batch_size_; };
  const auto fits = [&] { return pending_.empty() || equal(pending_.front().member->key, member.key); };
  // What is sent by others while this waits may be followed by another full batch.
  while (!member.flushing && (full() || !fits())) dispatch(lock);
  if (member.flushing) return GST_FLOW_FLUSHING;
  if (member.failed != GST_FLOW_OK) return member.failed;
  if (!member.stream && flow_ != GST_FLOW_OK) return flow_;
  pending_.push_back({&member, std::move(owned), false});
  member.has_sent = true;
  if (++samples_ == 1) start_clock();
  if (full() || timeout_ == 0) dispatch(lock);
  return member.stream ? member.failed : flow_;
}

GstFlowReturn Batcher::append_gap(BatchMember& member, GstBuffer* gap) {
  BufferPtr owned(gap);
  Lock lock(mutex_);
  // A batch of its own that is being sent must not be overtaken.
  pushed_.wait(lock, [&] { return !pushing_ || member.flushing; });
  if (member.flushing) return GST_FLOW_FLUSHING;
  member.has_sent = true;
  if (waits(member)) {
    pending_.push_back({&member, std::move(owned), true});
    return GST_FLOW_OK;
  }
  std::vector<Entry> entries;
  entries.push_back({&member, std::move(owned), true});
  const GstFlowReturn flow = send(lock, std::move(entries));
  return member.stream ? GST_FLOW_OK : flow;
}

void Batcher::send_partial(BatchMember& member) {
  Lock lock(mutex_);
  if (waits(member)) dispatch(lock);
}

bool Batcher::push_event(BatchMember& member, GstEvent* event) {
  Lock lock(mutex_);
  const bool leads = leader_ == &member || !member.stream;
  if (leads) dispatch(lock);
  if (!leads) {
    lock.unlock();
    return gst_pad_push_event(member.src, event);
  }
  begin_push(lock);
  const bool sent = gst_pad_push_event(member.src, event);
  lock.lock();
  end_push();
  return sent;
}

void Batcher::route_event(BatchMember& member, GstEvent* event) {
  Lock lock(mutex_);
  if (waits(member)) dispatch(lock);
  pushed_.wait(lock, [&] { return !pushing_; });
  auto* leader = member.has_sent ? choose_leader() : nullptr;
  if (!leader) {  // nothing is under way
    lock.unlock();
    member.stream->put(member.id, {.object{GST_MINI_OBJECT_CAST(event)}, .caps{}});
    return;
  }
  GstPad* src = leader->src;
  auto* fields = gst_structure_new(routed_event_name, "stream-id", G_TYPE_UINT64, guint64(member.id), "event",
                                   GST_TYPE_EVENT, event, nullptr);
  gst_event_unref(event);
  begin_push(lock);
  gst_pad_push_event(src, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, fields));
  lock.lock();
  end_push();
}

void Batcher::set_flushing(BatchMember& member, bool flushing) {
  Lock lock(mutex_);
  member.flushing = flushing;
  pushed_.notify_all();
  if (!flushing) {
    // A push that the flush has interrupted would else report itself only afterwards, as if it were new. What
    // a shared leader pushes goes elsewhere, and nobody waits for it.
    if (!member.stream) pushed_.wait(lock, [&] { return !pushing_; });
    member.has_sent = false;
    if (member.stream) member.id = member.stream->id();
    flow_ = GST_FLOW_OK;
    return;
  }
  std::erase_if(pending_, [&](const Entry& entry) { return entry.member == &member; });
  samples_ = int(std::ranges::count(pending_, false, &Entry::is_gap));
  if (pending_.empty())
    deadline_ = Clock::time_point::max();
  else
    dispatch(lock);
}

}  // namespace sightglass::gst
