// Records into a database in a file. One transaction per batch; what comes again is ignored, so that a retry
// never shows twice.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <format>
#include <mutex>
#include <optional>

#include "sightglass/adapters/documents.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sqlite/schema.h"
#include "sightglass/adapters/sqlite/sqlite_params.h"
#include "sightglass/adapters/tls_params.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/elements/metaconvert/frame_json.h"

namespace sightglass::adapters {
namespace {

using Clock = std::chrono::steady_clock;

struct Statements {
  Statement frame, object, attribute, late_attribute, kept_attribute, event, counter, late_counter, note;
};

class SqliteSink final : public Sink {
 public:
  explicit SqliteSink(SqliteParams params) : params_(std::move(params)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    SqliteParams params = set.as<SqliteParams>();
    if (params.path.empty())
      return fail(ErrorCode::invalid_argument, "{}: path is missing, as in events.db", context.name);
    params.path = path_from(context.folder, params.path);
    return std::make_unique<SqliteSink>(std::move(params));
  }

  Status start() override {
    std::error_code ignored;
    const auto folder = std::filesystem::path(params_.path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
    auto opened = Database::open(params_.path);
    if (!opened) return forward_error(opened);
    // The order matters: auto_vacuum has to be chosen before there is a table.
    const char* const sync = params_.sync == SqliteParams::Sync::full ? "FULL" : "NORMAL";
    if (Status set = opened->execute(std::format(
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous={}", sync));
        !set)
      return set;
    if (Status made = prepare_schema(*opened, params_.path); !made) return made;
    const std::lock_guard lock(mutex_);
    db_.emplace(std::move(*opened));
    return prepare();
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    if (Status begun = db_->execute("BEGIN IMMEDIATE"); !begun) return begun;
    for (size_t i = 0; i < records.size(); ++i) {
      Status stored = store(*records[i]);
      if (stored) continue;
      if (db_->in_transaction() && db_->refuses_values()) {
        outcome[i] = Stored::never;
        continue;
      }
      return roll_back(std::move(stored));
    }
    if (Status done = db_->execute("COMMIT"); !done) return roll_back(std::move(done));
    if (params_.keep > 0 && Clock::now() >= next_cleaning_) clean();
    return {};
  }

  Status flush() override { return db_ ? db_->execute("PRAGMA wal_checkpoint(PASSIVE)") : Status(); }

  void stop() override {
    const std::lock_guard lock(mutex_);
    statements_ = {};
    db_.reset();
  }

  void cancel() override {
    const std::lock_guard lock(mutex_);
    if (db_) db_->interrupt();
  }

 private:
  Status prepare() {
    const auto make = [&](Statement& statement, std::string_view sql) -> Status {
      auto made = db_->prepare(sql);
      if (!made) return forward_error(made);
      statement = std::move(*made);
      return {};
    };
    constexpr std::string_view attribute =
        "INTO attributes (owner, model, name, n, kind, label, label_id, confidence, value, json, late) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,";
    Status status = make(statements_.frame, "INSERT OR IGNORE INTO frames VALUES (?,?,?,?,?,?,?,?,?)");
    if (status)
      status = make(statements_.object, "INSERT OR IGNORE INTO objects VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)");
    if (status) status = make(statements_.attribute, std::format("INSERT OR IGNORE {}0)", attribute));
    if (status) status = make(statements_.late_attribute, std::format("INSERT OR REPLACE {}1)", attribute));
    if (status) status = make(statements_.kept_attribute, std::format("INSERT OR IGNORE {}1)", attribute));
    if (status)
      status = make(statements_.event, "INSERT OR IGNORE INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?)");
    if (status) status = make(statements_.counter, "INSERT OR IGNORE INTO counters VALUES (?,?,?,?)");
    if (status) status = make(statements_.late_counter, "INSERT OR REPLACE INTO counters VALUES (?,?,?,?)");
    if (status) status = make(statements_.note, "INSERT OR IGNORE INTO notes VALUES (?,?,?,?,?,?)");
    return status;
  }

  Status store(const Record& record) {
    rows_.read(record);
    rows_written_ += int64_t(1 + rows_.objects.size() + rows_.attributes.size() + rows_.counters.size() +
                             rows_.events.size());
    if (!rows_.is_frame && !rows_.is_late) return params_.notes ? store_note(record) : Status();
    if (rows_.is_frame) {
      Statement& frame = statements_.frame;
      frame.text(1, rows_.uuid);
      frame.text(2, record.source_id);
      frame.integer(3, record.epoch);
      frame.integer(4, record.seq);
      pts(frame, 5, record);
      frame.integer(6, rows_.time_us);
      frame.integer(7, rows_.width);
      frame.integer(8, rows_.height);
      frame.integer(9, int64_t(rows_.objects.size()));
      if (Status done = frame.run(); !done) return done;
    }
    for (const RecordRows::Object& row : rows_.objects)
      if (Status done = store_object(row); !done) return done;
    Statement& attribute = !rows_.is_late ? statements_.attribute
                           : rows_.keeps  ? statements_.kept_attribute
                                          : statements_.late_attribute;
    for (const RecordRows::Attribute& row : rows_.attributes)
      if (Status done = store_attribute(attribute, row); !done) return done;
    for (const RecordRows::Event& row : rows_.events)
      if (Status done = store_event(row, record); !done) return done;
    Statement& counter = rows_.is_late && !rows_.keeps ? statements_.late_counter : statements_.counter;
    for (const RecordRows::Attribute& row : rows_.counters) {
      counter.text(1, rows_.uuid);
      counter.text(2, row.attribute->model.view());
      counter.text(3, row.attribute->name.view());
      counter.number(4, row.attribute->number);
      if (Status done = counter.run(); !done) return done;
    }
    return {};
  }

  static void pts(Statement& statement, int place, const Record& record) {
    if (record.pts == no_time)
      statement.null(place);
    else
      statement.integer(place, record.pts);
  }

  Status store_object(const RecordRows::Object& row) {
    const Region& region = *row.region;
    const double width = rows_.width, height = rows_.height;
    Statement& object = statements_.object;
    object.text(1, row.key);
    object.text(2, rows_.uuid);
    object.integer(3, row.id);
    region.parent >= 0 ? object.integer(4, region.parent) : object.null(4);
    object.text(5, region.model.view());
    object.text(6, region.label.view());
    object.number(7, region.confidence);
    object.number(8, region.box.x * width);
    object.number(9, region.box.y * height);
    object.number(10, region.box.w * width);
    object.number(11, region.box.h * height);
    object.number(12, region.angle);
    region.track != 0 ? object.integer(13, region.track) : object.null(13);
    return object.run();
  }

  Status store_attribute(Statement& statement, const RecordRows::Attribute& row) {
    const Attribute& attribute = *row.attribute;
    statement.text(1, row.owner);
    statement.text(2, attribute.model.view());
    statement.text(3, attribute.name.view());
    statement.integer(4, row.n);
    statement.text(5, to_string(attribute.kind));
    attribute.text.empty() ? statement.null(6) : statement.text(6, attribute.text);
    attribute.label_id >= 0 ? statement.integer(7, attribute.label_id) : statement.null(7);
    attribute.confidence > 0 ? statement.number(8, attribute.confidence) : statement.null(8);
    attribute.kind == AttributeKind::number ? statement.number(9, attribute.number) : statement.null(9);
    json_.clear();
    if (attribute.values.empty()) {
      statement.null(10);
    } else {
      JsonWriter json(json_);
      json.begin_object();
      write_attribute_fields(json, attribute);
      json.end_object();
      statement.text(10, json_);
    }
    return statement.run();
  }

  Status store_event(const RecordRows::Event& row, const Record& record) {
    Statement& event = statements_.event;
    event.text(1, row.key);
    event.text(2, rows_.uuid);
    event.text(3, record.source_id);
    event.integer(4, record.epoch);
    pts(event, 5, record);
    event.integer(6, rows_.time_us);
    event.text(7, row.attribute->model.view());
    event.text(8, row.attribute->name.view());
    event.integer(9, row.n);
    row.attribute->kind == AttributeKind::number ? event.integer(10, int64_t(row.attribute->number))
                                                 : event.null(10);
    event.text(11, row.attribute->text);
    return event.run();
  }

  Status store_note(const Record& record) {
    json_.clear();
    write_record_json(record, json_);
    Statement& note = statements_.note;
    note.text(1, rows_.uuid);
    note.text(2, record.source_id);
    note.integer(3, record.epoch);
    note.integer(4, record.seq);
    note.integer(5, rows_.time_us);
    note.text(6, json_);
    return note.run();
  }

  // A full disk has rolled it back already.
  Status roll_back(Status status) {
    if (db_->in_transaction()) (void)db_->execute("ROLLBACK");
    return status;
  }

  // Keys sort by age. In portions, so that no batch waits long; what is not done now is done soon.
  void clean() {
    const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    const int64_t oldest = std::max<int64_t>(now - int64_t(params_.keep * 1000), 0);
    const std::string before = std::format("{:08x}-{:04x}-", oldest >> 16, oldest & 0xffff);
    // More than what comes in meanwhile, or `keep` would never be reached.
    const int64_t portion = std::clamp<int64_t>(2 * std::exchange(rows_written_, 0), 2000, 50'000);
    bool has_more = false;
    struct Table {
      const char *name, *key;
    };
    for (const Table& table : {Table{"frames", "uuid"}, Table{"objects", "key"}, Table{"attributes", "owner"},
                               Table{"events", "key"}, Table{"counters", "uuid"}, Table{"notes", "uuid"}}) {
      (void)db_->execute(
          std::format("DELETE FROM {0} WHERE {1} IN (SELECT {1} FROM {0} WHERE {1} < '{2}' "
                      "ORDER BY {1} LIMIT {3})",
                      table.name, table.key, before, portion));
      const auto deleted = db_->integer("SELECT changes()");
      has_more = has_more || (deleted && *deleted >= portion);
    }
    (void)db_->execute("PRAGMA incremental_vacuum(500)");
    next_cleaning_ = Clock::now() + std::chrono::seconds(has_more ? 1 : 60);
  }

  const SqliteParams params_;
  std::mutex mutex_;  // of db_, for cancel()
  std::optional<Database> db_;
  Statements statements_;
  RecordRows rows_;
  std::string json_;
  Clock::time_point next_cleaning_;
  int64_t rows_written_ = 0;  // since the last cleaning
};

const ModuleSink registration("sqlite", &SqliteSink::create);

}  // namespace
}  // namespace sightglass::adapters
