// Messages of other programs, over one or more ZeroMQ sockets, each read by a thread of its own.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/zeromq_params.h"
#include "sightglass/stream/zeromq/reader.h"

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;

enum class Ack { accepted, processed };

struct Params : ZmqParams {
  std::vector<std::string> sources;
  Ack ack = Ack::processed;
};

class ZmqSource final : public Source {
 public:
  ZmqSource(std::vector<stream::Url> urls, stream::ZmqReaderOptions options)
      : urls_(std::move(urls)), options_(std::move(options)) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    const Params& params = set.as<Params>();
    if (params.url.empty())
      return fail(ErrorCode::invalid_argument, "{}: url is missing, as in router+bind:tcp://0.0.0.0:5560",
                  context.name);
    std::vector<stream::Url> urls;
    for (const std::string& text : params.url) {
      auto url = stream::parse_reader_url(text, context.name + ".url");
      if (!url) return forward_error(url);
      urls.push_back(std::move(*url));
    }
    stream::ZmqReaderOptions options;
    options.socket.high_water_mark = int(params.high_water_mark);
    options.socket.curve = curve_options(params, context.folder);
    if (Status read = check_key(options.socket.curve, context.name); !read) return forward_error(read);
    options.socket.require_auth = context.require_auth;
    options.messages.limits = context.limits;
    options.messages.allow_location = context.allow_location;
    options.level = params.ack == Ack::accepted ? stream::AckLevel::accepted : stream::AckLevel::processed;
    options.name = context.module;
    options.shutdown_token = context.shutdown_token;
    options.shutdown_target = context.module;
    for (const std::string& id : params.sources) {
      if (!id.ends_with('*')) {
        options.sources.push_back(id);
      } else if (params.sources.size() > 1) {
        return fail(ErrorCode::invalid_argument, "{}: sources: a prefix ('{}') stands alone", context.name,
                    id);
      } else {
        options.source_prefix = id.substr(0, id.size() - 1);
      }
    }
    return std::make_unique<ZmqSource>(std::move(urls), std::move(options));
  }

  Status start() override {
    for (const stream::Url& url : urls_) {
      auto reader = stream::ZmqReader::open(url, options_);
      if (!reader) return forward_error(reader);
      readers_.push_back(std::move(*reader));
    }
    return {};
  }

  Status run(Deliver& out, std::stop_token stop) override {
    const std::stop_callback wake(stop, [this] {
      for (auto& reader : readers_) reader->interrupt();
    });
    Status failed;
    std::mutex mutex;
    const auto read_all = [&](stream::ZmqReader& reader, Deliver& to) {
      if (Status status = read(reader, to, stop); !status) {
        const std::lock_guard lock(mutex);
        failed = std::move(status);
      }
    };
    {
      std::vector<std::jthread> others;
      for (size_t i = 1; i < readers_.size(); ++i)
        others.emplace_back([&, i] {
          const auto deliver = out.another();
          read_all(*readers_[i], *deliver);
        });
      read_all(*readers_[0], out);
    }
    return failed;
  }

  bool drain() override {
    for (auto& reader : readers_) reader->pause();
    return std::ranges::any_of(urls_, [](const stream::Url& url) { return stream::acknowledges(url.type); });
  }

  void request_keyframe(const stream::Uuid& producer, std::string_view source_id, int64_t epoch) override {
    for (auto& reader : readers_) reader->request_keyframe(producer, source_id, epoch);
  }

  std::map<std::string, uint64_t> rejected() const override {
    std::map<std::string, uint64_t> counts;
    for (const auto& reader : readers_) {
      for (size_t i = 1; i < stream::rejection_count; ++i) {
        const auto reason = stream::Rejection(i);
        if (const uint64_t count = reader->rejected(reason)) counts[std::string(to_string(reason))] += count;
      }
      const auto statistics = reader->statistics();
      const auto add = [&](const char* name, uint64_t count) {
        if (count > 0) counts[name] += count;
      };
      add("muted", statistics.muted);
      add("poison", statistics.poison);
      add("oversize", statistics.connections.oversize);
      add("handshake", statistics.connections.handshake_failed);
    }
    return counts;
  }

  std::vector<std::string> addresses() const override {
    std::vector<std::string> all;
    for (const auto& reader : readers_) all.push_back(reader->url().to_string());
    return all;
  }

 private:
  static Status read(stream::ZmqReader& reader, Deliver& out, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      auto received = reader.next(100ms);
      if (!received) return forward_error(received);
      // Nothing more is taken, but what was is still being worked on: it is to be acknowledged when it is
      // done.
      if (*received && !out.deliver(std::move((*received)->delivery))) {
        if (!acknowledges(reader.url().type) || !stop.stop_possible()) break;
        reader.pause();
      }
    }
    // The last acknowledgements are sent within next().
    reader.pause();
    for (int i = 0; i < 2; ++i) (void)reader.next(30ms);
    return {};
  }

  const std::vector<stream::Url> urls_;
  const stream::ZmqReaderOptions options_;
  std::vector<std::unique_ptr<stream::ZmqReader>> readers_;
};

std::vector<ParamDesc> params() {
  auto all = zmq_params<Params>("addresses that frames come from: router+bind:tcp://0.0.0.0:5560");
  all.push_back(param("sources", &Params::sources,
                      "source ids that are taken, or one prefix that ends in *; empty: all"));
  all.push_back(
      param("ack", &Params::ack,
            "when a message is acknowledged: in its stream's queue, or stored by all required sinks")
          .choices({"accepted", "processed"}));
  return all;
}

const SourceRegistration registration(SourceDesc{
    .name = "zeromq",
    .doc = "messages of other programs, over ZeroMQ",
    .params = ParamTable::of<Params>(params()),
    .create = &ZmqSource::create,
});

}  // namespace
}  // namespace sightglass::adapters
