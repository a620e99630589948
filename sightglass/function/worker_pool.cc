// Python functions in processes of their own. Streams are spread over `workers` of them by their names. One
// more, the bench, is started when a stream has made others wait or has ended a worker that it shares: it
// goes there, so that it is alone in what it does to others.
//
// A call waits for its worker as long as the call before it keeps to the budget; longer it does not, since
// what runs over its budget may never end. A worker that dies takes the objects of all its streams along:
// they are made anew in the next one, before their next frame.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "sightglass/core/json_writer.h"
#include "sightglass/function/backoff.h"
#include "sightglass/function/user_code.h"
#include "sightglass/function/wire.h"
#include "sightglass/function/worker_process.h"

namespace sightglass::function {
namespace {

constexpr Time second = 1'000'000'000;
constexpr Time stop_limit = 5 * second;
constexpr Time offence_window = 10 * second;

// What Python is told to run; the folder and the numbers of the descriptors follow.
constexpr const char* worker_script =
    "import sys; sys.path.append(sys.argv[1]); from sightglass._function_worker import main; main()";

uint32_t hash(std::string_view text) {  // FNV-1a: the same on every machine
  uint32_t value = 2166136261u;
  for (const char byte : text) value = (value ^ uint8_t(byte)) * 16777619u;
  return value;
}

std::string milliseconds(Time time) { return std::format("{:.0f} ms", double(time) / 1e6); }

struct Worker {
  std::mutex mutex;
  std::condition_variable is_free;
  // Guarded.
  bool ready = false, busy = false, wanted = false;
  Time busy_since = 0, start_at = 0;
  uint64_t generation = 0;  // of the process; 0: there has been none
  unsigned streams = 0;
  Backoff backoff{second / 10, 10 * second, 30 * second};
  // Of whoever has made it busy.
  WorkerProcess process;
  NameCache names;
  std::vector<uint8_t> request, answer;
  uint32_t next_object = 0;
};

class Pool final : public UserCode, public std::enable_shared_from_this<Pool> {
 public:
  explicit Pool(const CodeOptions& options) : options_(options) {
    for (unsigned i = 0; i <= std::max(1u, options.workers); ++i) workers_.emplace_back();
    command_ = options.worker;
    if (command_.empty()) command_ = {worker_python(), "-c", worker_script, python_package_folder()};
    JsonWriter json(load_);
    json.begin_object();
    const auto entry = [&](const char* key, std::string_view value) {
      json.key(key);
      json.value(value);
    };
    entry("protocol", std::to_string(protocol_version));
    entry("path", options.path);
    entry("symbol", options.symbol);
    entry("element", options.element);
    json.key("args");
    json.raw(options.args);
    json.end_object();
  }
  ~Pool() override {
    {
      std::lock_guard lock(supervisor_mutex_);
      ends_ = true;
    }
    supervisor_wakes_.notify_all();
    for (Worker& worker : workers_) worker.process.interrupt();
    if (supervisor_.joinable()) supervisor_.join();
  }

  // The first worker is waited for: what is wrong with the code comes out here.
  Status open() {
    if (auto started = start(workers_.front()); !started) return started;
    for (Worker& worker : workers_)
      if (&worker != &workers_.back()) worker.wanted = true;
    supervisor_ = std::thread([this] { supervise(); });
    return {};
  }

  bool has(Hook hook) const override { return says(to_string(hook)); }
  bool wants_pixels() const override { return says("pixels"); }
  bool writes_pixels() const override { return says("writes_pixels"); }
  uint64_t restarts() const override { return restarts_; }
  Result<std::unique_ptr<UserObject>> create(std::string_view source_id) override;

  const CodeOptions& options() const { return options_; }
  Worker& bench() { return workers_.back(); }
  Worker& place_of(std::string_view source_id) { return workers_[hash(source_id) % (workers_.size() - 1)]; }

  // The worker is asked for, should it not run.
  void want(Worker& worker) {
    {
      std::lock_guard lock(worker.mutex);
      if (worker.wanted) return;
      worker.wanted = true;
    }
    wake();
  }
  // By who has made it busy: ends the process; it is started again a while after it has become free.
  void end(Worker& worker) {
    worker.process.kill();
    {
      std::lock_guard lock(worker.mutex);
      worker.ready = false;
      worker.start_at = worker.backoff.died(now_ns());
    }
    ++restarts_;
  }
  void wake() {
    {
      std::lock_guard lock(supervisor_mutex_);
      is_woken_ = true;
    }
    supervisor_wakes_.notify_all();
  }

 private:
  bool says(std::string_view word) const {
    return (" " + description_ + " ").contains(std::format(" {} ", word));
  }

  // By the only thread that touches the worker: starts the process and lets it load the code.
  Status start(Worker& worker) {
    if (auto started = worker.process.start(command_, options_.folder); !started) return started;
    if (ends()) return fail(ErrorCode::cancelled, "it is not needed any more");
    write_request({.hook = Hook::load, .text = load_}, 0, false, worker.request);
    const auto end = worker.process.exchange(worker.request, now_ns() + options_.start_limit, worker.answer);
    if (end != WorkerProcess::End::answered) {
      worker.process.kill();
      if (end == WorkerProcess::End::late)
        return fail(ErrorCode::unavailable, "{}: its worker was not ready after {}", options_.path,
                    milliseconds(options_.start_limit));
      return fail(ErrorCode::unavailable,
                  "{}: its worker ({}) ended before it was ready; what it wrote to standard error says why",
                  options_.path, command_[0]);
    }
    const auto answer = read_answer(worker.answer, nullptr, worker.names);
    if (!answer || !answer->ok) {
      worker.process.kill();
      return fail(answer ? ErrorCode::invalid_argument : ErrorCode::corrupt, "{}: {}", options_.path,
                  answer ? answer->text : answer.error().message);
    }
    if (description_.empty()) description_ = answer->text;
    std::lock_guard lock(worker.mutex);
    worker.ready = true;
    worker.wanted = true;
    ++worker.generation;
    worker.backoff.started(now_ns());
    return {};
  }

  void supervise() {
    while (true) {
      std::optional<Time> next;
      for (Worker& worker : workers_) {
        {
          std::lock_guard lock(worker.mutex);
          if (worker.ready || worker.busy || !worker.wanted) continue;
          if (worker.start_at > now_ns()) {
            next = std::min(next.value_or(worker.start_at), worker.start_at);
            continue;
          }
        }
        if (ends()) return;
        if (auto started = start(worker); !started) {
          std::lock_guard lock(worker.mutex);
          worker.start_at = worker.backoff.died(now_ns());
          next = std::min(next.value_or(worker.start_at), worker.start_at);
        }
      }
      std::unique_lock lock(supervisor_mutex_);
      const auto woken = [&] { return ends_ || is_woken_; };
      if (next)
        supervisor_wakes_.wait_for(lock, std::chrono::nanoseconds(std::max<Time>(*next - now_ns(), 0)),
                                   woken);
      else
        supervisor_wakes_.wait(lock, woken);
      is_woken_ = false;
      if (ends_) return;
    }
  }
  bool ends() {
    std::lock_guard lock(supervisor_mutex_);
    return ends_;
  }

  const CodeOptions options_;
  std::vector<std::string> command_;
  std::string load_, description_;
  std::deque<Worker> workers_;  // the last one is the bench
  std::atomic<uint64_t> restarts_ = 0;
  std::mutex supervisor_mutex_;
  std::condition_variable supervisor_wakes_;
  bool ends_ = false, is_woken_ = false;
  std::thread supervisor_;
};

class Object final : public UserObject {
 public:
  Object(std::shared_ptr<Pool> pool, std::string_view source_id)
      : pool_(std::move(pool)), worker_(&pool_->place_of(source_id)) {
    count(1);
  }
  ~Object() override { count(-1); }

  Outcome call(Call& call) override {
    if (call.hook == Hook::start) {
      stream_ = *call.stream;
      parameters_ = call.text;
      generation_ = 0;
    } else if (call.hook == Hook::apply) {
      parameters_ = call.text;
      needs_apply_ = true;
    }
    // What was never there, or has gone with its worker, needs no end.
    if (call.hook == Hook::stop && generation_ == 0) return {};
    if (auto held_up = acquire(call.hook == Hook::stop); !held_up.empty())
      return {Fault::unavailable, std::move(held_up)};
    Outcome outcome = run(call);
    const bool was_shared = release();
    if (call.hook == Hook::process || call.hook == Hook::draw || call.hook == Hook::prepare ||
        call.hook == Hook::region)
      judge(outcome, was_shared);
    return outcome;
  }

 private:
  void count(int change) {
    std::lock_guard lock(worker_->mutex);
    worker_->streams += unsigned(change);
  }

  // Why it cannot be had; empty: it is ours.
  std::string acquire(bool is_patient) {
    const Time patience = is_patient ? stop_limit : pool_->options().budget;
    std::unique_lock lock(worker_->mutex);
    while (worker_->busy) {
      const Time left = worker_->busy_since + patience - now_ns();
      if (left <= 0) return "its worker is held up by another stream";
      worker_->is_free.wait_for(lock, std::chrono::nanoseconds(left));
    }
    if (!worker_->ready) {
      lock.unlock();
      pool_->want(*worker_);
      return "its worker is being started";
    }
    worker_->busy = true;
    worker_->busy_since = now_ns();
    return {};
  }
  bool release() {
    std::unique_lock lock(worker_->mutex);
    worker_->busy = false;
    worker_->is_free.notify_one();
    const bool was_shared = worker_->streams > 1, has_ended = !worker_->ready;
    lock.unlock();
    if (has_ended) pool_->wake();
    return was_shared;
  }

  Outcome run(Call& call) {
    if (worker_->process.has_ended()) {
      pool_->end(*worker_);
      return {Fault::crash, "its worker has died between two frames"};
    }
    if (generation_ != worker_->generation) {
      if (call.hook == Hook::stop) return {};
      object_ = ++worker_->next_object;
      generation_ = worker_->generation;
      Call start{.hook = Hook::start, .stream = &stream_, .text = parameters_};
      Outcome started = exchange(start, pool_->options().start_limit);
      needs_apply_ = false;                                // it was given them
      if (started.fault == Fault::error) generation_ = 0;  // it has been stopped there
      if (started.fault != Fault::none || call.hook == Hook::start || call.hook == Hook::apply)
        return started;
    }
    // Also those that came while the worker was held up, before anything else is done with them.
    if (std::exchange(needs_apply_, false) && call.hook != Hook::stop) {
      Call apply{.hook = Hook::apply, .text = parameters_};
      Outcome applied = exchange(apply, pool_->options().kill_after);
      if (call.hook == Hook::apply) return applied;
      if (applied.fault != Fault::none) {
        applied.message = "apply: " + applied.message;
        return applied;
      }
    }
    return exchange(call, call.hook == Hook::stop ? std::max(stop_limit, pool_->options().kill_after)
                                                  : pool_->options().kill_after);
  }

  Outcome exchange(Call& call, Time limit) {
    Worker& worker = *worker_;
    // The worker would take it for nonsense, and end.
    if (call.frame)
      if (auto fine = check_results(*call.frame); !fine)
        return {Fault::error, "what came before it is too much: " + fine.error().message};
    const Time begin = now_ns();
    const bool with_picture =
        call.frame && call.frame->video && !call.frame->tensors.empty() &&
        (pool_->wants_pixels() || call.hook == Hook::draw || call.hook == Hook::prepare);
    if (with_picture)
      if (auto put = worker.process.put_picture(*call.frame); !put)
        return {Fault::error, put.error().message};
    write_request(call, object_, with_picture, worker.request);
    const auto end = worker.process.exchange(worker.request, begin + limit, worker.answer);
    const Time took = now_ns() - begin;
    if (end == WorkerProcess::End::late) {
      pool_->end(worker);
      return {Fault::timeout,
              std::format("{} took longer than {}, its worker was ended", to_string(call.hook),
                          milliseconds(limit)),
              took};
    }
    if (end != WorkerProcess::End::answered) {
      pool_->end(worker);
      return {Fault::crash,
              std::format("its worker {} in {}",
                          end == WorkerProcess::End::gone ? "has died" : "has sent nonsense",
                          to_string(call.hook)),
              took};
    }
    const auto answer = read_answer(worker.answer, call.frame, worker.names);
    if (!answer) {
      pool_->end(worker);
      return {Fault::crash, "its worker has sent nonsense: " + answer.error().message, took};
    }
    if (!answer->ok) return {Fault::error, answer->text, took};
    if (answer->pixels_changed && call.writes_pixels && with_picture)
      if (auto taken = worker.process.take_picture(*call.frame); !taken)
        return {Fault::error, taken.error().message, took};
    call.verdict = answer->verdict;
    call.accepted = answer->accepted;
    call.box = answer->box;
    call.answer = answer->text;
    return {Fault::none, {}, took};
  }

  // Whether it has to go to the bench, where it disturbs fewer.
  void judge(const Outcome& outcome, bool was_shared) {
    const bool is_late = outcome.took > pool_->options().budget;
    if (outcome.fault != Fault::timeout && !(outcome.fault == Fault::crash && outcome.took > 0) && !is_late)
      return;
    const Time now = now_ns();
    const bool again = last_offence_ != no_time && now - last_offence_ < offence_window;
    last_offence_ = now;
    if (!was_shared || worker_ == &pool_->bench() || !(again || outcome.fault == Fault::timeout)) return;
    if (outcome.fault == Fault::none || outcome.fault == Fault::error) {
      Call stop{.hook = Hook::stop, .text = "moved to another worker"};
      call(stop);
    }
    count(-1);
    worker_ = &pool_->bench();
    count(1);
    generation_ = 0;
    pool_->want(*worker_);
  }

  const std::shared_ptr<Pool> pool_;
  Worker* worker_;
  uint32_t object_ = 0;
  uint64_t generation_ = 0;  // of the worker that it was started in; 0: in none
  StreamInfo stream_;
  std::string parameters_ = "{}";
  bool needs_apply_ = false;  // it has not heard of parameters_
  Time last_offence_ = no_time;
};

Result<std::unique_ptr<UserObject>> Pool::create(std::string_view source_id) {
  return std::make_unique<Object>(shared_from_this(), source_id);
}

}  // namespace

Result<std::shared_ptr<UserCode>> open_workers(const CodeOptions& options) {
  auto pool = std::make_shared<Pool>(options);
  if (auto opened = pool->open(); !opened) return forward_error(opened);
  return pool;
}

}  // namespace sightglass::function
