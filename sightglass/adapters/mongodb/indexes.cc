#include "sightglass/adapters/mongodb/indexes.h"

#include <format>

#include "sightglass/adapters/mongodb/client.h"

namespace sightglass::adapters {
namespace {

struct Index {
  std::string name, keys;  // keys as JSON
  bool unique = false;
  int64_t expire = -1;  // s
};

std::vector<Index> indexes_for(const std::string& kind, int64_t keep) {
  std::vector<Index> all = {{kind + "_by_source", R"({"source_id":1,"time":1})"}};
  // Late updates that come before their frame have no uuid yet: sparse.
  if (kind == "frames") all.push_back({"frames_uuid", R"({"uuid":1})", true});
  if (kind == "objects") all.push_back({"objects_by_frame", R"({"uuid":1})"});
  if (keep > 0) all.push_back({kind + "_expire", R"({"made":1})", false, keep});
  return all;
}

std::string shown(bool unique, int64_t expire) {
  return std::format("{}{}", unique ? "unique" : "not unique",
                     expire >= 0 ? std::format(", expireAfterSeconds {}", expire) : "");
}

// Of an index that has this name or these keys already.
Status compare(const bson_t& there, const Index& ours, const std::string& collection, bool& is_there) {
  bson_iter_t at;
  std::string name;
  bool unique = false;
  int64_t expire = -1;
  char* keys = nullptr;
  if (bson_iter_init(&at, &there))
    while (bson_iter_next(&at)) {
      const std::string_view key = bson_iter_key(&at);
      if (key == "name" && BSON_ITER_HOLDS_UTF8(&at)) name = bson_iter_utf8(&at, nullptr);
      if (key == "unique") unique = bson_iter_as_bool(&at);
      if (key == "expireAfterSeconds") expire = bson_iter_as_int64(&at);
      if (key == "key" && BSON_ITER_HOLDS_DOCUMENT(&at)) {
        const uint8_t* data = nullptr;
        uint32_t size = 0;
        bson_iter_document(&at, &size, &data);
        bson_t document;
        if (bson_init_static(&document, data, size)) {
          bson_free(keys);
          keys = bson_as_relaxed_extended_json(&document, nullptr);
        }
      }
    }
  std::string text = keys ? keys : "";
  bson_free(keys);
  std::erase(text, ' ');
  if (text != ours.keys && name != ours.name) return {};
  is_there = true;
  if (text == ours.keys && unique == ours.unique && expire == ours.expire) return {};
  return fail(
      ErrorCode::invalid_argument,
      "{}: the index {} is {} ({}) there, this program makes {} ({}); drop it, or choose another database",
      collection, name, text, shown(unique, expire), ours.keys, shown(ours.unique, ours.expire));
}

}  // namespace

Status prepare_indexes(mongoc_client_t& client, const std::string& database,
                       const std::vector<std::string>& kinds, int64_t keep) {
  for (const std::string& kind : kinds) {
    const std::string place = database + "." + kind;
    const MongoCollection collection(mongoc_client_get_collection(&client, database.c_str(), kind.c_str()));
    std::vector<Index> missing = indexes_for(kind, keep);
    const MongoCursor cursor(mongoc_collection_find_indexes_with_opts(collection.get(), nullptr));
    const bson_t* there = nullptr;
    while (mongoc_cursor_next(cursor.get(), &there))
      for (size_t i = 0; i < missing.size();) {
        bool is_there = false;
        if (Status same = compare(*there, missing[i], place, is_there); !same) return same;
        if (is_there)
          missing.erase(missing.begin() + ptrdiff_t(i));
        else
          ++i;
      }
    bson_error_t error;
    constexpr uint32_t no_such_collection = 26;
    if (mongoc_cursor_error(cursor.get(), &error) && error.code != no_such_collection)
      return std::unexpected(to_error(error, place));
    if (missing.empty()) continue;
    const Bson command(bson_new());
    BSON_APPEND_UTF8(command.get(), "createIndexes", kind.c_str());
    bson_t list;
    BSON_APPEND_ARRAY_BEGIN(command.get(), "indexes", &list);
    for (size_t i = 0; i < missing.size(); ++i) {
      bson_t item;
      const std::string number = std::to_string(i);
      BSON_APPEND_DOCUMENT_BEGIN(&list, number.c_str(), &item);
      const Bson keys(bson_new_from_json(reinterpret_cast<const uint8_t*>(missing[i].keys.data()),
                                         ssize_t(missing[i].keys.size()), nullptr));
      BSON_APPEND_DOCUMENT(&item, "key", keys.get());
      BSON_APPEND_UTF8(&item, "name", missing[i].name.c_str());
      if (missing[i].unique) {
        BSON_APPEND_BOOL(&item, "unique", true);
        BSON_APPEND_BOOL(&item, "sparse", true);
      }
      if (missing[i].expire >= 0) BSON_APPEND_INT64(&item, "expireAfterSeconds", missing[i].expire);
      bson_append_document_end(&list, &item);
    }
    bson_append_array_end(command.get(), &list);
    if (!mongoc_client_write_command_with_opts(&client, database.c_str(), command.get(), nullptr, nullptr,
                                               &error))
      return std::unexpected(to_error(error, place));
  }
  return {};
}

}  // namespace sightglass::adapters
