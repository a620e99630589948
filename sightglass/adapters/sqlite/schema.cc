#include "sightglass/adapters/sqlite/schema.h"

#include <array>
#include <format>

namespace sightglass::adapters {
namespace {

constexpr int64_t application_id = 0x53474c53;  // "SGLS"

// What each version adds to the one before. Once released, a version is never changed.
constexpr std::array<const char*, sqlite_schema_version> migrations = {
    // 1: times in microseconds since 1970, pts in ns, boxes in pixels. Keys that begin with the uuid of a
    // frame sort by its age.
    R"sql(
CREATE TABLE frames (
  uuid TEXT NOT NULL PRIMARY KEY, source_id TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, pts INTEGER,
  time_us INTEGER NOT NULL, width INTEGER, height INTEGER, objects INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (
  key TEXT NOT NULL PRIMARY KEY, uuid TEXT NOT NULL, id INTEGER NOT NULL, parent INTEGER, model TEXT NOT NULL,
  label TEXT NOT NULL, confidence REAL, x REAL, y REAL, w REAL, h REAL, angle REAL, track INTEGER) WITHOUT ROWID;
CREATE TABLE attributes (
  owner TEXT NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, label TEXT,
  label_id INTEGER, confidence REAL, value REAL, json TEXT, late INTEGER NOT NULL,
  PRIMARY KEY (owner, model, name, n)) WITHOUT ROWID;
CREATE TABLE events (
  key TEXT NOT NULL PRIMARY KEY, uuid TEXT NOT NULL, source_id TEXT NOT NULL, epoch INTEGER NOT NULL, pts INTEGER,
  time_us INTEGER NOT NULL, element TEXT NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, track INTEGER,
  label TEXT) WITHOUT ROWID;
CREATE TABLE counters (
  uuid TEXT NOT NULL, element TEXT NOT NULL, name TEXT NOT NULL, value REAL,
  PRIMARY KEY (uuid, element, name)) WITHOUT ROWID;
CREATE TABLE notes (
  uuid TEXT NOT NULL PRIMARY KEY, source_id TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
  time_us INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
)sql",
    // 2: what people ask for.
    R"sql(
CREATE INDEX frames_by_source ON frames (source_id, time_us);
CREATE INDEX objects_by_frame ON objects (uuid);
CREATE INDEX events_by_source ON events (source_id, time_us);
CREATE INDEX events_by_track ON events (source_id, epoch, element, track, name);
CREATE VIEW counts_per_minute AS
  SELECT f.source_id, strftime('%Y-%m-%dT%H:%MZ', f.time_us / 1000000, 'unixepoch') AS minute, o.label,
         count(*) AS objects, count(DISTINCT o.track) AS tracks, count(DISTINCT f.uuid) AS frames
  FROM objects o JOIN frames f ON f.uuid = o.uuid GROUP BY 1, 2, 3;
CREATE VIEW tracks AS
  SELECT f.source_id, f.epoch, o.track, o.label, min(f.time_us) AS first_us, max(f.time_us) AS last_us,
         (max(f.pts) - min(f.pts)) / 1e9 AS seconds, count(*) AS frames
  FROM objects o JOIN frames f ON f.uuid = o.uuid WHERE o.track IS NOT NULL GROUP BY 1, 2, 3, 4;
CREATE VIEW dwell AS
  SELECT e.source_id, e.epoch, e.element, e.label AS zone, e.track, e.time_us AS entered_us, l.time_us AS left_us,
         (l.pts - e.pts) / 1e9 AS seconds
  FROM events e LEFT JOIN events l ON l.key = (
    SELECT key FROM events x WHERE x.source_id = e.source_id AND x.epoch = e.epoch AND x.element = e.element
      AND x.track = e.track AND x.name = 'leave' AND x.label = e.label AND x.pts >= e.pts ORDER BY x.pts LIMIT 1)
  WHERE e.name = 'enter';
)sql"};

struct Table {
  const char *name, *columns;
};
constexpr std::array tables = {
    Table{"frames", "uuid, source_id, epoch, seq, pts, time_us, width, height, objects"},
    Table{"objects", "key, uuid, id, parent, model, label, confidence, x, y, w, h, angle, track"},
    Table{"attributes", "owner, model, name, n, kind, label, label_id, confidence, value, json, late"},
    Table{"events", "key, uuid, source_id, epoch, pts, time_us, element, name, n, track, label"},
    Table{"counters", "uuid, element, name, value"},
    Table{"notes", "uuid, source_id, epoch, seq, time_us, json"},
};

Result<std::string> columns_of(Database& db, const char* table) {
  auto statement = db.prepare(std::format("SELECT name FROM pragma_table_info('{}')", table));
  if (!statement) return forward_error(statement);
  std::string columns;
  for (;;) {
    auto row = statement->step();
    if (!row) return forward_error(row);
    if (!*row) return columns;
    columns += (columns.empty() ? "" : ", ") + statement->column_text(0);
  }
}

// `must`: they have to be there.
Status compare(Database& db, const std::string& path, bool must) {
  for (const Table& table : tables) {
    auto columns = columns_of(db, table.name);
    if (!columns) return forward_error(columns);
    if (*columns == table.columns || (columns->empty() && !must)) continue;
    return fail(ErrorCode::invalid_argument,
                "{}: the table {} has the columns ({}), this program writes ({}); another path is needed",
                path, table.name, *columns, table.columns);
  }
  return {};
}

}  // namespace

Status prepare_schema(Database& db, const std::string& path) {
  const auto id = db.integer("PRAGMA application_id");
  if (!id) return std::unexpected(id.error());
  const auto version = db.integer("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*id != 0 && *id != application_id)
    return fail(ErrorCode::invalid_argument,
                "{}: is the database of another program (application id {}, ours is {})", path, *id,
                application_id);
  if (*version > sqlite_schema_version)
    return fail(ErrorCode::invalid_argument,
                "{}: has version {} of the tables, this program knows {}; a newer Sightglass has written it",
                path, *version, sqlite_schema_version);
  if (Status same = compare(db, path, *version > 0); !same) return same;
  for (int64_t step = *version; step < sqlite_schema_version; ++step) {
    Status done = db.execute("BEGIN IMMEDIATE");
    // Another process may have been faster.
    if (done) {
      const auto now = db.integer("PRAGMA user_version");
      if (now && *now <= step) {
        done = db.execute(migrations[size_t(step)]);
        if (done)
          done = db.execute(
              std::format("PRAGMA user_version = {}; PRAGMA application_id = {}", step + 1, application_id));
      }
    }
    if (done) done = db.execute("COMMIT");
    if (!done) {
      if (db.in_transaction()) (void)db.execute("ROLLBACK");
      return done;
    }
  }
  return {};
}

}  // namespace sightglass::adapters
