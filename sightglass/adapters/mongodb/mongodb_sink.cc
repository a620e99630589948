// Records into MongoDB: one unordered bulk of upserts per collection and batch.
#include <algorithm>
#include <array>
#include <format>
#include <memory>
#include <vector>

#include "sightglass/adapters/documents.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/mongodb/client.h"
#include "sightglass/adapters/mongodb/frame_updates.h"
#include "sightglass/adapters/mongodb/indexes.h"
#include "sightglass/adapters/mongodb/json_to_bson.h"

namespace sightglass::adapters {
namespace {

constexpr int duplicate_key = 11000;

// One collection's part of a batch.
struct Part {
  MongoBulk bulk;
  std::vector<size_t> owners;  // the record of each operation
  std::vector<bool> is_merge;  // likewise

  void clear() { bulk.reset(), owners.clear(), is_merge.clear(); }
};

// Whether an error is about what a document holds, and not about the server or who we are.
bool is_about_document(const bson_error_t& error) {
  if (error.domain == MONGOC_ERROR_BSON) return true;
  static constexpr std::array codes = {2u,  9u,   14u,    22u,    52u,    53u,   54u,
                                       57u, 121u, 10334u, 17280u, 17419u, 17420u};
  return error.domain == MONGOC_ERROR_SERVER && std::ranges::contains(codes, error.code);
}

// Rights, time, a shutdown, another primary, a full disk: the same document may be stored later.
bool is_about_server(int64_t code) {
  static constexpr std::array codes = {13, 50, 91, 112, 189, 262, 371, 8000, 10107, 11600, 14031};
  return std::ranges::contains(codes, code);
}

class MongodbSink final : public Sink {
 public:
  MongodbSink(MongodbParams params, MongoClient client)
      : params_(std::move(params)),
        client_(std::move(client)),
        documents_({.objects = params_.objects, .notes = params_.notes}),
        upsert_(bson_new()),
        bulk_options_(bson_new()) {
    BSON_APPEND_BOOL(upsert_.get(), "upsert", true);
    // The keys are ours; looking at each of them again is a third of the time.
    BSON_APPEND_BOOL(upsert_.get(), "validate", false);
    BSON_APPEND_BOOL(bulk_options_.get(), "ordered", false);
    bson_t concern;
    BSON_APPEND_DOCUMENT_BEGIN(bulk_options_.get(), "writeConcern", &concern);
    BSON_APPEND_UTF8(&concern, "w", "majority");
    BSON_APPEND_INT32(&concern, "wtimeout", int32_t(params_.timeout * 1000));
    bson_append_document_end(bulk_options_.get(), &concern);
  }

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    const MongodbParams& params = set.as<MongodbParams>();
    if (params.url.empty())
      return fail(ErrorCode::invalid_argument, "{}: url is missing, as in mongodb://localhost:27017",
                  context.name);
    if (params.database.empty() || params.database.find_first_of("/\\. \"$*<>:|?") != std::string::npos)
      return fail(ErrorCode::invalid_argument, "{}: database: '{}' is no name of a database", context.name,
                  params.database);
    auto client = make_mongo_client(params, context.folder, context.name);
    if (!client) return forward_error(client);
    return std::make_unique<MongodbSink>(params, std::move(*client));
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
    return store(records, 0, records.size(), outcome);
  }

  std::string refusal() const override { return refusal_; }

 private:
  Status set_up() {
    std::vector<std::string> kinds = {"frames", "events"};
    if (params_.objects) kinds.emplace_back("objects");
    if (params_.notes) kinds.emplace_back("notes");
    Status done = prepare_indexes(*client_, params_.database, kinds, int64_t(params_.keep));
    is_set_up_ = done.has_value();
    return done;
  }

  Status store(std::span<const RecordRef> records, size_t begin, size_t end, std::span<Stored> outcome) {
    for (Part& part : parts_) part.clear();
    for (size_t i = begin; i < end; ++i)
      if (!add(*records[i], i)) outcome[i] = Stored::never;
    for (size_t kind = 0; kind < parts_.size(); ++kind) {
      if (parts_[kind].owners.empty()) continue;
      bson_t reply;
      bson_error_t error{};
      const bool done = mongoc_bulk_operation_execute(parts_[kind].bulk.get(), &reply, &error) != 0;
      const Reply read = done ? Reply::items : read_reply(reply, error, parts_[kind], outcome);
      bson_destroy(&reply);
      if (done || read == Reply::items) continue;
      if (read == Reply::documents) return halve(records, begin, end, outcome, error);
      return std::unexpected(
          to_error(error, params_.database + "." + std::string(plural(DocumentKind(kind)))));
    }
    return {};
  }

  // Which record it is that the server takes no request with.
  Status halve(std::span<const RecordRef> records, size_t begin, size_t end, std::span<Stored> outcome,
               const bson_error_t& error) {
    if (end - begin == 1) {
      outcome[begin] = Stored::never;
      refusal_ = error.message;
      return {};
    }
    const size_t middle = begin + (end - begin) / 2;
    if (Status first = store(records, begin, middle, outcome); !first) return first;
    return store(records, middle, end, outcome);
  }

  bool add(const Record& record, size_t place) {
    bool is_good = true;
    if (FrameUpdates::takes(record)) {
      if (!updates_.read(record, params_.objects)) {
        refusal_ = "a name in the record has a NUL";
        return false;
      }
      for (const FrameUpdates::Update& update : updates_.all()) {
        bson_t bson;
        const bool is_read =
            bson_init_static(&bson, reinterpret_cast<const uint8_t*>(update.bson.data()), update.bson.size());
        is_good = is_read && put(update.kind, false, update.key, bson, place) && is_good;
      }
      return is_good;
    }
    for (const Document& document : documents_.of(record)) {
      bson_reinit(&update_.bson);
      bson_t set;
      bson_append_document_begin(&update_.bson, "$set", 4, &set);
      const RecordRows& rows = documents_.rows();
      if (!document.is_merge) bson_append_date_time(&set, "time", 4, rows.time_us / 1000);
      bson_append_date_time(&set, "made", 4, rows.made_ms);
      const bool is_read =
          document.is_merge ? json_.append_late(document.json, set) : json_.append(document.json, set);
      bson_append_document_end(&update_.bson, &set);
      if (!is_read) refusal_ = "the record is no JSON object";
      is_good =
          is_read && put(document.kind, document.is_merge, document.key, update_.bson, place) && is_good;
    }
    return is_good;
  }

  // An upsert; false: libmongoc does not take it.
  bool put(DocumentKind kind, bool is_merge, std::string_view key, const bson_t& update, size_t place) {
    Part& part = parts_[size_t(kind)];
    if (!part.bulk) {
      const MongoCollection collection(mongoc_client_get_collection(client_.get(), params_.database.c_str(),
                                                                    std::string(plural(kind)).c_str()));
      part.bulk.reset(
          mongoc_collection_create_bulk_operation_with_opts(collection.get(), bulk_options_.get()));
    }
    bson_reinit(&selector_.bson);
    bson_append_utf8(&selector_.bson, "_id", 3, key.data(), int(key.size()));
    bson_error_t error;
    if (!mongoc_bulk_operation_update_one_with_opts(part.bulk.get(), &selector_.bson, &update, upsert_.get(),
                                                    &error)) {
      refusal_ = error.message;
      return false;
    }
    part.owners.push_back(place);
    part.is_merge.push_back(is_merge);
    return true;
  }

  enum class Reply : uint8_t { items, documents, failed };
  // What a bulk that has not succeeded as a whole has done.
  Reply read_reply(const bson_t& reply, const bson_error_t& error, const Part& part,
                   std::span<Stored> outcome) {
    bson_iter_t at;
    bool has_items = false;
    bool has_concern = false;
    if (bson_iter_init_find(&at, &reply, "writeConcernErrors") && BSON_ITER_HOLDS_ARRAY(&at)) {
      bson_iter_t inner;
      has_concern = bson_iter_recurse(&at, &inner) && bson_iter_next(&inner);
    }
    // Whatever is not yet durable, or may not have been done, comes again: upserts may.
    const bool is_transient = mongoc_error_has_label(&reply, "RetryableWriteError") ||
                              mongoc_error_has_label(&reply, "NetworkError") ||
                              error.domain == MONGOC_ERROR_STREAM ||
                              error.domain == MONGOC_ERROR_SERVER_SELECTION;
    if (bson_iter_init_find(&at, &reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY(&at)) {
      bson_iter_t item;
      if (bson_iter_recurse(&at, &item))
        while (bson_iter_next(&item)) {
          has_items = true;
          read_item(item, part, outcome);
        }
    }
    if (has_concern || is_transient) return Reply::failed;
    if (has_items) return Reply::items;
    return is_about_document(error) ? Reply::documents : Reply::failed;
  }

  void read_item(const bson_iter_t& item, const Part& part, std::span<Stored> outcome) {
    bson_iter_t at;
    int64_t index = -1, code = 0;
    std::string message;
    bool retries = false;
    if (bson_iter_recurse(&item, &at))
      while (bson_iter_next(&at)) {
        const std::string_view key = bson_iter_key(&at);
        if (key == "index") index = bson_iter_as_int64(&at);
        if (key == "code") code = bson_iter_as_int64(&at);
        if (key == "errmsg" && BSON_ITER_HOLDS_UTF8(&at)) message = bson_iter_utf8(&at, nullptr);
        bson_iter_t label;
        if (key == "errorLabels" && BSON_ITER_HOLDS_ARRAY(&at) && bson_iter_recurse(&at, &label))
          while (bson_iter_next(&label))
            retries = retries || (BSON_ITER_HOLDS_UTF8(&label) &&
                                  std::string_view(bson_iter_utf8(&label, nullptr)) == "RetryableWriteError");
      }
    if (index < 0 || size_t(index) >= part.owners.size()) return;
    // Another has made it a moment ago: what is to be merged into it is not there yet.
    if (code == duplicate_key && !part.is_merge[size_t(index)]) return;
    retries = retries || code == duplicate_key || is_about_server(code);
    Stored& stored = outcome[part.owners[size_t(index)]];
    // A document that has to come again brings the record with it, those that are refused for good as well.
    if (retries)
      stored = Stored::retry;
    else if (stored == Stored::yes)
      stored = Stored::never;
    refusal_ = std::format("{} ({})", message, code);
  }

  // A document on the stack of the object, used again.
  struct Scratch {
    Scratch() { bson_init(&bson); }
    ~Scratch() { bson_destroy(&bson); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    bson_t bson;
  };

  const MongodbParams params_;
  const MongoClient client_;
  Documents documents_;
  JsonToBson json_;
  const Bson upsert_, bulk_options_;
  FrameUpdates updates_;
  Scratch selector_, update_;
  std::array<Part, 4> parts_;  // by DocumentKind
  std::string refusal_;
  bool is_set_up_ = false;
};

const ModuleSink registration("mongodb", &MongodbSink::create);

}  // namespace
}  // namespace sightglass::adapters
