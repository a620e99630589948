// Records into Elasticsearch or OpenSearch, by the bulk API.
#include <algorithm>
#include <chrono>
#include <format>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/documents.h"
#include "sightglass/adapters/http/elasticsearch_setup.h"
#include "sightglass/adapters/http/gzip.h"
#include "sightglass/adapters/http/http_params.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/net/url.h"

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;
using net::HttpAnswer;

// The documents of some records as the body of a bulk request.
struct Bulk {
  std::string body;
  std::vector<size_t> owners;  // the record of each document
  std::vector<size_t> frames;  // for a merge: the record in this batch that makes its document; else none
  std::vector<bool> is_merge;
  static constexpr size_t none = size_t(-1);

  void clear() { body.clear(), owners.clear(), frames.clear(), is_merge.clear(); }
};

// base64 of "id:key"; a key that is encoded already has no colon.
std::string encoded_key(const std::string& key) {
  if (!key.contains(':')) return key;
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < key.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < key.size() ? uint8_t(key[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text += i + k <= key.size() ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

bool is_transient(int status) { return status == 429 || status >= 500; }

class ElasticsearchSink final : public Sink {
 public:
  ElasticsearchSink(ElasticsearchParams params, const SinkContext& context)
      : params_(std::move(params)),
        folder_(context.folder),
        most_bytes_(std::max<uint64_t>(context.batch_bytes, 4096)),
        documents_({.objects = params_.objects, .notes = params_.notes}),
        client_(http_options()) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    ElasticsearchParams params = set.as<ElasticsearchParams>();
    if (params.url.empty())
      return fail(ErrorCode::invalid_argument, "{}: url is missing, as in http://localhost:9200",
                  context.name);
    for (std::string& url : params.url) {
      const auto parts = net::parse_url(url);
      if (!parts || (parts->scheme != "http" && parts->scheme != "https"))
        return fail(ErrorCode::invalid_argument, "{}: url: '{}' is no http:// or https:// address",
                    context.name, masked_url(url));
      if (parts->scheme != "https")
        if (Status used = refuse_unused_tls(params, context.name, "https"); !used) return forward_error(used);
      while (url.ends_with('/')) url.pop_back();
    }
    const auto is_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (params.index.empty() || params.index.size() > 100 || !std::ranges::all_of(params.index, is_name) ||
        params.index[0] == '-' || params.index[0] == '_')
      return fail(ErrorCode::invalid_argument, "{}: index: '{}' is no prefix (a-z, digits, - and _)",
                  context.name, params.index);
    if (!params.api_key_file.empty() && !params.user.empty())
      return fail(ErrorCode::invalid_argument, "{}: user and api-key-file exclude each other", context.name);
    for (std::string* path : {&params.tls_ca, &params.tls_cert, &params.tls_key})
      *path = path_from(context.folder, *path);
    auto sink = std::make_unique<ElasticsearchSink>(std::move(params), context);
    if (Status read = sink->read_secrets(); !read) {
      read.error().message = context.name + ": " + read.error().message;
      return forward_error(read);
    }
    return sink;
  }

  // A server that is away is waited for; one that has something else by our names is not.
  Status start() override {
    Status done = set_up();
    return done || done.error().code != ErrorCode::invalid_argument ? Status() : done;
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    refusal_.clear();
    if (!is_set_up_)
      if (Status done = set_up(); !done) return done;
    makers_.clear();
    has_late_ =
        std::ranges::contains(records, RecordKind::frame_update, [](const RecordRef& r) { return r->kind; });
    bulk_.clear();
    Status failed;
    size_t begin = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      const size_t before = bulk_.body.size();
      add(*records[i], i);
      const bool is_full = bulk_.body.size() >= most_bytes_ && i > begin;
      if (!is_full && i + 1 < records.size()) continue;
      // What is too much is rendered again for the next request, unless it is the last.
      const bool is_over = bulk_.body.size() > most_bytes_ && i > begin && before > 0;
      const size_t end = is_over ? i : i + 1;
      if (is_over) cut(i, before);
      if (Status sent = send(records, begin, end, outcome); !sent) {
        std::fill(outcome.begin() + ptrdiff_t(begin), outcome.end(), Stored::retry);
        failed = std::move(sent);
        // What was stored before this counts.
        return begin > 0 ? note(std::move(failed)) : failed;
      }
      bulk_.clear();
      begin = end;
      if (is_over) --i;
    }
    return {};
  }

  std::string refusal() const override { return refusal_; }
  void cancel() override { client_.cancel(); }

 private:
  net::HttpOptions http_options() const {
    net::HttpOptions options;
    options.tls = net::tls_of(params_);
    options.total_timeout = std::chrono::milliseconds(int64_t(params_.timeout * 1000));
    return options;
  }

  Status read_secrets() {
    if (!params_.password_file.empty()) {
      auto read = read_secret(folder_, params_.password_file, "password-file");
      if (!read) return forward_error(read);
      password_ = std::move(*read);
    }
    if (!params_.api_key_file.empty()) {
      auto read = read_secret(folder_, params_.api_key_file, "api-key-file");
      if (!read) return forward_error(read);
      api_key_ = encoded_key(*read);
    }
    return {};
  }

  // Asks a node, and the next one when it is away, until all were asked.
  Result<HttpAnswer> ask(std::string_view method, std::string_view path, std::string_view body,
                         const char* content_type) {
    Result<HttpAnswer> answer = fail(ErrorCode::internal, "no node was asked");
    for (size_t tried = 0; tried < params_.url.size(); ++tried) {
      net::HttpRequest request;
      request.method = method;
      request.url = params_.url[node_] + std::string(path);
      request.user = params_.user;
      request.password = password_;
      if (!api_key_.empty()) request.headers.emplace_back("Authorization", "ApiKey " + api_key_);
      if (!body.empty()) {
        request.headers.emplace_back("Content-Type", content_type);
        std::string_view sent = body;
        if (params_.gzip && body.size() > 1024) {
          if (Status done = gzip_.compress(body, compressed_); !done) return forward_error(done);
          request.headers.emplace_back("Content-Encoding", "gzip");
          sent = compressed_;
        }
        request.body = net::bytes_of(sent);
      }
      answer = client_.request(request);
      if (answer ? answer->status < 502 || answer->status > 504 : answer.error().code == ErrorCode::cancelled)
        break;
      node_ = (node_ + 1) % params_.url.size();
    }
    // The files may have been changed: they are read again for the next try.
    if (answer && (answer->status == 401 || answer->status == 403)) (void)read_secrets();
    return answer;
  }

  Status set_up() {
    const ElasticsearchSetup setup{
        .prefix = params_.index, .keep = params_.keep, .objects = params_.objects, .notes = params_.notes};
    Status done = set_up_elasticsearch(
        setup, [&](std::string_view method, std::string_view path, std::string_view body) {
          return ask(method, path, body, "application/json");
        });
    // What the server refuses for reasons of its own is no conflict.
    is_set_up_ = done.has_value();
    return done;
  }

  void add(const Record& record, size_t place) {
    const auto all = documents_.of(record);
    if (all.empty()) return;
    const RecordRows& rows = documents_.rows();
    const std::chrono::sys_days day{std::chrono::floor<std::chrono::days>(
        std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(rows.made_ms)))};
    if (day != day_ || day_text_.empty()) {
      day_ = day;
      const std::chrono::year_month_day date(day);
      day_text_ =
          std::format("{:04}.{:02}.{:02}", int(date.year()), unsigned(date.month()), unsigned(date.day()));
    }
    if (rows.is_frame && has_late_) makers_[rows.uuid] = place;
    std::string& body = bulk_.body;
    for (const Document& document : all) {
      body += document.is_merge ? R"({"update":{"_index":")" : R"({"create":{"_index":")";
      body += params_.index;
      body += '-';
      body += plural(document.kind);
      body += '-';
      body += day_text_;
      body += R"(","_id":)";
      JsonWriter(body).value(document.key);
      body += document.is_merge ? ",\"retry_on_conflict\":3}}\n{\"doc\":" : "}}\n";
      if (document.is_merge) {
        body += document.json;
        body += '}';
      } else {
        body += R"({"@timestamp":)";
        body += std::to_string(rows.time_us / 1000);
        const std::string_view rest = document.json.substr(1);
        if (!rest.starts_with('}')) body += ',';
        body += rest;
      }
      body += '\n';
      bulk_.owners.push_back(place);
      bulk_.is_merge.push_back(document.is_merge);
      const auto maker = document.is_merge ? makers_.find(rows.uuid) : makers_.end();
      bulk_.frames.push_back(maker == makers_.end() ? Bulk::none : maker->second);
    }
  }

  // Takes the documents of `place` away again.
  void cut(size_t place, size_t bytes) {
    bulk_.body.resize(bytes);
    while (!bulk_.owners.empty() && bulk_.owners.back() == place) {
      bulk_.owners.pop_back();
      bulk_.frames.pop_back();
      bulk_.is_merge.pop_back();
    }
  }

  // What is in bulk_: the records from `begin` to `end`.
  Status send(std::span<const RecordRef> records, size_t begin, size_t end, std::span<Stored> outcome) {
    if (bulk_.owners.empty()) return {};
    auto answer = ask("POST", "/_bulk?filter_path=errors,items.*.status,items.*.error", bulk_.body,
                      "application/x-ndjson");
    if (!answer) return forward_error(answer);
    if (answer->status / 100 == 2) return read_items(answer->body, outcome);
    const bool is_too_much = answer->status == 413 || answer->status == 400;
    Error error = net::to_error(*answer);
    // 401 and 403: held until somebody mends it; everything else that is not about the batch as well.
    if (!is_too_much) return std::unexpected(std::move(error));
    if (end - begin == 1) {
      outcome[begin] = Stored::never;
      refusal_ = error.message;
      return {};
    }
    const size_t middle = begin + (end - begin) / 2;
    for (const auto& [from, to] : {std::pair(begin, middle), std::pair(middle, end)}) {
      bulk_.clear();
      for (size_t i = from; i < to; ++i) add(*records[i], i);
      if (Status sent = send(records, from, to, outcome); !sent) {
        std::fill(outcome.begin() + ptrdiff_t(from), outcome.begin() + ptrdiff_t(end), Stored::retry);
        return from > begin ? note(std::move(sent)) : sent;
      }
    }
    return {};
  }

  // An error that is known although part of the batch is stored.
  Status note(Status failed) {
    refusal_ = failed.error().message;
    return {};
  }

  Status read_items(const std::string& body, std::span<Stored> outcome) {
    // What all is well with need not be read: `errors` stands in front of the items.
    if (std::string_view(body).substr(0, 64).contains(R"("errors":false)")) return {};
    const Json answer = Json::parse(body, nullptr, false);
    const Json& errors = member_of(answer, "errors");
    if (!errors.is_boolean())
      return fail(ErrorCode::corrupt, "{}: the answer to a bulk request is none",
                  masked_url(params_.url[node_]));
    if (!errors.get<bool>()) return {};
    const Json& items = member_of(answer, "items");
    if (!items.is_array() || items.size() != bulk_.owners.size())
      return fail(ErrorCode::corrupt, "{}: {} documents were sent, the answer is about {}",
                  masked_url(params_.url[node_]), bulk_.owners.size(), items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      if (!items[i].is_object() || items[i].empty())
        return fail(ErrorCode::corrupt, "{}: the answer to a bulk request is none",
                    masked_url(params_.url[node_]));
      const Json& item = items[i].begin().value();
      const int status = number_of(item, "status", 500);
      if (status / 100 == 2 || (status == 409 && !bulk_.is_merge[i])) continue;
      Stored& stored = outcome[bulk_.owners[i]];
      const Json& error = member_of(item, "error");
      const std::string reason = error.is_object()
                                     ? std::format("{}: {}", text_of(error, "type"), text_of(error, "reason"))
                                     : error.dump();
      // An index that is not made by itself is an administrator's matter: it is waited for.
      const bool is_held = is_transient(status) || status == 409 || status == 401 || status == 403 ||
                           reason.starts_with("index_not_found");
      // The frame of a late update is sent again as well.
      const bool awaits_frame = status == 404 && bulk_.is_merge[i] && bulk_.frames[i] != Bulk::none &&
                                outcome[bulk_.frames[i]] == Stored::retry;
      // A document that has to come again brings the record with it, those that are refused for good as well.
      if (is_held || awaits_frame)
        stored = Stored::retry;
      else if (stored == Stored::yes)
        stored = Stored::never;
      refusal_ = std::format("{} ({})", reason, status);
    }
    return {};
  }

  const ElasticsearchParams params_;
  const std::string folder_;
  const uint64_t most_bytes_;
  Documents documents_;
  net::HttpClient client_;
  Gzip gzip_;
  std::string compressed_, password_, api_key_, day_text_, refusal_;
  std::chrono::sys_days day_{};
  size_t node_ = 0;
  bool is_set_up_ = false;
  Bulk bulk_;
  // Records of this batch that make a frame, where late updates are in it as well.
  std::map<std::string, size_t, std::less<>> makers_;
  bool has_late_ = false;
};

const ModuleSink registration("elasticsearch", &ElasticsearchSink::create);

}  // namespace
}  // namespace sightglass::adapters
