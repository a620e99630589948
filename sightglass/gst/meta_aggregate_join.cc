#include "sightglass/gst/meta_aggregate_join.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "sightglass/core/frame_join.h"
#include "sightglass/gst/caps.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_results.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/tensor_meta.h"

namespace sightglass::gst {
namespace {

// Frames that may wait, or that a branch may be ahead, where times are the bound and there are none.
constexpr size_t usual_frames = 64;
// Streams of the main input that are told apart.
constexpr size_t most_streams = 64;

bool is_refusal(GstFlowReturn flow) { return flow != GST_FLOW_OK && flow != GST_FLOW_NOT_LINKED; }

bool is_event(const EventPtr& event, std::initializer_list<GstEventType> types) {
  return event && std::ranges::contains(types, GST_EVENT_TYPE(event.get()));
}

// Behind which downstream may take what it has refused.
bool renews(const EventPtr& event) {
  return is_event(event, {GST_EVENT_STREAM_START, GST_EVENT_CAPS, GST_EVENT_SEGMENT});
}

bool outlives_flushes(const EventPtr& event) {
  return event && GST_EVENT_IS_STICKY(event.get()) && !is_event(event, {GST_EVENT_SEGMENT, GST_EVENT_EOS});
}

// Raw tensors that a decoder has tagged (tensor_postproc_add_params) are kept or left behind like all others.
void drop_tensors(AttributesRef& list) {
  const auto is_tensor = [](const Attribute& item) { return item.kind == AttributeKind::tensor; };
  if (!list || std::ranges::none_of(list->items(), is_tensor)) return;
  std::vector<Attribute> kept;
  std::ranges::remove_copy_if(list->items(), std::back_inserter(kept), is_tensor);
  list = kept.empty() ? nullptr : make_ref<const AttributeList>(std::move(kept));
}

}  // namespace

void FrameJoin::Branch::forget() {
  results = {};
  examined = frames = 0;
  has_closed = false;
  last_closed = true;
  latest.reset();
}

FrameJoin::~FrameJoin() {
  stop();
  finish();
}

// ---- from start to stop

void FrameJoin::start(const Options& options) {
  std::lock_guard lock(mutex_);
  options_ = options;
  started_ = true;
  main_flushing_ = main_ended_ = false;
  flow_ = GST_FLOW_OK;
  query_ = Query::none;
  warned_ = knows_latency_ = is_live_ = awaits_frame_ = false;
  if (options_.max_wait >= 0) watcher_ = std::thread([this] { watch(); });
}

void FrameJoin::stop() {
  std::lock_guard lock(mutex_);
  started_ = false;
  wake_all();
}

void FrameJoin::finish() {
  if (watcher_.joinable()) watcher_.join();
  std::vector<Item> dropped;
  std::lock_guard lock(mutex_);
  drop_items(dropped, true);
  streams_.clear();
  for (const auto& branch : branches_) {
    branch->forget();
    branch->ended = branch->has_restarted = branch->flushing = false;
    branch->stream = GST_SEQNUM_INVALID;
  }
  item_ = {};
  frame_.clear();
  before_.clear();
}

void FrameJoin::wake_all() {
  look_again();
  room_.notify_all();
  ahead_.notify_all();
  answered_.notify_all();
}

void FrameJoin::drop_items(std::vector<Item>& dropped, bool all) {
  const size_t count = items_.size();
  frames_ = renewals_ = 0;
  for (size_t i = 0; i < count; ++i) {
    Item item = std::move(items_.front());
    items_.pop();
    if (all || !outlives_flushes(item.event))
      dropped.push_back(std::move(item));
    else
      append(std::move(item));
  }
  if (query_ == Query::queued) query_ = Query::none;
  for (const auto& branch : branches_) branch->examined = 0, branch->has_closed = false;
}

// ---- the main input

FrameJoin::Item* FrameJoin::first_frame() {
  for (size_t i = 0; frames_ > 0 && i < items_.size(); ++i)
    if (items_[i].is_frame) return &items_[i];
  return nullptr;
}

bool FrameJoin::is_full(std::optional<Time> time) {
  const Item* first = first_frame();
  if (!first) return false;
  if (options_.max_frames > 0 && frames_ >= options_.max_frames) return true;
  if (options_.max_time <= 0) return false;
  const bool goes_on = time && first->time && *time >= *first->time;
  return goes_on ? *time - *first->time >= options_.max_time : frames_ >= usual_frames;
}

void FrameJoin::append(Item item) {
  if (item.is_frame) {
    ++frames_;
    ahead_.notify_all();
    if (awaits_frame_) changed_.notify_one();
  }
  if (renews(item.event)) ++renewals_;
  items_.push() = std::move(item);
}

// What inputs are told that bring something now.
GstFlowReturn FrameJoin::answer() const {
  const bool may_pass = flow_ == GST_FLOW_EOS || flow_ == GST_FLOW_NOT_NEGOTIATED;
  return may_pass && renewals_ > 0 ? GST_FLOW_OK : flow_;
}

GstFlowReturn FrameJoin::put(Item item) {
  Lock lock(mutex_);
  const uint64_t main = main_number_;
  const auto is_gone = [&] { return !started_ || !has_main_ || main != main_number_ || main_flushing_; };
  room_.wait(lock, [&] { return !is_full(item.time) || is_gone() || is_refusal(answer()); });
  if (is_gone()) return GST_FLOW_FLUSHING;
  if (is_refusal(answer())) return answer();
  if (!streams_.empty()) item.stream = streams_.back();
  append(std::move(item));
  send_complete(lock);
  return answer();
}

GstFlowReturn FrameJoin::put_frame(BufferPtr buffer, EventPtr gap, std::optional<Time> time) {
  Item item;
  item.buffer = std::move(buffer);
  item.event = std::move(gap);
  item.time = time;
  item.is_frame = true;
  return put(std::move(item));
}

bool FrameJoin::put_event(EventPtr event) {
  Lock lock(mutex_);
  if (!started_ || !has_main_ || main_flushing_) return false;
  switch (GST_EVENT_TYPE(event.get())) {
    case GST_EVENT_EOS:
      main_ended_ = true;
      ahead_.notify_all();
      break;
    case GST_EVENT_STREAM_START: {
      main_ended_ = false;
      const guint32 stream = gst_event_get_seqnum(event.get());
      if (!streams_.empty() && streams_.back() == stream) break;
      if (streams_.size() == most_streams) streams_.erase(streams_.begin());
      streams_.push_back(stream);
      break;
    }
    default:
      break;
  }
  Item item;
  item.event = std::move(event);
  append(std::move(item));
  send_complete(lock);
  return true;
}

bool FrameJoin::put_query(GstQuery* query) {
  Lock lock(mutex_);
  if (!started_ || !has_main_ || main_flushing_) return false;
  Item item;
  item.query = query;
  append(std::move(item));
  query_ = Query::queued;
  send_complete(lock);
  // A flush takes it back, a stop leaves it behind. One that is being asked gets its answer: both wake
  // downstream up as well.
  answered_.wait(lock, [&] {
    return query_ == Query::done || query_ == Query::none || (query_ == Query::queued && !started_);
  });
  return std::exchange(query_, Query::none) == Query::done && query_answer_;
}

void FrameJoin::flush_main() {
  std::vector<Item> dropped;
  std::lock_guard lock(mutex_);
  main_flushing_ = true;
  ++flushes_;
  drop_items(dropped, false);
  wake_all();
}

bool FrameJoin::end_main_flush(EventPtr flush_stop) {
  // Whoever is sending has let go of what it had taken.
  GST_PAD_STREAM_LOCK(src_);
  {
    std::lock_guard lock(mutex_);
    main_flushing_ = main_ended_ = false;
    flow_ = GST_FLOW_OK;
  }
  const bool sent = gst_pad_push_event(src_, flush_stop.release());
  GST_PAD_STREAM_UNLOCK(src_);
  return sent;
}

void FrameJoin::remove_main() {
  std::lock_guard lock(mutex_);
  has_main_ = false;
  ++main_number_;
  wake_all();
  if (!started_ || main_ended_) return;
  main_ended_ = true;
  Item item;
  item.event.reset(gst_event_new_eos());
  append(std::move(item));
  send_later();
}

void FrameJoin::add_main() {
  std::lock_guard lock(mutex_);
  has_main_ = true;
  main_flushing_ = false;
}

// ---- branches

std::shared_ptr<FrameJoin::Branch> FrameJoin::add_branch() {
  std::lock_guard lock(mutex_);
  return branches_.emplace_back(std::make_shared<Branch>());
}

void FrameJoin::remove_branch(const std::shared_ptr<Branch>& branch) {
  std::lock_guard lock(mutex_);
  std::erase(branches_, branch);
  branch->removed = true;
  ahead_.notify_all();
  if (started_) send_later();
}

// Not in the thread that has asked: an application's would be held up by downstream.
void FrameJoin::send_later() {
  gst_element_call_async(
      element_,
      [](GstElement*, gpointer self) {
        auto& join = *static_cast<FrameJoin*>(self);
        Lock lock(join.mutex_);
        join.send_complete(lock);
      },
      this, nullptr);
}

GstFlowReturn FrameJoin::state_of(const Branch& branch) const {
  if (!started_ || branch.flushing || branch.removed) return GST_FLOW_FLUSHING;
  if (is_refusal(answer())) return answer();
  const bool is_first = branch.has_restarted && !knows(branch.stream);  // in the next stream
  return main_ended_ && frames_ == 0 && !is_first ? GST_FLOW_EOS : GST_FLOW_OK;
}

bool FrameJoin::is_ahead(const Branch& branch) const {
  return branch.frames >= frames_ + (options_.max_frames > 0 ? options_.max_frames : usual_frames);
}

bool FrameJoin::knows(guint32 stream) const { return std::ranges::contains(streams_, stream); }

// Which one is later; 0: the same, or one of them is not known.
int FrameJoin::stream_order(guint32 a, guint32 b) const {
  if (a == b || !knows(a) || !knows(b)) return 0;
  return std::ranges::find(streams_, a) < std::ranges::find(streams_, b) ? -1 : 1;
}

GstFlowReturn FrameJoin::put_result(Branch& branch, Result result) {
  Lock lock(mutex_);
  result.begins = branch.last_closed || (result.time && branch.latest && *result.time > *branch.latest);
  ahead_.wait(lock, [&] { return !result.begins || !is_ahead(branch) || state_of(branch) != GST_FLOW_OK; });
  if (const auto state = state_of(branch); state != GST_FLOW_OK) return state;
  branch.last_closed = result.closes;
  if (result.time) branch.latest = std::max(*result.time, branch.latest.value_or(*result.time));
  if (const Item* head = first_frame()) {
    const int order = stream_order(branch.stream, head->stream);
    const bool is_of_past = order == 0 && head->time && result.time && *result.time < *head->time;
    if (order < 0 || is_of_past) return GST_FLOW_OK;
  }
  if (result.begins) ++branch.frames;
  result.stream = branch.stream;
  branch.results.push() = std::move(result);
  send_complete(lock, &branch);
  return is_refusal(answer()) ? answer() : GST_FLOW_OK;
}

void FrameJoin::end_branch(Branch& branch) {
  std::lock_guard lock(mutex_);
  branch.ended = true;
  // Not in this thread: nothing that it brings would ever end its sending.
  if (can_send()) send_later();
}

void FrameJoin::start_branch(Branch& branch, guint32 stream) {
  std::lock_guard lock(mutex_);
  branch.has_restarted |= std::exchange(branch.ended, false);
  if (std::exchange(branch.stream, stream) == stream) return;
  branch.last_closed = true;
  branch.latest.reset();
  if (can_send()) send_later();
}

void FrameJoin::flush_branch(Branch& branch) {
  std::lock_guard lock(mutex_);
  branch.flushing = true;
  branch.forget();
  ahead_.notify_all();
}

void FrameJoin::end_flush(Branch& branch) {
  std::lock_guard lock(mutex_);
  branch.flushing = branch.ended = false;
}

// ---- whoever sends

// Looks at what has come from the branch since, for that frame.
void FrameJoin::examine(Branch& branch, const Item& head) {
  while (!branch.has_closed && branch.examined < branch.results.size()) {
    Result& result = branch.results[branch.examined];
    const int order = stream_order(result.stream, head.stream);
    const bool by_arrival = order == 0 && (!result.time || !head.time);
    if (order > 0 || (order == 0 && !by_arrival && *result.time > *head.time)) {
      branch.has_closed = true;
      return;
    }
    ++branch.examined;
    result.belongs = by_arrival || (order == 0 && *result.time == *head.time);
    branch.has_closed = result.belongs && result.closes;
    if (!result.belongs && std::exchange(result.begins, false)) {
      --branch.frames;
      ahead_.notify_all();
    }
  }
}

bool FrameJoin::has_closed(Branch& branch, const Item& head) {
  examine(branch, head);
  if (branch.has_closed) return true;
  const int order = stream_order(branch.stream, head.stream);
  return order > 0 || (order == 0 && branch.ended);
}

bool FrameJoin::may_go(const Item& head) {
  if (!head.is_frame) return true;
  bool is_complete = true;
  for (const auto& branch : branches_) is_complete &= has_closed(*branch, head);
  return is_complete || head.is_late || is_refusal(flow_);
}

// Takes what the branches have for the frame that goes, and what is older.
void FrameJoin::collect() {
  for (const auto& branch : branches_) {
    for (; branch->examined > 0; --branch->examined) {
      Result& result = branch->results.front();
      if (result.begins) --branch->frames;
      if (!result.belongs) result.format = nullptr;
      joining_.push_back({std::move(result.format), std::move(result.buffer)});
      branch->results.pop();
    }
    branch->has_closed = false;
  }
  --frames_;
  room_.notify_all();
  ahead_.notify_all();
  if (awaits_frame_) changed_.notify_one();
}

bool FrameJoin::can_send() {
  return !is_sending_ && started_ && !main_flushing_ && !items_.empty() && may_go(items_.front());
}

bool FrameJoin::take() {
  if (!started_ || main_flushing_ || items_.empty() || !may_go(items_.front())) return false;
  item_ = std::move(items_.front());
  items_.pop();
  if (item_.is_frame) collect();
  if (item_.query) query_ = Query::running;
  if (renews(item_.event)) {
    flow_ = answer();
    --renewals_;
  }
  drops_ = is_refusal(flow_);
  return true;
}

// `caller` is the branch whose thread this is; none: that of the main pad, or one that is free for it.
void FrameJoin::send_complete(Lock& lock, const Branch* caller) {
  if (!can_send()) return;
  const uint64_t main = main_number_;
  // A pad that has gone takes its thread along: whoever stops that thread would wait for all that follows.
  const auto is_free = [&] { return caller ? !caller->removed : main == main_number_; };
  is_sending_ = true;
  lock.unlock();
  GST_PAD_STREAM_LOCK(src_);  // what waits for its end: a flush, and the pad when it is deactivated
  lock.lock();
  while (is_free() && take()) {
    const uint64_t flushes = flushes_;
    lock.unlock();
    const GstFlowReturn flow = send(item_);
    lock.lock();
    if (std::exchange(item_.query, nullptr)) {
      query_ = Query::done;
      answered_.notify_one();
    }
    if (!item_.is_frame || drops_ || flushes != flushes_) continue;
    flow_ = flow;
    if (is_refusal(flow)) wake_all();
  }
  is_sending_ = false;
  if (can_send()) send_later();
  lock.unlock();
  GST_PAD_STREAM_UNLOCK(src_);
  lock.lock();
}

GstFlowReturn FrameJoin::send(Item& item) {
  if (item.query) {
    query_answer_ = gst_pad_peer_query(src_, item.query);
    return GST_FLOW_OK;
  }
  BufferPtr buffer = std::move(item.buffer);
  EventPtr event = std::move(item.event);
  if (item.is_frame && (drops_ || !buffer || is_gap(buffer.get()))) joining_.clear();
  if (item.is_frame && drops_) return GST_FLOW_OK;
  if (buffer && is_gap(buffer.get())) event.reset(to_event(to_gap(buffer.get())));
  if (!event) return send_frame(std::move(buffer));
  send_event(std::move(event));
  return GST_FLOW_OK;
}

void FrameJoin::send_event(EventPtr event) {
  if (GST_EVENT_TYPE(event.get()) == GST_EVENT_CAPS) {
    GstCaps* caps = nullptr;
    gst_event_parse_caps(event.get(), &caps);
    if (auto status = bridge_.set_caps(caps); !status) post_error(element_, status.error());
  }
  gst_pad_push_event(src_, event.release());
}

GstFlowReturn FrameJoin::send_frame(BufferPtr given) {
  if (!item_.time) warn_of_missing_time();
  bridge_.read_metadata(given.get(), true, frame_);
  before_.regions.assign(frame_.regions.begin(), frame_.regions.end());
  before_.attributes = frame_.attributes;
  for (const auto& [format, buffer] : joining_)
    if (format && buffer) join_result(*format, buffer.get());
  joining_.clear();
  auto* buffer = gst_buffer_make_writable(given.release());
  const auto size = bridge_.pixel_size();
  writer_.write(buffer, size, before_.regions, before_.attributes, frame_);
  warn_of_dropped_objects(element_, writer_);
  write_tensor_metas(src_, frame_, buffer);
  if (options_.write_roi) writer_.write_roi(buffer, size, frame_.regions);
  frame_.clear();
  return gst_pad_push(src_, buffer);
}

void FrameJoin::join_result(ResultFormat& format, GstBuffer* buffer) {
  if (is_gap(buffer)) return;
  // A repeated result (meta_smooth) comes without tensors.
  const auto* tensors = format.bridge.format().tensors();
  const bool attach =
      options_.attach_tensors && tensors && tensors->model != sound_model && gst_buffer_n_memory(buffer) > 0;
  Status status;
  if (attach)
    status = format.bridge.read(buffer, true, result_);
  else
    format.bridge.read_metadata(buffer, true, result_);
  if (!options_.attach_tensors) drop_tensors(result_.attributes);
  static const std::vector<Label> none;
  join(result_, format.model, attach && status ? format.tensors : none, frame_);
  result_.clear();
  if (!status && !std::exchange(format.warned, true))
    GST_ELEMENT_WARNING(
        element_, STREAM, FORMAT,
        ("%s: raw tensors are left out: %s", GST_OBJECT_NAME(element_), status.error().message.c_str()),
        (nullptr));
}

void FrameJoin::warn_of_missing_time() {
  if (std::exchange(warned_, true)) return;
  GST_ELEMENT_WARNING(element_, STREAM, FORMAT,
                      ("%s: buffers come without a time stamp; results are matched to them by their order",
                       GST_OBJECT_NAME(element_)),
                      (nullptr));
}

}  // namespace sightglass::gst
