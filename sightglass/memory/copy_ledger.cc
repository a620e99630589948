#include "sightglass/memory/copy_ledger.h"

namespace sightglass {

CopyLedger::Hop& CopyLedger::hop(std::string_view name) {
  std::lock_guard lock(mutex_);
  for (Hop& known : hops_)
    if (known.name() == name) return known;
  return hops_.emplace_back(name);
}

std::vector<CopyLedger::Entry> CopyLedger::snapshot() const {
  constexpr auto relaxed = std::memory_order_relaxed;
  std::lock_guard lock(mutex_);
  std::vector<Entry> entries;
  entries.reserve(hops_.size());
  for (const Hop& hop : hops_)
    entries.push_back({hop.name(), hop.copies_.count.load(relaxed), hop.copies_.bytes.load(relaxed),
                       hop.shares_.count.load(relaxed), hop.shares_.bytes.load(relaxed)});
  return entries;
}

CopyLedger::Entry CopyLedger::total() const {
  Entry sum{.name = "total"};
  for (const Entry& entry : snapshot()) {
    sum.copies += entry.copies;
    sum.bytes_copied += entry.bytes_copied;
    sum.shares += entry.shares;
    sum.bytes_shared += entry.bytes_shared;
  }
  return sum;
}

void CopyLedger::reset() {
  std::lock_guard lock(mutex_);
  for (Hop& hop : hops_)
    for (Hop::Counter* counter : {&hop.copies_, &hop.shares_}) {
      counter->count.store(0, std::memory_order_relaxed);
      counter->bytes.store(0, std::memory_order_relaxed);
    }
}

CopyLedger& CopyLedger::process() {
  static CopyLedger& instance = *new CopyLedger;  // never destroyed: elements may count until the very end
  return instance;
}

}  // namespace sightglass
