#include "sightglass/module/source_process.h"

#include <algorithm>
#include <format>
#include <thread>
#include <utility>

#include "sightglass/core/masked_url.h"
#include "sightglass/module/sink_settings.h"

namespace sightglass::module {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::chrono::milliseconds until(Clock::time_point deadline) {
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()), 0ms);
}

}  // namespace

SourceProcess::SourceProcess(Options options) : options_(std::move(options)) {}

SourceProcess::~SourceProcess() {
  for (auto& source : sources_) source->stop.request_stop(), source->runner->request_stop();
}

Result<std::shared_ptr<adapters::SocketOutlet>> SourceProcess::outlet_for(const std::string& address,
                                                                          const std::string& name) {
  auto& outlet = outlets_[address];
  if (outlet) return outlet;
  const auto url = stream::parse_writer_url(address, name + ".out");
  if (!url) return std::unexpected(url.error());
  stream::ZmqWriterOptions options;
  options.name = options_.name;
  options.socket = options_.socket;
  auto writer = stream::ZmqWriter::open(*url, std::move(options));
  if (!writer) return forward_error(writer);
  for (const std::string& warning : (*writer)->warnings()) warnings_.push_back(warning);
  outlet = std::make_shared<adapters::SocketOutlet>(std::move(*writer));
  return outlet;
}

Status SourceProcess::add(const Entry& entry) {
  const adapters::SourceDesc* desc = adapters::find_source(entry.type);
  if (!desc) return fail(ErrorCode::not_found, "{}: there is no source of type '{}'", entry.name, entry.type);
  auto params = adapter_params(desc->params, entry.properties, entry.name);
  if (!params) return forward_error(params);
  auto source = desc->create(**params, {.name = entry.name, .folder = options_.folder});
  if (!source) return forward_error(source);
  const auto url = stream::parse_writer_url(entry.out, entry.name + ".out");
  if (!url) return std::unexpected(url.error());
  if (desc->needs_acknowledgements && !stream::acknowledges(url->type))
    return fail(ErrorCode::invalid_argument,
                "{}: a {} source has to know what was stored: its address is of type dealer, as "
                "dealer+connect:tcp://127.0.0.1:5560",
                entry.name, entry.type);
  auto outlet = outlet_for(entry.out, entry.name);
  if (!outlet) return forward_error(outlet);
  if (desc->needs_acknowledgements) (*outlet)->writer().need_processed();
  auto running = std::make_unique<Running>();
  running->outlet = *outlet;
  running->ends_itself = desc->needs_acknowledgements;
  running->runner = std::make_unique<SourceRunner>(
      entry.name, std::move(*source),
      std::make_unique<adapters::IntoSocket>(*outlet, running->stop.get_token()), [this] {
        const std::lock_guard lock(mutex_);
        ended_.notify_all();
      });
  sources_.push_back(std::move(running));
  return {};
}

Status SourceProcess::start(const std::stop_token& stop) {
  for (auto& source : sources_) {
    const std::stop_callback cancelled(stop, [&] { source->runner->cancel(); });
    if (Status started = source->runner->start(); !started) return started;
  }
  for (auto& source : sources_) source->runner->run();
  return {};
}

bool SourceProcess::wait(std::chrono::milliseconds timeout, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, stop, timeout, [&] {
    return std::ranges::all_of(
        sources_, [](const auto& source) { return source->runner->has_ended() || source->outlet->error(); });
  });
}

SourceProcess::Outcome SourceProcess::finish(std::chrono::milliseconds timeout,
                                             const std::stop_token& hurry) {
  const Clock::time_point deadline = Clock::now() + timeout;
  const bool is_cut_short =
      std::ranges::any_of(sources_, [](const auto& source) { return !source->runner->has_ended(); });
  Outcome outcome;
  // Those that have something to acknowledge themselves take nothing more in, and go on until that is done.
  std::vector<Running*> acknowledging;
  for (auto& source : sources_) {
    if (!source->runner->has_ended() && source->runner->source().drain()) {
      acknowledging.push_back(source.get());
      continue;
    }
    source->stop.request_stop();
    source->runner->request_stop();
  }
  const auto join = [&](Running& source) {
    const auto left = std::max(until(deadline), std::chrono::milliseconds(5s));
    if (!source.runner->join(steady_now_ns() + std::chrono::nanoseconds(left).count())) {
      outcome.failures.push_back(source.runner->name() + ": does not stop");
    } else if (Status status = source.runner->status(); !status) {
      outcome.failures.push_back(status.error().to_string());
    }
  };
  for (auto& source : sources_)
    if (!std::ranges::contains(acknowledging, source.get())) join(*source);
  // All at once, since each may have to wait for its reader.
  std::map<std::string, Status> done;
  for (const auto& [address, outlet] : outlets_) done[address] = {};
  {
    std::vector<std::jthread> finishing;
    for (const auto& [address, outlet] : outlets_) {
      const bool ends =
          options_.eos_on_stop && is_cut_short && std::ranges::none_of(sources_, [&](const auto& source) {
            return source->outlet == outlet && source->ends_itself;
          });
      finishing.emplace_back([&, ends, &result = done[address], &into = *outlet] {
        if (ends) result = into.end_streams(stream::EndReason::drain, until(deadline));
        auto last = deadline;
        while (result) {
          if (!hurry.stop_requested()) last = Clock::now() + timeout;
          const Status flushed = into.writer().flush(std::min(until(last), 200ms));
          if (flushed) break;
          if (flushed.error().code != ErrorCode::exhausted || Clock::now() >= last) result = flushed;
        }
      });
    }
  }
  for (auto& [address, outlet] : outlets_) {
    const auto statistics = outlet->writer().statistics();
    if (const auto error = outlet->error()) {
      outcome.failures.push_back(error->to_string());
    } else if (const Status& result = done[address]; !result) {
      outcome.in_time = false;
      outcome.failures.push_back(result.error().to_string());
    }
    outcome.frames += outlet->frames();
    outcome.acknowledged += statistics.acknowledged;
    outcome.refused += statistics.refused;
    outcome.dropped += statistics.dropped;
    if (statistics.refused > 0)
      outcome.failures.push_back(std::format("{}: the reader has refused {} messages for good",
                                             masked_url(address), statistics.refused));
    if (const uint64_t count = outlet->unsendable())
      outcome.failures.push_back(std::format("{}: {} messages could not be sent, the last one: {}",
                                             masked_url(address), count, outlet->unsendable_reason()));
  }
  for (Running* source : acknowledging) {
    source->stop.request_stop();
    source->runner->request_stop();
    join(*source);
  }
  return outcome;
}

Status SourceProcess::ask_for_shutdown(const std::string& token, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  for (auto& [address, outlet] : outlets_) {
    stream::Message message;
    message.source_id = "shutdown";
    message.shutdown.emplace().token = token;
    if (Status sent = outlet->writer().send(message, {}, until(deadline)); !sent) return sent;
    if (Status done = outlet->writer().flush(until(deadline)); !done) return done;
  }
  return {};
}

std::vector<adapters::SourceStatus> SourceProcess::status() const {
  std::vector<adapters::SourceStatus> all;
  for (const auto& source : sources_)
    for (adapters::SourceStatus& each : source->runner->source().status()) all.push_back(std::move(each));
  for (const auto& [address, outlet] : outlets_)
    for (adapters::SourceStatus& each : outlet->status())
      if (!std::ranges::contains(all, each.source_id, &adapters::SourceStatus::source_id))
        all.push_back(std::move(each));
  std::ranges::sort(all, {}, &adapters::SourceStatus::source_id);
  return all;
}

std::map<std::string, uint64_t> SourceProcess::rejected() const {
  std::map<std::string, uint64_t> counts;
  for (const auto& source : sources_)
    for (const auto& [reason, count] : source->runner->source().rejected()) counts[reason] += count;
  for (const auto& [address, outlet] : outlets_)
    if (const uint64_t count = outlet->unsendable()) counts["unsendable"] += count;
  return counts;
}

}  // namespace sightglass::module
