// A thin layer over libsqlite3: errors as values, statements that are used again.
//
//   auto db = Database::open("events.db");
//   auto insert = db->prepare("INSERT OR IGNORE INTO t VALUES (?, ?)");
//   insert->text(1, key); insert->integer(2, 7);
//   if (Status done = insert->run(); !done) …
//
// One thread; interrupt() from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sightglass::adapters {

class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}

  // The text has to stay until run().
  void text(int place, std::string_view value);
  void integer(int place, int64_t value);
  void number(int place, double value);
  void null(int place);

  Status run();         // to its end
  Result<bool> step();  // whether there is a row
  int64_t column_integer(int column) const;
  std::string column_text(int column) const;
  void reset();

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  sqlite3* db_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  static Result<Database> open(const std::string& path);

  Result<Statement> prepare(std::string_view sql);
  Status execute(const std::string& sql);         // any number of statements
  Result<int64_t> integer(std::string_view sql);  // the first column of the first row; 0: none
  bool in_transaction() const;
  void interrupt();
  // Whether `error`, the last one, is about this record's values, and not about the database.
  bool refuses_values() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Database(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace sightglass::adapters
