#include "sightglass/module/etcd_watch.h"

#include <libsoup/soup.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <nlohmann/json.hpp>

#include "sightglass/core/result.h"

namespace sightglass::module {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr size_t most_answer = size_t(16) << 20;  // bytes
constexpr auto coalesce = 50ms;

struct Unref {
  template <class T>
  void operator()(T* object) const {
    g_object_unref(object);
  }
};
template <class T>
using Object = std::unique_ptr<T, Unref>;

std::string base64(std::string_view text) {
  gchar* encoded = g_base64_encode(reinterpret_cast<const guchar*>(text.data()), text.size());
  std::string result(encoded);
  g_free(encoded);
  return result;
}

std::string from_base64(const std::string& text) {
  gsize size = 0;
  guchar* decoded = g_base64_decode(text.c_str(), &size);
  std::string result(reinterpret_cast<char*>(decoded), size);
  g_free(decoded);
  return result;
}

// The key behind all that begin with the prefix.
std::string range_end(std::string prefix) {
  while (!prefix.empty()) {
    if (uint8_t(prefix.back()) < 0xff) {
      prefix.back() = char(uint8_t(prefix.back()) + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return std::string(1, '\0');
}

std::string reason(GError* error) {
  std::string text = error ? error->message : "no answer";
  if (error) g_error_free(error);
  return text;
}

// One connection to one server, used by one thread.
class Client {
 public:
  explicit Client(std::chrono::milliseconds timeout)
      : session_(soup_session_new_with_options("timeout", 0u, nullptr)), timeout_(timeout) {}

  // The whole answer of a short call.
  Result<json> call(const std::string& url, const json& request, GCancellable* cancel) {
    // libsoup counts in seconds only.
    Object<GCancellable> late(g_cancellable_new());
    std::mutex mutex;
    std::condition_variable_any done;
    bool is_done = false;
    std::jthread timer([&](std::stop_token stop) {
      std::unique_lock lock(mutex);
      if (!done.wait_for(lock, stop, timeout_, [&] { return is_done; })) g_cancellable_cancel(late.get());
    });
    const gulong linked = cancel
                              ? g_cancellable_connect(cancel, G_CALLBACK(+[](GCancellable*, gpointer to) {
                                                        g_cancellable_cancel(static_cast<GCancellable*>(to));
                                                      }),
                                                      late.get(), nullptr)
                              : 0;
    Result<json> answer = exchange(url, request, late.get());
    if (cancel) g_cancellable_disconnect(cancel, linked);
    {
      const std::lock_guard lock(mutex);
      is_done = true;
    }
    timer.request_stop();
    return answer;
  }

  // The answer as it comes, until it is cancelled.
  Result<Object<GInputStream>> stream(const std::string& url, const json& request, GCancellable* cancel) {
    Object<SoupMessage> message(soup_message_new("POST", url.c_str()));
    if (!message) return fail(ErrorCode::invalid_argument, "etcd: {} is no URL", url);
    const std::string body = request.dump();
    GBytes* bytes = g_bytes_new(body.data(), body.size());
    soup_message_set_request_body_from_bytes(message.get(), "application/json", bytes);
    g_bytes_unref(bytes);
    GError* error = nullptr;
    Object<GInputStream> answer(soup_session_send(session_.get(), message.get(), cancel, &error));
    if (!answer) return fail(ErrorCode::io, "etcd: {}", reason(error));
    if (const guint status = soup_message_get_status(message.get()); status != 200)
      return fail(ErrorCode::io, "etcd: status {}", status);
    return answer;
  }

 private:
  Result<json> exchange(const std::string& url, const json& request, GCancellable* cancel) {
    auto stream_of = stream(url, request, cancel);
    if (!stream_of) return forward_error(stream_of);
    std::string text;
    char block[1 << 14];
    for (;;) {
      GError* error = nullptr;
      const gssize size = g_input_stream_read(stream_of->get(), block, sizeof block, cancel, &error);
      if (size < 0) return fail(ErrorCode::io, "etcd: {}", reason(error));
      if (size == 0) break;
      text.append(block, size_t(size));
      if (text.size() > most_answer)
        return fail(ErrorCode::exhausted, "etcd: an answer of over {} bytes", most_answer);
    }
    json answer = json::parse(text, nullptr, false);
    if (answer.is_discarded() || !answer.is_object())
      return fail(ErrorCode::corrupt, "etcd: an answer that is no JSON");
    return answer;
  }

  Object<SoupSession> session_;
  const std::chrono::milliseconds timeout_;
};

// An empty text is left out by the server.
Result<std::string> text_of(const json& entry, const char* name) {
  const auto found = entry.is_object() ? entry.find(name) : entry.end();
  if (entry.is_object() && found == entry.end()) return std::string();
  if (!entry.is_object() || !found->is_string())
    return fail(ErrorCode::corrupt, "etcd: an answer of another shape");
  return from_base64(found->get_ref<const std::string&>());
}

Result<EtcdWatch::Values> read_all(Client& client, const std::string& url, const std::string& prefix,
                                   GCancellable* cancel) {
  const json request{{"key", base64(prefix)}, {"range_end", base64(range_end(prefix))}};
  auto answer = client.call(url + "/v3/kv/range", request, cancel);
  if (!answer) return forward_error(answer);
  if (const auto error = answer->find("error"); error != answer->end())
    return fail(ErrorCode::io, "etcd: {}", error->is_string() ? error->get<std::string>() : error->dump());
  EtcdWatch::Values values;
  const auto entries = answer->find("kvs");
  if (entries == answer->end()) return values;
  if (!entries->is_array()) return fail(ErrorCode::corrupt, "etcd: an answer of another shape");
  for (const json& entry : *entries) {
    auto key = text_of(entry, "key"), value = text_of(entry, "value");
    if (!key) return forward_error(key);
    if (!value) return forward_error(value);
    if (key->starts_with(prefix)) values[key->substr(prefix.size())] = std::move(*value);
  }
  return values;
}

}  // namespace

Result<EtcdWatch::Values> EtcdWatch::read(const Options& options) {
  Result<Values> values = fail(ErrorCode::invalid_argument, "etcd: no URL");
  const auto end = std::chrono::steady_clock::now() + options.timeout;
  for (size_t i = 0; i < options.urls.size(); ++i) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= 0ms) break;
    Client client(left / int(options.urls.size() - i));
    values = read_all(client, options.urls[i], options.prefix, nullptr);
    if (values) break;
  }
  return values;
}

class EtcdWatch::State {
 public:
  State(Options options, std::function<bool(const Values&)> on_values)
      : options_(std::move(options)),
        on_values_(std::move(on_values)),
        cancel_(g_cancellable_new()),
        mirror_([this](const std::stop_token& stop) { mirror(stop); }),
        watch_([this](const std::stop_token& stop) { watch(stop); }) {}

  ~State() {
    watch_.request_stop();
    mirror_.request_stop();
    g_cancellable_cancel(cancel_.get());
    poke();
  }

  bool is_current() const { return is_current_; }
  std::string last_error() const {
    const std::lock_guard lock(mutex_);
    return last_error_;
  }

 private:
  // Reads everything whenever the watch has seen a change, and every `check_every` to be sure.
  void mirror(const std::stop_token& stop) {
    Client client(options_.timeout);
    std::optional<Values> known;
    std::chrono::milliseconds pause = 100ms;
    while (!stop.stop_requested()) {
      auto values = read_all(client, url(), options_.prefix, cancel_.get());
      if (values) {
        is_current_ = true;
        pause = options_.check_every;
        if ((!known || *known != *values) && on_values_(*values)) known = std::move(*values);
      } else if (!stop.stop_requested()) {
        is_current_ = false;
        next_url();
        const std::lock_guard lock(mutex_);
        last_error_ = values.error().message;
        pause = std::min(pause < options_.check_every ? pause * 2 : pause, options_.check_every);
      }
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, pause, [this] { return is_poked_; });
      if (std::exchange(is_poked_, false)) {
        lock.unlock();
        // Changes that belong together are read together.
        std::unique_lock waiting(mutex_);
        changed_.wait_for(waiting, stop, coalesce, [] { return false; });
      }
    }
  }

  // Only tells that something has changed: what it is now is read as a whole, so that nothing lost on the way
  // matters.
  void watch(const std::stop_token& stop) {
    Client client(options_.timeout);
    while (!stop.stop_requested()) {
      const json request{
          {"create_request",
           {{"key", base64(options_.prefix)}, {"range_end", base64(range_end(options_.prefix))}}}};
      auto stream = client.stream(url() + "/v3/watch", request, cancel_.get());
      if (stream) follow(**stream, stop);
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, 500ms, [] { return false; });
    }
  }

  void follow(GInputStream& stream, const std::stop_token& stop) {
    char block[1 << 12];
    poke();  // what changed before the watch began
    while (!stop.stop_requested()) {
      const gssize size = g_input_stream_read(&stream, block, sizeof block, cancel_.get(), nullptr);
      if (size <= 0) return;
      poke();
    }
  }

  void poke() {
    {
      const std::lock_guard lock(mutex_);
      is_poked_ = true;
    }
    changed_.notify_all();
  }

  std::string url() const { return options_.urls[url_ % options_.urls.size()]; }
  void next_url() { ++url_; }

  const Options options_;
  const std::function<bool(const Values&)> on_values_;
  Object<GCancellable> cancel_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool is_poked_ = false;
  std::string last_error_;
  std::atomic<bool> is_current_ = false;
  std::atomic<size_t> url_ = 0;
  std::jthread mirror_, watch_;
};

EtcdWatch::EtcdWatch(Options options, std::function<bool(const Values&)> on_values)
    : state_(std::make_unique<State>(std::move(options), std::move(on_values))) {}
EtcdWatch::~EtcdWatch() = default;
bool EtcdWatch::is_current() const { return state_->is_current(); }
std::string EtcdWatch::last_error() const { return state_->last_error(); }

}  // namespace sightglass::module
