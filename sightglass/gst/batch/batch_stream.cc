#include "sightglass/gst/batch/batch_stream.h"

#include <atomic>
#include <chrono>
#include <unordered_map>
#include <utility>

namespace sightglass::gst {
namespace {

constexpr auto longest_drain = std::chrono::seconds(5);

// Never destroyed: streams may end after main().
struct Registry {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::weak_ptr<BatchStream>> streams;
};
Registry& registry() {
  static auto& instance = *new Registry;
  return instance;
}

void enter(uint64_t id, const std::shared_ptr<BatchStream>& stream) {
  std::lock_guard lock(registry().mutex);
  registry().streams[id] = stream;
}
void leave(uint64_t id) {
  std::lock_guard lock(registry().mutex);
  registry().streams.erase(id);
}

}  // namespace

uint64_t new_stream_id() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

std::shared_ptr<BatchStream> find_stream(uint64_t id) {
  std::lock_guard lock(registry().mutex);
  const auto found = registry().streams.find(id);
  return found == registry().streams.end() ? nullptr : found->second.lock();
}

void BatchStream::open(const std::shared_ptr<BatchStream>& self) {
  const uint64_t id = new_stream_id();
  {
    std::lock_guard lock(mutex_);
    id_ = id;
    flushing_ = false;
    flow_ = GST_FLOW_OK;
  }
  enter(id, self);
}

void BatchStream::close() {
  std::deque<StreamItem> dropped;
  uint64_t id;
  {
    std::lock_guard lock(mutex_);
    id = std::exchange(id_, 0);
    dropped.swap(items_);
    changed_.notify_all();
  }
  leave(id);
}

void BatchStream::inlet_gone() {
  std::lock_guard lock(inlet_mutex_);
  inlet_ = nullptr;
}

uint64_t BatchStream::id() const {
  std::lock_guard lock(mutex_);
  return id_;
}

bool BatchStream::bound() const {
  std::lock_guard lock(mutex_);
  return outlet_;
}

void BatchStream::flush_start(GstEvent* event) {
  StreamOutlet* outlet;
  {
    std::lock_guard lock(mutex_);
    flushing_ = true;
  }
  close();
  {
    std::lock_guard lock(mutex_);
    outlet = outlet_;
  }
  if (outlet)
    outlet->flush_start(event);
  else
    gst_event_unref(event);
}

void BatchStream::flush_stop(GstEvent* event, const std::shared_ptr<BatchStream>& self) {
  open(self);
  StreamOutlet* outlet;
  {
    std::lock_guard lock(mutex_);
    outlet = outlet_;
  }
  if (outlet)
    outlet->flush_stop(event);
  else
    gst_event_unref(event);
}

GstFlowReturn BatchStream::wait_for_room(size_t limit) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return items_.size() < limit || flushing_ || id_ == 0 || flow_ != GST_FLOW_OK; });
  return flushing_ || id_ == 0 ? GST_FLOW_FLUSHING : flow_;
}

void BatchStream::expect_drained() {
  std::lock_guard lock(mutex_);
  drained_ = false;
}

void BatchStream::wait_until_drained() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, longest_drain, [&] { return drained_ || !outlet_; });
}

void BatchStream::note_drained() {
  std::lock_guard lock(mutex_);
  drained_ = true;
  changed_.notify_all();
}

void BatchStream::bind(StreamOutlet* outlet) {
  std::lock_guard lock(mutex_);
  outlet_ = outlet;
  changed_.notify_all();
}

void BatchStream::retire() {
  std::lock_guard lock(inlet_mutex_);
  if (inlet_) inlet_->retire();
}

bool BatchStream::take(StreamItem& item) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !items_.empty() || flushing_ || id_ == 0 || !outlet_; });
  if (items_.empty() || flushing_ || !outlet_) return false;
  item = std::move(items_.front());
  items_.pop_front();
  changed_.notify_all();
  return true;
}

void BatchStream::set_flow(GstFlowReturn flow) {
  std::lock_guard lock(mutex_);
  flow_ = flow;
  changed_.notify_all();
}

void BatchStream::put(uint64_t id, StreamItem item) {
  std::lock_guard lock(mutex_);
  if (id != id_ || flushing_) return;
  items_.push_back(std::move(item));
  changed_.notify_all();
}

}  // namespace sightglass::gst
