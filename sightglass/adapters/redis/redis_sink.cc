// Records as entries of a Redis stream, each once: one script adds the entry and marks its uuid. Or as keys
// that expire.
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/record_names.h"
#include "sightglass/adapters/redis/redis_params.h"
#include "sightglass/adapters/server_url.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

// KEYS stream, mark · ARGV ttl, length, uuid, source id, kind, record. The mark comes last: where memory runs
// out in between, the entry is added twice rather than never.
constexpr std::string_view add_once = R"(
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if ARGV[2] == '0' then
  redis.call('XADD', KEYS[1], '*', 'uuid', ARGV[3], 'source_id', ARGV[4], 'kind', ARGV[5], 'record', ARGV[6])
else
  redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[2], '*', 'uuid', ARGV[3], 'source_id', ARGV[4], 'kind', ARGV[5],
             'record', ARGV[6])
end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
return 1)";

struct CloseContext {
  void operator()(redisContext* context) const { redisFree(context); }
};
struct FreeSsl {
  void operator()(redisSSLContext* context) const { redisFreeSSLContext(context); }
};
struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using ReplyPtr = std::unique_ptr<redisReply, FreeReply>;

void replace_all(std::string& text, std::string_view name, std::string_view value) {
  for (size_t at = 0; (at = text.find(name, at)) != text.npos; at += value.size())
    text.replace(at, name.size(), value);
}

class RedisSink final : public Sink {
 public:
  RedisSink(RedisParams params, ServerUrl url, int database, std::string password)
      : params_(std::move(params)),
        url_(std::move(url)),
        database_(database),
        password_(std::move(password)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    RedisParams params = set.as<RedisParams>();
    if (params.url.empty())
      return fail(ErrorCode::invalid_argument, "{}: url is missing, as in redis://host:6379", context.name);
    auto url = parse_server_url(params.url, {"redis", 6379}, {"rediss", 6379});
    if (!url) return forward_error(url);
    int database = 0;
    if (!url->path.empty()) {
      const char* const end = url->path.data() + url->path.size();
      const auto read = std::from_chars(url->path.data(), end, database);
      if (read.ec != std::errc{} || read.ptr != end || database < 0)
        return fail(ErrorCode::invalid_argument, "{}: url: '{}' is no number of a database", context.name,
                    url->path);
    }
    if (params.stream.empty() && params.key.empty())
      return fail(ErrorCode::invalid_argument, "{}: neither stream nor key has a name", context.name);
    if (url->scheme != "rediss")
      if (Status used = refuse_unused_tls(params, context.name, "rediss"); !used) return forward_error(used);
    for (std::string* path : {&params.tls_ca, &params.tls_cert, &params.tls_key, &params.password_file})
      *path = path_from(context.folder, *path);
    std::string password;
    if (!params.password_file.empty()) {
      auto read = read_secret("", params.password_file, context.name + ": password-file");
      if (!read) return forward_error(read);
      password = std::move(*read);
    }
    return std::make_unique<RedisSink>(std::move(params), std::move(*url), database, std::move(password));
  }

  // A server that is away is no error: it is waited for.
  Status start() override {
    if (url_.scheme != "rediss") return {};
    redisInitOpenSSL();
    const auto or_null = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
    redisSSLOptions options{};
    options.cacert_filename = or_null(params_.tls_ca);
    options.capath = params_.tls_ca.empty() ? "/etc/ssl/certs" : nullptr;
    options.cert_filename = or_null(params_.tls_cert);
    options.private_key_filename = or_null(params_.tls_key);
    options.server_name =
        params_.tls_server_name.empty() ? url_.host.c_str() : params_.tls_server_name.c_str();
    options.verify_mode = params_.tls_verify ? REDIS_SSL_VERIFY_PEER : REDIS_SSL_VERIFY_NONE;
    redisSSLContextError error = REDIS_SSL_CTX_NONE;
    ssl_.reset(redisCreateSSLContextWithOptions(&options, &error));
    if (!ssl_)
      return fail(ErrorCode::invalid_argument, "tls: {} (ca '{}', cert '{}')", redisSSLContextGetError(error),
                  params_.tls_ca, params_.tls_cert);
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    if (Status connected = connect(); !connected) return connected;
    std::vector<size_t> sent;
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (!params_.notes && record.kind != RecordKind::frame && record.kind != RecordKind::frame_update)
        continue;
      if (record.is_replay) continue;
      if (Status added = append(record); !added) return added;
      sent.push_back(i);
    }
    // What was answered before a connection breaks is stored.
    Status failed;
    for (size_t n = 0; n < sent.size(); ++n) {
      auto reply = next_reply();
      if (!reply) {
        for (size_t rest = n; rest < sent.size(); ++rest) outcome[sent[rest]] = Stored::retry;
        return n == 0 ? Status(forward_error(reply)) : Status();
      }
      if (is_done(**reply)) continue;
      if ((*reply)->type != REDIS_REPLY_ERROR) {
        // Whoever answers that, it is no Redis.
        disconnect();
        for (size_t rest = n; rest < sent.size(); ++rest) outcome[sent[rest]] = Stored::retry;
        return n == 0 ? Status(no_redis()) : Status();
      }
      outcome[sent[n]] = is_refused_for_good((*reply)->str) ? Stored::never : Stored::retry;
      if (failed && outcome[sent[n]] == Stored::retry)
        failed = fail(ErrorCode::io, "{}: {}", masked_url(params_.url), (*reply)->str);
    }
    // The runner reads an error as: all of them again. That is right only where none was stored.
    const bool is_any_stored =
        std::ranges::any_of(outcome, [](Stored each) { return each != Stored::retry; });
    if (!failed) disconnect();
    return is_any_stored ? Status() : failed;
  }

  void stop() override { disconnect(); }
  void cancel() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (context_) ::shutdown(context_->fd, SHUT_RDWR);
  }

 private:
  static timeval time_of(double seconds) {
    return {.tv_sec = time_t(seconds), .tv_usec = suseconds_t((seconds - double(time_t(seconds))) * 1e6)};
  }

  bool is_done(const redisReply& reply) const {
    return params_.key.empty()
               ? reply.type == REDIS_REPLY_INTEGER && (reply.integer == 0 || reply.integer == 1)
               : reply.type == REDIS_REPLY_STATUS && std::string_view(reply.str) == "OK";
  }
  std::unexpected<Error> no_redis() const {
    return fail(ErrorCode::io, "{}: answers as no Redis does", masked_url(params_.url));
  }

  std::unexpected<Error> failed(const redisContext* context) {
    const std::string reason = context && context->errstr[0] ? context->errstr : "no connection";
    disconnect();
    return fail(ErrorCode::io, "{}: {}", masked_url(params_.url), reason);
  }

  Status connect() {
    if (context_) return {};
    redisOptions options{};
    REDIS_OPTIONS_SET_TCP(&options, url_.host.c_str(), url_.port);
    const timeval connect_time = time_of(std::min(params_.timeout, 5.0)), time = time_of(params_.timeout);
    options.connect_timeout = &connect_time;
    options.command_timeout = &time;
    std::unique_ptr<redisContext, CloseContext> made(redisConnectWithOptions(&options));
    if (!made || made->err) return failed(made.get());
    if (ssl_ && redisInitiateSSLWithContext(made.get(), ssl_.get()) != REDIS_OK) return failed(made.get());
    (void)redisEnableKeepAlive(made.get());
    {
      const std::lock_guard lock(mutex_);
      if (is_cancelled_) return fail(ErrorCode::cancelled, "{}: given up", masked_url(params_.url));
      context_ = std::move(made);
    }
    if (!password_.empty()) {
      const Status done =
          params_.user.empty() ? command({"AUTH", password_}) : command({"AUTH", params_.user, password_});
      if (!done) return done;
    }
    if (database_ > 0)
      if (Status done = command({"SELECT", std::to_string(database_)}); !done) return done;
    if (!params_.key.empty()) return {};
    return command({"SCRIPT", "LOAD", add_once}, &script_);
  }

  void disconnect() {
    const std::lock_guard lock(mutex_);
    context_.reset();
  }

  template <class Arguments>
  bool append_command(const Arguments& arguments) {
    const char* texts[12];
    size_t sizes[12], count = 0;
    for (const std::string_view argument : arguments)
      texts[count] = argument.data(), sizes[count] = argument.size(), ++count;
    return redisAppendCommandArgv(context_.get(), int(count), texts, sizes) == REDIS_OK;
  }

  Result<ReplyPtr> next_reply() {
    void* reply = nullptr;
    if (redisGetReply(context_.get(), &reply) != REDIS_OK || !reply) return failed(context_.get());
    return ReplyPtr(static_cast<redisReply*>(reply));
  }

  Status command(std::initializer_list<std::string_view> arguments, std::string* answer = nullptr) {
    if (!append_command(arguments)) return failed(context_.get());
    auto reply = next_reply();
    if (!reply) return forward_error(reply);
    if ((*reply)->type == REDIS_REPLY_ERROR) {
      const std::string reason = (*reply)->str;
      disconnect();
      return fail(ErrorCode::io, "{}: {}", masked_url(params_.url), reason);
    }
    const std::string_view text = (*reply)->str ? std::string_view((*reply)->str, (*reply)->len) : "";
    if (answer ? (*reply)->type != REDIS_REPLY_STRING || text.size() != 40
               : (*reply)->type != REDIS_REPLY_STATUS || text != "OK") {
      disconnect();
      return no_redis();
    }
    if (answer) *answer = text;
    return {};
  }

  Status append(const Record& record) {
    json_.clear();
    write_record_json(record, json_);
    const std::string uuid = stream::to_string(record.uuid), ttl = std::to_string(int64_t(params_.ttl));
    bool is_added = false;
    if (params_.key.empty()) {
      // One slot of a cluster for the stream and its marks.
      const std::string mark = "{" + params_.stream + "}:" + uuid, length = std::to_string(params_.length);
      is_added = append_command(std::array<std::string_view, 11>{"EVALSHA", script_, "2", params_.stream,
                                                                 mark, ttl, length, uuid, record.source_id,
                                                                 name_of(record.kind), json_});
    } else {
      std::string key = params_.key;
      replace_all(key, "{source_id}", record.source_id);
      replace_all(key, "{uuid}", uuid);
      replace_all(key, "{kind}", name_of(record.kind));
      is_added = append_command(std::array<std::string_view, 5>{"SET", key, json_, "EX", ttl});
    }
    return is_added ? Status() : Status(failed(context_.get()));
  }

  // Everything else is the state of the server, or of its settings, and may be mended.
  static bool is_refused_for_good(std::string_view error) {
    return error.starts_with("ERR ") && error.find("maximum allowed size") != error.npos;
  }

  const RedisParams params_;
  const ServerUrl url_;
  const int database_;
  std::string password_, script_, json_;
  std::unique_ptr<redisSSLContext, FreeSsl> ssl_;
  std::mutex mutex_;  // the pointer is changed by the sink's thread, and read by cancel()
  std::unique_ptr<redisContext, CloseContext> context_;
  bool is_cancelled_ = false;
};

const ModuleSink registration("redis", &RedisSink::create);

}  // namespace
}  // namespace sightglass::adapters
