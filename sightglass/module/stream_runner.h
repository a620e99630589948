// One virtual stream at work: its queue, its life cycle and its instances, all on one strand. What the life
// cycle (stream/lifecycle/stream_machine.h) says is done here; what happens elsewhere (results and errors of
// GStreamer's threads, room in a sink, the reaper) is put into an inbox and read on the strand, so nothing
// here waits for anything and only inbox, queue and status know of other threads.
//
// Results go out in the order of their frames. While a sink that blocks is full, they wait here and nothing
// more goes into the instance: back-pressure reaches the queue, and from there the writer.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "sightglass/module/location_reader.h"
#include "sightglass/module/module.h"
#include "sightglass/module/outlet.h"
#include "sightglass/module/parcel.h"
#include "sightglass/module/reaper.h"
#include "sightglass/module/record_maker.h"
#include "sightglass/module/stream_instance.h"
#include "sightglass/stream/lifecycle/frame_queue.h"
#include "sightglass/stream/lifecycle/strand.h"
#include "sightglass/stream/lifecycle/stream_machine.h"
#include "sightglass/stream/lifecycle/stream_table.h"

namespace sightglass::module {

class Tracer;  // frame_trace.h

// What all streams of a module use. Outlives them.
struct StreamServices {
  std::function<Result<std::unique_ptr<StreamInstance>>(const InstanceOptions&, InstanceEvents&)>
      start_instance;
  std::function<std::shared_ptr<const ParameterSet>()> parameters;
  std::function<void(const StreamEvent&)> on_event;  // a change of state
  std::function<void(std::string_view element, std::string_view text)> on_module_failure;
  // From whoever sends it, where that can be asked.
  std::function<void(const stream::Uuid& producer, std::string_view source_id, int64_t epoch)>
      request_keyframe;
  stream::StreamTable* table = nullptr;
  stream::StrandPool* strands = nullptr;
  Reaper* reaper = nullptr;
  Outlet* outlet = nullptr;
  std::shared_ptr<Accounts> accounts;
  std::shared_ptr<Tracer> tracer;           // null: no frame is followed
  std::shared_ptr<LocationPool> locations;  // null: no payload is read from elsewhere
  // A frame that had been taken was refused after all; `text` for people.
  std::function<void(std::string_view source_id, std::string_view reason, std::string_view text)> on_rejected;
  BufferSpec buffers;
};

// A new set of parameters on its way through all streams: counts who has taken it and keeps what went wrong.
class ParameterRollout {
 public:
  ParameterRollout(std::shared_ptr<const ParameterSet> what, size_t streams)
      : set(std::move(what)), waiting_(streams) {}
  const std::shared_ptr<const ParameterSet> set;
  void done(Status status);
  // Of all, or what is missing at the deadline.
  Status wait(std::chrono::nanoseconds timeout);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t waiting_;
  Status status_;
};

// As it is shown.
std::vector<StreamStatus::Dropped> dropped_by_stage(const SourceCounts& counts);

class StreamRunner final : public stream::StreamEntry, public std::enable_shared_from_this<StreamRunner> {
 public:
  using Queue = stream::FrameQueue<std::shared_ptr<Job>>;
  using Command = stream::StreamMachine::Command;

  static std::shared_ptr<StreamRunner> make(const stream::StreamTable::NewStream& stream,
                                            std::shared_ptr<const StreamServices> services);
  ~StreamRunner() override;

  // ── any thread ──
  // `job` is moved from unless the answer is full or closed.
  Queue::Status push(const stream::FrameFacts& facts, std::shared_ptr<Job>& job);
  // A frame was refused before it came to the queue: it is missing, but not lost.
  void note_refused() { ++refused_; }
  // False: push() would answer `full`.
  bool has_room(const stream::FrameFacts& facts, bool lossless) const;
  bool wait_for_room(std::chrono::nanoseconds timeout) { return queue_.wait_for_room(timeout); }
  // False: it means nothing in the stream's state. Waits for the strand, a second at most.
  bool command(Command command);
  void post_command(Command command);  // without an answer
  void apply(std::shared_ptr<ParameterRollout> rollout);
  void set_rules(std::shared_ptr<const stream::StreamRules> rules);
  StreamStatus status() const;
  const std::shared_ptr<SourceAccount>& account() const { return account_; }
  bool is_drained() const { return is_drained_; }
  // Has an instance, or messages that wait.
  bool is_occupied() const override { return is_occupied_ || is_scheduled_ || queue_.counts().queued > 0; }
  // Frames in instances and queue, for the list of what a deadline has left behind.
  uint64_t unfinished() const;
  Time busy_since() const { return strand_->busy_since(); }
  // Where the oldest frame in an instance is, and since when; for who looks for something that hangs.
  StreamInstance::Work oldest_work() const;
  // The frame with the latest keyframe and its results, for a snapshot; null: none yet.
  std::pair<std::shared_ptr<Job>, adapters::RecordRef> latest_keyframe() const;
  // Nothing is done any more: instances go to the reaper, what is under way is settled as unfinished.
  void close() { post({.kind = Event::Kind::close}); }
  bool is_closed() const { return has_closed_; }  // and all of it is done

 private:
  struct Event {
    enum class Kind : uint8_t {
      first_frame,
      result,
      room,
      ended,
      failed,
      torn_down,
      slot_granted,
      command,
      parameters,
      rules,
      located,
      close
    };
    Kind kind = Kind::first_frame;
    uint32_t instance = 0;
    InstanceResult result;
    FailureKind failure = FailureKind::element;
    std::string text, element;
    Command command = Command::end;
    std::function<void(bool)> answer;
    std::shared_ptr<ParameterRollout> rollout;
    std::shared_ptr<const stream::StreamRules> rules;
    std::shared_ptr<Job> job;
    Result<Located> located;
  };
  // What GStreamer's threads of one instance call.
  class Link final : public InstanceEvents {
   public:
    Link(std::weak_ptr<StreamRunner> stream, uint32_t id) : stream_(std::move(stream)), id_(id) {}
    void first_frame() override { post({.kind = Event::Kind::first_frame}); }
    void result(InstanceResult result) override {
      post({.kind = Event::Kind::result, .result = std::move(result)});
    }
    void room() override { post({.kind = Event::Kind::room}); }
    void ended() override { post({.kind = Event::Kind::ended}); }
    void failed(FailureKind kind, std::string text, std::string element) override {
      post({.kind = Event::Kind::failed,
            .failure = kind,
            .text = std::move(text),
            .element = std::move(element)});
    }

   private:
    void post(Event event) {
      event.instance = id_;
      if (const auto stream = stream_.lock()) stream->post(std::move(event));
    }
    const std::weak_ptr<StreamRunner> stream_;
    const uint32_t id_;
  };
  // What an action has led to at once; told to the machine when all actions of the event are done.
  struct Feedback {
    enum class Kind : uint8_t { slot_granted, slot_pending, slot_refused, built, failed, rewound };
    Kind kind = Kind::built;
    uint32_t instance = 0;
    uint64_t count = 0;
    stream::StreamMachine::Fault fault = stream::StreamMachine::Fault::element;
    std::string text;
  };
  // A frame in an instance; or, without a ticket, user data that keeps its place among the frames.
  struct InFlight {
    TicketRef ticket;
    std::shared_ptr<Job> job;
    ParcelRef note;
  };
  struct Live {
    uint32_t id = 0;
    int64_t epoch = 0;
    std::shared_ptr<StreamInstance> instance;
    std::shared_ptr<Link> link;
    std::vector<InFlight> in_flight;
    bool holds_results = false, eos_pushed = false, is_decoded = false;
    std::vector<ParcelRef> held;
  };
  struct EpochCount {
    int64_t epoch = 0, frames = 0;
    stream::Uuid last{};
  };

  StreamRunner(const stream::StreamTable::NewStream& stream, std::shared_ptr<const StreamServices> services);

  // StreamEntry
  void on_slot_granted() override { post({.kind = Event::Kind::slot_granted}); }
  void on_evict() override { post_command(Command::evict); }
  void on_forgotten() override;

  void post(Event event);
  void wake();

  // ── strand ──
  void run();
  void on_timer();
  void finish_run();
  void handle(Event& event);
  void handle_result(Event& event);
  void handle_parameters(ParameterRollout& rollout);
  bool pump();
  bool push_frame(const stream::Verdict& verdict, Queue::Item& item);
  void drop(const stream::Verdict& verdict, Queue::Item& item);
  enum class Payload : uint8_t { there, awaited, dropped };
  Payload locate(Queue::Item& item);
  void handle_located(Event& event);
  void drop_unlocated(Queue::Item& item, std::string_view text);
  void merge_update(const std::shared_ptr<Job>& job);
  void merge_updates(adapters::Record& record);
  void pass_updates(const stream::Uuid& frame);
  void pass_old_updates();
  void pass_update(const Job& job);
  void note_held();
  void close_here();

  // stream_runner_actions.cc
  bool execute(stream::Actions& actions);
  void run_action(const stream::Action& action, const stream::Actions& all);
  void tell(const Feedback& feedback, stream::Actions& actions);
  void build(const stream::Action& action);
  void watch_instances();
  void reap(uint32_t instance);
  void release_results(uint32_t instance);
  void end_to_sinks(const stream::Action& action, bool acknowledges);
  void announce(const stream::Action& action);
  void note_state(stream::LifeState from);
  void drop_finally(const Job& job, std::string_view reason);
  void drop_orphans();
  void deliver(ParcelRef parcel);
  void deliver_from(Live& live, ParcelRef parcel);
  void release_notes(Live& live);
  bool flush_egress();
  RecordPlace place() const;
  Live* find(uint32_t instance);
  EpochCount& count_of(int64_t epoch);
  Time now() const { return services_->strands->now(); }
  void publish();

  const std::shared_ptr<const StreamServices> services_;
  const std::shared_ptr<SourceAccount> account_;
  const std::shared_ptr<SettledFrames> settled_ = std::make_shared<SettledFrames>();
  const uint64_t number_;  // of this stream, for the sinks' queues
  Queue queue_;
  std::shared_ptr<stream::Strand> strand_;
  std::function<void()> waker_;  // wake(), for sinks

  std::mutex inbox_mutex_;
  std::vector<Event> inbox_;
  std::atomic<bool> is_scheduled_{false}, is_drained_{false}, is_closed_{false}, has_closed_{false},
      is_occupied_{false};
  std::atomic<uint8_t> policy_;
  std::atomic<uint32_t> refused_{0};  // that the next message has to tell

  // The strand's own.
  std::vector<Event> events_;
  std::vector<Feedback> feedback_;
  stream::StreamMachine machine_;
  std::vector<Live> live_;  // at most two
  uint8_t decoder_ = 0;     // of the one that was built last
  stream::Uuid writer_{};   // of the message that was offered last
  int64_t writer_epoch_ = 0;
  std::shared_ptr<Job> offered_, key_job_;
  // W-10: the front of the queue, while its payload is read from elsewhere; how many in a row could not be,
  // and until when none is tried.
  std::shared_ptr<Job> locating_;
  unsigned unlocated_ = 0;
  Time location_pause_ = 0, locations_paused_until_ = 0;
  uint32_t missing_ = 0;                       // dropped right before the front
  uint32_t retaining_ = 0;                     // the instance whose frames the queue keeps; 0: none
  std::vector<std::shared_ptr<Job>> orphans_;  // of an instance that failed while it did
  std::string_view orphan_reason_;
  std::deque<std::pair<ParcelRef, size_t>> egress_;
  std::shared_ptr<Job> eos_;  // the writer's, not acknowledged yet
  // L-25: another module goes on with this stream. What is left over here is refused, not settled.
  bool is_leaving_ = false, has_left_ = false;
  std::array<EpochCount, 4> counts_{};
  std::vector<std::pair<std::shared_ptr<Job>, Time>> updates_;  // of frames in flight, and until when
  int64_t last_seq_ = 0;
  Time last_pts_ = no_time;
  std::shared_ptr<const stream::StreamRules> rules_;

  mutable std::mutex status_mutex_;
  StreamStatus status_;
  Time since_ = 0, retry_at_ = no_time;
  uint64_t unfinished_ = 0;
  std::shared_ptr<Job> snapshot_job_;
  adapters::RecordRef snapshot_record_;
  std::vector<std::shared_ptr<StreamInstance>> watched_;  // as live_
};

}  // namespace sightglass::module
