#include "sightglass/console/http_server.h"

#include <libsoup/soup.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <format>
#include <functional>
#include <future>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

namespace sightglass::console {
namespace {

constexpr size_t most_waiting_events = 256;
constexpr size_t most_listeners = 64;
constexpr size_t most_waiting_requests = 256;
// Of the body of a request that has been refused, which is read to nowhere so that its sender gets to the
// answer; what goes on sending behind that is hung up on.
constexpr size_t most_discarded = size_t(4) << 20;
constexpr auto event_heartbeat = std::chrono::seconds(15);

struct Address {
  std::string host;
  uint16_t port = 0;
};

Result<Address> parse_bind(std::string_view bind) {
  Address address;
  const size_t colon = bind.rfind(':');
  std::string_view port = colon == bind.npos ? std::string_view() : bind.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size())
    return fail(ErrorCode::invalid_argument, "http.bind: '{}' is not HOST:PORT, as in 127.0.0.1:8080", bind);
  address.host = bind.substr(0, colon);
  if (address.host.starts_with('[') && address.host.ends_with(']'))
    address.host = address.host.substr(1, address.host.size() - 2);
  if (address.host == "localhost") address.host = "127.0.0.1";
  return address;
}

bool is_loopback(const std::string& host) {
  GInetAddress* address = g_inet_address_new_from_string(host.c_str());
  const bool loopback = address && g_inet_address_get_is_loopback(address);
  if (address) g_object_unref(address);
  return loopback;
}

// "127.0.0.1:8080" or "[::1]:8080", as in a Host header.
bool names_this_machine(std::string_view host) {
  if (const size_t bracket = host.find(']'); host.starts_with('[') && bracket != host.npos)
    host = host.substr(1, bracket - 1);
  else
    host = host.substr(0, host.rfind(':'));
  return host == "localhost" || is_loopback(std::string(host));
}

std::optional<Method> method_of(std::string_view name) {
  for (const Method method : {Method::get, Method::put, Method::post, Method::patch, Method::delete_})
    if (name == to_string(method)) return method;
  return {};
}

// For callbacks of the message, within which its connection cannot be taken away: it closes right afterwards.
void hang_up(SoupServerMessage* message) {
  GSource* later = g_idle_source_new();
  g_source_set_priority(later, G_PRIORITY_HIGH);
  g_source_set_callback(
      later,
      [](gpointer data) -> gboolean {
        auto* of = static_cast<SoupServerMessage*>(data);
        if (!soup_server_message_get_socket(of)) return G_SOURCE_REMOVE;
        if (GIOStream* stream = soup_server_message_steal_connection(of)) {
          g_io_stream_close(stream, nullptr, nullptr);
          g_object_unref(stream);
        }
        return G_SOURCE_REMOVE;
      },
      g_object_ref(message), g_object_unref);
  g_source_attach(later, g_main_context_get_thread_default());
  g_source_unref(later);
  soup_server_message_pause(message);  // nothing more is read
}

// Hangs up once the body of a request is longer than `most`.
void limit_body(SoupServerMessage* message, size_t most) {
  g_signal_connect_data(
      message, "got-chunk", G_CALLBACK(+[](SoupServerMessage* of, GBytes* chunk, gpointer data) {
        auto& left = *static_cast<size_t*>(data);
        const size_t size = g_bytes_get_size(chunk);
        if (size <= left) {
          left -= size;
          return;
        }
        left = 0;
        soup_message_body_set_accumulate(soup_server_message_get_request_body(of), FALSE);
        hang_up(of);
      }),
      new size_t(most), [](gpointer data, GClosure*) { delete static_cast<size_t*>(data); },
      GConnectFlags(0));
}

// A function for the thread of a context.
void invoke(GMainContext* context, std::function<void()> function) {
  auto* own = new std::function<void()>(std::move(function));
  g_main_context_invoke_full(
      context, G_PRIORITY_DEFAULT,
      [](gpointer data) -> gboolean {
        (*static_cast<std::function<void()>*>(data))();
        return G_SOURCE_REMOVE;
      },
      own, [](gpointer data) { delete static_cast<std::function<void()>*>(data); });
}

class Server final : public HttpServer {
 public:
  Server(ServerOptions options, std::vector<Route> routes, Tokens tokens)
      : options_(std::move(options)), routes_(std::move(routes)), tokens_(std::move(tokens)) {}

  ~Server() override {
    // Answers that are under way are given before the sockets close.
    for (Queue* queue : {&calls_, &probes_}) {
      for (std::jthread& worker : queue->workers) worker.request_stop();
      queue->workers.clear();
    }
    if (sockets_.joinable()) {
      if (loop_) invoke(context_, [this] { g_main_loop_quit(loop_); });
      sockets_.join();
    }
    if (loop_) g_main_loop_unref(loop_);
    if (context_) g_main_context_unref(context_);
  }

  Status start() {
    auto address = parse_bind(options_.bind);
    if (!address) return forward_error(address);
    if (options_.cert_file.empty() != options_.key_file.empty())
      return fail(ErrorCode::invalid_argument, "http.tls: cert and key belong together");
    if (!options_.client_ca_file.empty() && options_.cert_file.empty())
      return fail(ErrorCode::invalid_argument,
                  "http.tls: ca asks clients for certificates, which needs cert and key");
    if (tokens_.empty() && options_.client_ca_file.empty() && !is_loopback(address->host))
      return fail(ErrorCode::invalid_argument,
                  "http.bind: {} can be reached from other machines: set http.token_file "
                  "(--http-token-file), or bind to "
                  "127.0.0.1",
                  options_.bind);
    context_ = g_main_context_new();
    loop_ = g_main_loop_new(context_, FALSE);
    std::promise<Status> listening;
    sockets_ = std::thread([this, &listening, address = *address] { serve(address, listening); });
    Status status = listening.get_future().get();
    if (!status) return status;
    for (Queue* queue : {&calls_, &calls_, &probes_})
      queue->workers.emplace_back([this, queue](const std::stop_token& stop) { work(*queue, stop); });
    return {};
  }

  std::string url() const override { return url_; }

  void send_event(std::string_view name, std::string_view json) override {
    if (listeners_count_ == 0) return;
    invoke(context_, [this, text = std::format("event: {}\ndata: {}\n\n", name, json)] { broadcast(text); });
  }

 private:
  struct Job {
    SoupServerMessage* message;  // a reference
    const Route* route;
    Request request;
  };
  // Requests that wait for a thread.
  struct Queue {
    std::mutex mutex;
    std::condition_variable_any has_jobs;
    std::deque<Job> jobs;
    std::vector<std::jthread> workers;
  };
  struct Listener {
    SoupServerMessage* message;  // a reference
    std::deque<std::string> waiting;
    bool is_writing = false;
    uint64_t lost = 0;
  };

  // --- thread of the sockets
  // ---------------------------------------------------------------------------------

  void serve(const Address& address, std::promise<Status>& listening) {
    g_main_context_push_thread_default(context_);
    GError* error = nullptr;
    SoupServer* server = soup_server_new("server-header", "sightglass", nullptr);
    GTlsCertificate* certificate = nullptr;
    GTlsDatabase* clients = nullptr;
    if (!options_.cert_file.empty()) {
      certificate =
          g_tls_certificate_new_from_files(options_.cert_file.c_str(), options_.key_file.c_str(), &error);
      if (certificate) soup_server_set_tls_certificate(server, certificate);
    }
    if (!error && !options_.client_ca_file.empty()) {
      clients = g_tls_file_database_new(options_.client_ca_file.c_str(), &error);
      if (clients) {
        soup_server_set_tls_database(server, clients);
        soup_server_set_tls_auth_mode(server, G_TLS_AUTHENTICATION_REQUIRED);
      }
    }
    if (!error) {
      soup_server_add_early_handler(server, nullptr, &Server::on_headers, this, nullptr);
      soup_server_add_handler(server, nullptr, &Server::on_request, this, nullptr);
      GSocketAddress* where = g_inet_socket_address_new_from_string(address.host.c_str(), address.port);
      if (where)
        soup_server_listen(server, where, certificate ? SOUP_SERVER_LISTEN_HTTPS : SoupServerListenOptions(0),
                           &error);
      else
        g_set_error(&error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s is no address",
                    address.host.c_str());
      if (where) g_object_unref(where);
    }
    if (error) {
      listening.set_value(fail(ErrorCode::io, "http.bind: {}: {}", options_.bind, error->message));
      g_error_free(error);
    } else {
      GSList* uris = soup_server_get_uris(server);
      if (uris) {
        gchar* text = g_uri_to_string(static_cast<GUri*>(uris->data));
        url_ = text;
        if (url_.ends_with('/')) url_.pop_back();
        g_free(text);
      }
      g_slist_free_full(uris, [](gpointer uri) { g_uri_unref(static_cast<GUri*>(uri)); });
      GSource* beat = g_timeout_source_new_seconds(1);
      g_source_set_callback(beat, &Server::on_second, this, nullptr);
      g_source_attach(beat, context_);
      listening.set_value({});
      g_main_loop_run(loop_);
      g_source_destroy(beat);
      g_source_unref(beat);
      while (!listeners_.empty()) finish(listeners_.begin());
    }
    soup_server_disconnect(server);
    g_object_unref(server);
    if (certificate) g_object_unref(certificate);
    if (clients) g_object_unref(clients);
    g_main_context_pop_thread_default(context_);
  }

  static gboolean on_second(gpointer self) {
    auto& server = *static_cast<Server*>(self);
    const auto now = std::chrono::steady_clock::now();
    if (now - server.last_heartbeat_ >= event_heartbeat) {
      server.last_heartbeat_ = now;
      server.broadcast(": still here\n\n");
    }
    return G_SOURCE_CONTINUE;
  }

  // Before the body is read: what is too large is not.
  static void on_headers(SoupServer*, SoupServerMessage* message, const char* path, GHashTable*,
                         gpointer self) {
    static_cast<Server*>(self)->refuse_early(message, path);
  }

  void refuse_early(SoupServerMessage* message, const char* path) {
    Request request;
    const Route* route = nullptr;
    SoupMessageHeaders* headers = soup_server_message_get_request_headers(message);
    const SoupEncoding encoding = soup_message_headers_get_encoding(headers);
    const goffset length = soup_message_headers_get_content_length(headers);
    auto refused = check(message, path, request, route);
    if (!refused && encoding != SOUP_ENCODING_NONE && encoding != SOUP_ENCODING_CONTENT_LENGTH)
      refused = problem(413, "a body needs a Content-Length");
    if (!refused && length > goffset(route->most_body))
      refused = problem(413, std::format("a body of over {} bytes", route->most_body));
    if (!refused && length > 0 && is_open_to_browsers() && route->takes_json) {
      const char* type = soup_message_headers_get_content_type(headers, nullptr);
      if (!type || std::string_view(type) != "application/json")
        refused = problem(415, "the body is JSON: Content-Type: application/json");
    }
    if (!refused) return limit_body(message, route->most_body);
    if (length > 0 || encoding != SOUP_ENCODING_NONE) {
      // The body is read on all the same.
      soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
      limit_body(message, most_discarded);
      refused->headers.emplace_back("Connection", "close");
    }
    answer(message, *refused);
  }

  // Who calls is known by a certificate, which a browser shows whatever page makes it call.
  bool is_open_to_browsers() const { return tokens_.empty() && !options_.client_ca_file.empty(); }

  // Whether the call may be made at all; fills what is known of it.
  std::optional<Response> check(SoupServerMessage* message, const char* path, Request& request,
                                const Route*& route) {
    SoupMessageHeaders* headers = soup_server_message_get_request_headers(message);
    const auto method = method_of(soup_server_message_get_method(message));
    std::vector<Method> allowed;
    if (method) route = match(routes_, *method, path, request.path, allowed);
    if (!route && !allowed.empty()) {
      Response refused = problem(405, "this path has other methods");
      std::string names;
      for (const Method other : allowed) names += (names.empty() ? "" : ", ") + std::string(to_string(other));
      refused.headers.emplace_back("Allow", names);
      return refused;
    }
    if (!route) return problem(404, "there is no such path; /v1/openapi.json lists them");
    if (!method) return problem(405, "no such method");
    request.method = *method;
    if (tokens_.empty()) {
      const char* host = soup_message_headers_get_one(headers, "Host");
      const char* origin = soup_message_headers_get_one(headers, "Origin");
      if (is_open_to_browsers() && origin && (!host || origin != std::string("https://") + host))
        return problem(403, "a page of another site may not call");
      std::string_view from = origin ? origin : "";
      if (const size_t scheme = from.find("://"); scheme != from.npos) from.remove_prefix(scheme + 3);
      if (options_.client_ca_file.empty() &&
          ((host && !names_this_machine(host)) || (origin && !names_this_machine(from))))
        return problem(403, "without tokens only this machine is served");
      request.who = "local";
      return {};
    }
    if (route->scope == Scope::open) return {};
    const char* authorization = soup_message_headers_get_one(headers, "Authorization");
    const auto grant = tokens_.check(authorization ? authorization : "");
    if (!grant) {
      Response refused = problem(401, "a token is needed: Authorization: Bearer …");
      refused.headers.emplace_back("WWW-Authenticate", "Bearer");
      return refused;
    }
    if (route->scope == Scope::control && grant->scope != Scope::control)
      return problem(403, std::format("the token {} may only read", grant->name));
    request.who = grant->name;
    request.may_control = grant->scope == Scope::control;
    return {};
  }

  static void on_request(SoupServer*, SoupServerMessage* message, const char* path, GHashTable* query,
                         gpointer self) {
    static_cast<Server*>(self)->take(message, path, query);
  }

  void take(SoupServerMessage* message, const char* path, GHashTable* query) {
    // Refused already when its headers came.
    if (soup_server_message_get_status(message) != 0) return;
    Request request;
    const Route* route = nullptr;
    if (const auto refused = check(message, path, request, route)) return answer(message, *refused);
    if (query) {
      GHashTableIter entries;
      gpointer key = nullptr, value = nullptr;
      g_hash_table_iter_init(&entries, query);
      while (g_hash_table_iter_next(&entries, &key, &value))
        request.query[static_cast<const char*>(key)] = static_cast<const char*>(value);
    }
    SoupMessageHeaders* headers = soup_server_message_get_request_headers(message);
    if (const char* type = soup_message_headers_get_one(headers, "Content-Type")) request.content_type = type;
    if (const char* match = soup_message_headers_get_one(headers, "If-Match")) {
      std::string_view text = match;
      if (text.starts_with('"') && text.ends_with('"') && text.size() > 2)
        text = text.substr(1, text.size() - 2);
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), request.if_match);
      if (error != std::errc{} || end != text.data() + text.size() || request.if_match == 0)
        return answer(message, problem(400, "If-Match is the number of a revision"));
    }
    SoupMessageBody* body = soup_server_message_get_request_body(message);
    request.body.assign(body->data ? body->data : "", size_t(body->data ? body->length : 0));
    if (!route->handle) return listen(message);
    soup_server_message_pause(message);
    Queue& queue = route->scope == Scope::open ? probes_ : calls_;
    {
      const std::lock_guard lock(queue.mutex);
      if (queue.jobs.size() < most_waiting_requests) {
        queue.jobs.push_back({SOUP_SERVER_MESSAGE(g_object_ref(message)), route, std::move(request)});
        queue.has_jobs.notify_one();
        return;
      }
    }
    soup_server_message_unpause(message);
    answer(message, problem(503, "too many requests at once"));
  }

  static void answer(SoupServerMessage* message, const Response& response) {
    SoupMessageHeaders* headers = soup_server_message_get_response_headers(message);
    for (const auto& [name, value] : response.headers)
      soup_message_headers_replace(headers, name.c_str(), value.c_str());
    soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_server_message_set_status(message, guint(response.status), nullptr);
    soup_server_message_set_response(message, response.content_type.c_str(), SOUP_MEMORY_COPY,
                                     response.body.data(), response.body.size());
  }

  // --- events
  // ------------------------------------------------------------------------------------------------

  using ListenerPlace = std::list<Listener>::iterator;

  void listen(SoupServerMessage* message) {
    if (listeners_.size() >= most_listeners) return answer(message, problem(503, "too many listeners"));
    SoupMessageHeaders* headers = soup_server_message_get_response_headers(message);
    soup_server_message_set_status(message, 200, nullptr);
    soup_message_headers_set_content_type(headers, "text/event-stream", nullptr);
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_message_headers_set_encoding(headers, SOUP_ENCODING_CHUNKED);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(message), FALSE);
    listeners_.push_back({.message = SOUP_SERVER_MESSAGE(g_object_ref(message))});
    listeners_count_ = listeners_.size();
    g_signal_connect(message, "wrote-chunk", G_CALLBACK(&Server::on_chunk_written), this);
    g_signal_connect(message, "finished", G_CALLBACK(&Server::on_listener_gone), this);
    listeners_.back().waiting.emplace_back(": sightglass\n\n");
    write_next(listeners_.back());
  }

  void broadcast(const std::string& text) {
    for (Listener& listener : listeners_) {
      if (listener.waiting.size() >= most_waiting_events) {
        listener.waiting.pop_front();
        ++listener.lost;
      }
      listener.waiting.push_back(text);
      if (!listener.is_writing) write_next(listener);
    }
  }

  void write_next(Listener& listener) {
    if (listener.waiting.empty()) {
      listener.is_writing = false;
      soup_server_message_pause(listener.message);
      return;
    }
    std::string text = std::move(listener.waiting.front());
    listener.waiting.pop_front();
    if (listener.lost > 0)
      text = std::format("event: lost\ndata: {}\n\n", std::exchange(listener.lost, 0)) + text;
    listener.is_writing = true;
    soup_message_body_append(soup_server_message_get_response_body(listener.message), SOUP_MEMORY_COPY,
                             text.data(), text.size());
    soup_server_message_unpause(listener.message);
  }

  ListenerPlace place_of(SoupServerMessage* message) {
    return std::ranges::find(listeners_, message, &Listener::message);
  }

  static void on_chunk_written(SoupServerMessage* message, gpointer self) {
    auto& server = *static_cast<Server*>(self);
    if (const auto found = server.place_of(message); found != server.listeners_.end())
      server.write_next(*found);
  }

  static void on_listener_gone(SoupServerMessage* message, gpointer self) {
    auto& server = *static_cast<Server*>(self);
    if (const auto found = server.place_of(message); found != server.listeners_.end()) server.finish(found);
  }

  void finish(ListenerPlace place) {
    SoupServerMessage* message = place->message;
    listeners_.erase(place);
    listeners_count_ = listeners_.size();
    g_signal_handlers_disconnect_by_data(message, this);
    g_object_unref(message);
  }

  // --- threads of the handlers
  // -------------------------------------------------------------------------------

  void work(Queue& queue, const std::stop_token& stop) {
    for (;;) {
      std::unique_lock lock(queue.mutex);
      if (!queue.has_jobs.wait(lock, stop, [&] { return !queue.jobs.empty(); })) break;
      Job job = std::move(queue.jobs.front());
      queue.jobs.pop_front();
      lock.unlock();
      Response response;
      try {
        response = job.route->handle(job.request);
      } catch (const std::exception& error) {
        response = problem(500, error.what());
      }
      give_back(job.message, std::move(response));
    }
    std::deque<Job> left;
    {
      const std::lock_guard lock(queue.mutex);
      left.swap(queue.jobs);
    }
    for (Job& job : left) give_back(job.message, problem(503, "the module is stopping"));
  }

  // The message belongs to the thread of the sockets.
  void give_back(SoupServerMessage* message, Response response) {
    invoke(context_, [message, response = std::move(response)] {
      answer(message, response);
      soup_server_message_unpause(message);
      g_object_unref(message);
    });
  }

  const ServerOptions options_;
  const std::vector<Route> routes_;
  const Tokens tokens_;
  std::string url_;
  GMainContext* context_ = nullptr;
  GMainLoop* loop_ = nullptr;
  std::thread sockets_;
  std::list<Listener> listeners_;
  std::atomic<size_t> listeners_count_ = 0;
  std::chrono::steady_clock::time_point last_heartbeat_ = std::chrono::steady_clock::now();
  Queue calls_, probes_;  // two threads for calls, one for what is open to all: nothing holds that up
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const ServerOptions& options, std::vector<Route> routes,
                                                      Tokens tokens) {
  auto server = std::make_unique<Server>(options, std::move(routes), std::move(tokens));
  if (Status started = server->start(); !started) return forward_error(started);
  return server;
}

}  // namespace sightglass::console
