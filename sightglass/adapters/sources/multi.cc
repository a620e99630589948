// The load generator: one file as any number of streams, with the accidents that real ones have.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <format>
#include <mutex>
#include <optional>
#include <queue>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

using Clock = std::chrono::steady_clock;

struct Params {
  std::string location, id_pattern = "cam-{n}";
  unsigned count = 4;
  double rate = 0;      // frames/s of each stream; 0: asap
  double stagger = 0;   // s between the starts of streams
  unsigned frames = 0;  // of a life; 0: the file once
  unsigned lives = 1;
  double pause = 0;                                          // s between two lives
  double churn = 0;                                          // part of the frames
  double loss = 0, duplicate = 0, reorder = 0, corrupt = 0;  // parts of the messages
  bool end = true;                                           // EOS behind each life
  unsigned seed = 1;
};

// Sent, settled and the time between, over all streams.
class Tally {
 public:
  void add(std::chrono::nanoseconds latency) {
    const std::lock_guard lock(mutex_);
    // A sample of those so far, evenly.
    if (samples_.size() < most)
      samples_.push_back(latency.count());
    else if (const uint64_t at = random_() % (settled_ + 1); at < most)
      samples_[at] = latency.count();
    ++settled_;
  }
  void refuse() { ++refused; }
  uint64_t settled() {
    const std::lock_guard lock(mutex_);
    return settled_ + refused;
  }
  std::string report() {
    const std::lock_guard lock(mutex_);
    std::ranges::sort(samples_);
    const auto at = [&](double part) {
      return samples_.empty() ? 0.0 : double(samples_[size_t(double(samples_.size() - 1) * part)]) * 1e-6;
    };
    return std::format("sent {}, acknowledged {}, refused {}, latency p50 {:.1f} ms, p99 {:.1f} ms",
                       sent.load(), settled_, refused.load(), at(0.5), at(0.99));
  }
  std::atomic<uint64_t> sent = 0, refused = 0;

 private:
  static constexpr size_t most = 10'000;
  std::mutex mutex_;
  uint64_t settled_ = 0;
  std::vector<int64_t> samples_;
  std::mt19937_64 random_{1};
};

class Timed final : public stream::Settlement {
 public:
  explicit Timed(std::shared_ptr<Tally> tally) : tally_(std::move(tally)) {}
  void processed() override { tally_->add(Clock::now() - sent_); }
  void refused(std::string_view, bool) override { tally_->refuse(); }

 private:
  const std::shared_ptr<Tally> tally_;
  const Clock::time_point sent_ = Clock::now();
};

class Multi final : public Source {
 public:
  explicit Multi(Params params) : params_(std::move(params)), random_(params_.seed) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    Params params = set.as<Params>();
    if (params.location.empty())
      return fail(ErrorCode::invalid_argument, "{}: location is missing: a file", context.name);
    if (params.count > 1 && params.id_pattern.find("{n}") == std::string::npos)
      return fail(ErrorCode::invalid_argument, "{}: id-pattern '{}' has no {{n}} to tell {} streams apart",
                  context.name, params.id_pattern, params.count);
    if (Status valid = check_source_id(id(params, 0)); !valid) return forward_error(valid);
    return std::make_unique<Multi>(std::move(params));
  }

  Status start() override {
    auto opened = AccessUnits::open(params_.location, {.stop = opening_.get_token()});
    if (!opened) return forward_error(opened);
    info_ = (*opened)->info();
    size_t bytes = 0;
    for (;;) {
      auto unit = (*opened)->next();
      if (!unit) return forward_error(unit);
      if (!*unit) break;
      bytes += (*unit)->payload.bytes.size();
      if (bytes > most_bytes)
        return fail(ErrorCode::exhausted, "{}: larger than {} MiB, which are kept in memory",
                    params_.location, most_bytes >> 20);
      units_.push_back(std::move(**unit));
    }
    info_ = (*opened)->info();
    if (units_.empty()) return fail(ErrorCode::corrupt, "{}: has no frames", masked_url(params_.location));
    return {};
  }

  void cancel() override { opening_.request_stop(); }

  Status run(Deliver& out, std::stop_token stop) override {
    const Clock::time_point begin = Clock::now();
    const stream::Uuid producer = stream::make_uuid_v7();
    std::vector<Stream> streams;
    for (unsigned n = 0; n < params_.count; ++n)
      streams.push_back(
          {.messages = FrameMessages(id(params_, n), producer), .due = begin + seconds(params_.stagger * n)});
    // The stream whose turn it is: the earliest one.
    const auto later = [&](size_t a, size_t b) {
      return std::tie(streams[a].due, a) > std::tie(streams[b].due, b);
    };
    std::priority_queue<size_t, std::vector<size_t>, decltype(later)> turns(later);
    for (size_t i = 0; i < streams.size(); ++i) turns.push(i);
    while (!turns.empty() && wait_until(streams[turns.top()].due, stop)) {
      const size_t i = turns.top();
      turns.pop();
      if (!step(streams[i], out)) break;
      if (streams[i].life < params_.lives) turns.push(i);
    }
    wait_for_last(stop);
    std::fputs((tally_->report() + "\n").c_str(), stderr);
    return {};
  }

 private:
  struct Stream {
    FrameMessages messages;
    Clock::time_point due;
    unsigned life = 0;
    size_t sent = 0;                            // of this life
    size_t next = 0;                            // in the file, counted through its repetitions
    std::optional<stream::Delivery> held_back;  // to come behind its successor
  };

  static std::string id(const Params& params, unsigned n) {
    std::string text = params.id_pattern;
    if (const size_t at = text.find("{n}"); at != text.npos) text.replace(at, 3, std::to_string(n));
    return text;
  }
  static Clock::duration seconds(double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  }

  static bool wait_until(Clock::time_point due, const std::stop_token& stop) {
    if (due <= Clock::now()) return !stop.stop_requested();
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    stopped.wait_until(lock, stop, due, [] { return false; });
    return !stop.stop_requested();
  }

  bool happens(double part) { return part > 0 && std::uniform_real_distribution<>(0, 1)(random_) < part; }

  bool send(Stream& stream, stream::Delivery delivery, Deliver& out) {
    delivery.settlement = std::make_shared<Timed>(tally_);
    ++tally_->sent;
    if (happens(params_.duplicate)) {
      stream::Delivery twice = delivery;
      ++tally_->sent;
      if (!out.deliver(std::move(twice))) return false;
    }
    if (!stream.held_back && happens(params_.reorder)) {
      stream.held_back = std::move(delivery);
      return true;
    }
    if (!out.deliver(std::move(delivery))) return false;
    return !stream.held_back || out.deliver(*std::exchange(stream.held_back, std::nullopt));
  }

  stream::Payload corrupted(const stream::Payload& payload) {
    std::vector<uint8_t> bytes(payload.bytes.begin(), payload.bytes.end());
    for (unsigned i = 0; i < 16 && bytes.size() > 64; ++i)
      bytes[32 + random_() % (bytes.size() - 32)] = uint8_t(random_());
    return stream::own(std::move(bytes));
  }

  // The next frame of a stream, or the end of its life. False: nothing more is taken.
  bool step(Stream& stream, Deliver& out) {
    const size_t length = params_.frames > 0 ? params_.frames : units_.size();
    if (stream.sent == length) {
      stream.sent = 0;
      ++stream.life;
      return end(stream, out);
    }
    if (stream.next > 0 && happens(params_.churn)) return end(stream, out);
    AccessUnit unit = units_[stream.next % units_.size()];
    if (happens(params_.corrupt)) unit.payload = corrupted(unit.payload);
    const int64_t file_length =
        units_.back().pts - units_.front().pts + std::max<int64_t>(units_.back().duration, 1);
    const int64_t shift = int64_t(stream.next / units_.size()) * file_length;
    ++stream.next, ++stream.sent;
    stream.due = params_.rate > 0 ? stream.due + seconds(1 / params_.rate) : Clock::now();
    if (happens(params_.loss)) {
      stream.messages.skip_seq();
      return true;
    }
    return send(stream, stream.messages.frame(info_, std::move(unit), shift), out);
  }

  // It comes again from the beginning of the file, with a keyframe.
  bool end(Stream& stream, Deliver& out) {
    if (stream.held_back && !out.deliver(*std::exchange(stream.held_back, std::nullopt))) return false;
    if (params_.end && !out.deliver(stream.messages.end(stream::EndReason::end))) return false;
    stream.next = 0;
    stream.due = Clock::now() + seconds(params_.pause);
    stream.messages.begin_epoch();
    return true;
  }

  // What is on its way still counts, as long as anything comes back.
  void wait_for_last(const std::stop_token& stop) {
    uint64_t settled = tally_->settled();
    for (auto since = Clock::now(); settled < tally_->sent &&
                                    Clock::now() - since < std::chrono::seconds(2) &&
                                    wait_until(Clock::now() + std::chrono::milliseconds(10), stop);) {
      const uint64_t now = tally_->settled();
      if (now != settled) settled = now, since = Clock::now();
    }
  }

  static constexpr size_t most_bytes = size_t(1) << 30;
  const Params params_;
  std::stop_source opening_;
  MediaInfo info_;
  std::vector<AccessUnit> units_;
  std::mt19937_64 random_;
  std::shared_ptr<Tally> tally_ = std::make_shared<Tally>();
};

const SourceRegistration registration(SourceDesc{
    .name = "multi",
    .doc = "load generator: one file as many streams, with losses and other accidents as wished",
    .params = ParamTable::of<Params>({
        param("location", &Params::location, "file, kept in memory").required(),
        param("id-pattern", &Params::id_pattern, "names of the streams; {n} counts from 0"),
        param("count", &Params::count, "streams").range(1, 10'000),
        param("rate", &Params::rate, "frames per second of each stream; 0: as fast as they are taken")
            .range(0, 10'000),
        param("stagger", &Params::stagger, "between the starts of two streams").range(0, 3600).in("s"),
        param("frames", &Params::frames, "of one life, the file repeated as needed; 0: the file once"),
        param("lives", &Params::lives, "how often each stream comes").range(1, 1e9),
        param("pause", &Params::pause, "between two lives of a stream").range(0, 3600).in("s"),
        param("churn", &Params::churn, "part of the frames before which a stream ends early and comes again")
            .range(0, 1),
        param("loss", &Params::loss, "part of the messages that is lost").range(0, 1),
        param("duplicate", &Params::duplicate, "part that comes twice").range(0, 1),
        param("reorder", &Params::reorder, "part that comes behind its successor").range(0, 1),
        param("corrupt", &Params::corrupt, "part whose payload is damaged").range(0, 1),
        param("end", &Params::end, "whether lives end with an EOS"),
        param("seed", &Params::seed, "of the accidents"),
    }),
    .create = &Multi::create,
});

}  // namespace
}  // namespace sightglass::adapters
