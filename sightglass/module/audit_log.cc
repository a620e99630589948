#include "sightglass/module/audit_log.h"

#include <chrono>
#include <fstream>
#include <system_error>
#include <utility>
#include <nlohmann/json.hpp>

namespace sightglass::module {
namespace {

using nlohmann::json;

constexpr size_t most_recent = 10'000;

AuditEntry read_entry(const std::string& line) {
  AuditEntry entry;
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return entry;
  try {
    entry.number = object.value("n", uint64_t(0));
    entry.at_us = object.value("at_us", int64_t(0));
    entry.who = object.value("who", "");
    entry.call = object.value("call", "");
    entry.changes = object.value("changes", std::vector<std::string>());
    entry.revision = object.value("revision", uint64_t(0));
    entry.result = object.value("result", "");
  } catch (const json::exception&) {
    return {};  // a line that somebody else has written
  }
  return entry;
}

}  // namespace

AuditLog::AuditLog(std::filesystem::path path, int64_t most_bytes)
    : path_(std::move(path)), most_bytes_(most_bytes) {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(path_.parent_path(), ignored);
  std::ifstream old(path_);
  for (std::string line; std::getline(old, line);) {
    AuditEntry entry = read_entry(line);
    if (entry.number == 0) continue;
    last_ = std::max(last_, entry.number);
    recent_.push_back(std::move(entry));
    if (recent_.size() > most_recent) recent_.pop_front();
  }
  open();
}

AuditLog::~AuditLog() {
  if (file_) std::fclose(file_);
}

void AuditLog::open() {
  file_ = std::fopen(path_.c_str(), "ae");
  std::error_code error;
  const auto size = std::filesystem::file_size(path_, error);
  bytes_ = error ? 0 : int64_t(size);
}

void AuditLog::add(AuditEntry entry) {
  using namespace std::chrono;
  const std::lock_guard lock(mutex_);
  entry.number = ++last_;
  entry.at_us = duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  if (!path_.empty()) write(entry);
  recent_.push_back(std::move(entry));
  if (recent_.size() > most_recent) recent_.pop_front();
}

void AuditLog::write(const AuditEntry& entry) {
  const std::string line =
      json{{"n", entry.number},     {"at_us", entry.at_us},     {"who", entry.who},
           {"call", entry.call},    {"changes", entry.changes}, {"revision", entry.revision},
           {"result", entry.result}}
          .dump(-1, ' ', false, json::error_handler_t::replace) +
      "\n";
  if (!file_) open();
  if (file_ && bytes_ + int64_t(line.size()) > most_bytes_) {
    std::fclose(std::exchange(file_, nullptr));
    std::error_code ignored;
    std::filesystem::rename(path_, path_.string() + ".1", ignored);
    open();
  }
  if (!file_) return;
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fflush(file_) != 0)
    std::fclose(std::exchange(file_, nullptr));
  else
    bytes_ += int64_t(line.size());
}

std::vector<AuditEntry> AuditLog::after(uint64_t number, size_t most) const {
  const std::lock_guard lock(mutex_);
  std::vector<AuditEntry> found;
  for (const AuditEntry& entry : recent_)
    if (entry.number > number) found.push_back(entry);
  if (found.size() > most) found.erase(found.begin(), found.end() - ptrdiff_t(most));
  return found;
}

bool AuditLog::is_writable() const {
  const std::lock_guard lock(mutex_);
  return path_.empty() || file_;
}

}  // namespace sightglass::module
