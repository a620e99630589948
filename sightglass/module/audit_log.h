// Who changed what, and whether it worked: one JSON object a line, appended to a file, kept in two files of
// at most 64 MiB each. Secrets are masked by whoever adds an entry.
//
//   AuditLog log("/var/lib/gate/audit.jsonl");
//   log.add({.who = "ops", .call = "PUT /v1/parameters/min_face", .changes = {"min_face: 0.7 → 0.8"}, .result
//   = "applied"});
//
// Thread-safe. An empty path keeps the last entries in memory only.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace sightglass::module {

struct AuditEntry {
  uint64_t number = 0;  // from 1, set by add(); goes on after a restart
  int64_t at_us = 0;    // set by add()
  std::string who;      // name of a token, "etcd", "file", "signal"
  std::string call;     // "PUT /v1/parameters/min_face"
  std::vector<std::string> changes;
  uint64_t revision = 0;
  std::string result;  // "applied", "invalid: …"
};

class AuditLog {
 public:
  explicit AuditLog(std::filesystem::path path, int64_t most_bytes = int64_t(64) << 20);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  void add(AuditEntry entry);
  // Those with a higher number, oldest first; the newest `most` that are kept.
  std::vector<AuditEntry> after(uint64_t number, size_t most = 1000) const;
  bool is_writable() const;  // false: the file could not be written; entries are in memory only

 private:
  void open();
  void write(const AuditEntry& entry);

  const std::filesystem::path path_;
  const int64_t most_bytes_;
  mutable std::mutex mutex_;
  std::deque<AuditEntry> recent_;
  std::FILE* file_ = nullptr;
  int64_t bytes_ = 0;
  uint64_t last_ = 0;
};

}  // namespace sightglass::module
