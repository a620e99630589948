#include "sightglass/adapters/sqlite/database.h"

#include <sqlite3.h>

namespace sightglass::adapters {
namespace {

std::unexpected<Error> failed(sqlite3* db) {
  const int code = sqlite3_errcode(db);
  const char* path = sqlite3_db_filename(db, "main");
  const ErrorCode kind = code == SQLITE_FULL                               ? ErrorCode::exhausted
                         : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ErrorCode::corrupt
                         : code == SQLITE_INTERRUPT                        ? ErrorCode::cancelled
                                                                           : ErrorCode::io;
  return fail(kind, "{}: {}", path && *path ? path : "sqlite", sqlite3_errmsg(db));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

void Statement::text(int place, std::string_view value) {
  sqlite3_bind_text64(statement_.get(), place, value.data() ? value.data() : "", value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}
void Statement::integer(int place, int64_t value) { sqlite3_bind_int64(statement_.get(), place, value); }
void Statement::number(int place, double value) { sqlite3_bind_double(statement_.get(), place, value); }
void Statement::null(int place) { sqlite3_bind_null(statement_.get(), place); }
void Statement::reset() { sqlite3_reset(statement_.get()); }

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto error = failed(db_);
  sqlite3_reset(statement_.get());
  return error;
}

Status Statement::run() {
  for (;;) {
    auto more = step();
    if (!more) return forward_error(more);
    if (!*more) break;
  }
  reset();
  return {};
}

int64_t Statement::column_integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
std::string Statement::column_text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return text ? std::string(text, size_t(sqlite3_column_bytes(statement_.get(), column))) : std::string();
}

Result<Database> Database::open(const std::string& path) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &opened,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(opened);
  if (code != SQLITE_OK)
    return fail(ErrorCode::io, "{}: cannot be opened: {}", path,
                opened ? sqlite3_errmsg(opened) : "no memory");
  sqlite3_extended_result_codes(opened, 0);
  sqlite3_busy_timeout(opened, 2000);
  return db;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db_.get(), sql.data(), int(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                         nullptr) != SQLITE_OK)
    return failed(db_.get());
  return Statement(db_.get(), statement);
}

Status Database::execute(const std::string& sql) {
  return sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK
             ? Status()
             : Status(failed(db_.get()));
}

Result<int64_t> Database::integer(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return forward_error(statement);
  auto row = statement->step();
  if (!row) return forward_error(row);
  return *row ? statement->column_integer(0) : 0;
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
void Database::interrupt() { sqlite3_interrupt(db_.get()); }

bool Database::refuses_values() const {
  const int code = sqlite3_errcode(db_.get());
  return code == SQLITE_CONSTRAINT || code == SQLITE_TOOBIG || code == SQLITE_MISMATCH ||
         code == SQLITE_RANGE;
}

}  // namespace sightglass::adapters
