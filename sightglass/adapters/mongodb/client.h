// A connection to MongoDB by the parameters of a sink: options, credentials, TLS. libmongoc's objects as
// unique pointers.
#pragma once

#include <mongoc/mongoc.h>

#include <memory>
#include <string>

#include "sightglass/adapters/mongodb/mongodb_params.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};
using MongoClient = std::unique_ptr<mongoc_client_t, Destroy<mongoc_client_destroy>>;
using MongoCollection = std::unique_ptr<mongoc_collection_t, Destroy<mongoc_collection_destroy>>;
using MongoBulk = std::unique_ptr<mongoc_bulk_operation_t, Destroy<mongoc_bulk_operation_destroy>>;
using MongoCursor = std::unique_ptr<mongoc_cursor_t, Destroy<mongoc_cursor_destroy>>;
using MongoUri = std::unique_ptr<mongoc_uri_t, Destroy<mongoc_uri_destroy>>;

// A document; its type is aligned in a way that templates do not keep.
class Bson {
 public:
  explicit Bson(bson_t* document) : document_(document) {}
  ~Bson() { bson_destroy(document_); }
  Bson(const Bson&) = delete;
  Bson& operator=(const Bson&) = delete;
  bson_t* get() const { return document_; }

 private:
  bson_t* document_;
};

// Does not connect. `where` names the sink in errors; secrets never appear in them.
Result<MongoClient> make_mongo_client(const MongodbParams& params, const std::string& folder,
                                      const std::string& where);

// What libmongoc says, as an error of ours.
Error to_error(const bson_error_t& error, const std::string& what);

}  // namespace sightglass::adapters
