#include "sightglass/stream/lifecycle/seen_messages.h"

#include <cstring>
#include <utility>

namespace sightglass::stream {

SeenMessages::Seen SeenMessages::check(int64_t seq, const Uuid* uuid) const {
  if (uuid && uuids_ && uuids_->contains(*uuid)) return Seen::duplicate;
  if (!has_any_ || seq > newest_) return Seen::fresh;
  // What has left the window was acknowledged or given up long ago. (seq ≥ 0: no overflow.)
  if (newest_ - seq >= window) return Seen::duplicate;
  return seen_[size_t(seq % window)] ? Seen::duplicate : Seen::late;
}

void SeenMessages::note(int64_t seq, const Uuid* uuid) {
  if (!has_any_ || seq > newest_) {
    if (!has_any_ || seq - newest_ >= window) {
      seen_.reset();
    } else {
      for (int64_t missing = newest_ + 1; missing < seq; ++missing) seen_.reset(size_t(missing % window));
    }
    has_any_ = true;
    newest_ = seq;
    seen_.set(size_t(seq % window));
  } else if (newest_ - seq < window) {
    seen_.set(size_t(seq % window));
  }
  if (!uuid) return;
  if (!uuids_) uuids_ = std::make_unique<Uuids>();
  uuids_->insert(*uuid);
}

void SeenMessages::restart() {
  has_any_ = false;
  newest_ = 0;
  seen_.reset();
}

namespace {
// All bits count: the tail of a UUID is random in version 7, but others only count up. UUIDs made to collide
// cost some µs per frame, no more: the table has 4,096.
uint64_t mix(uint64_t bits) {
  bits = (bits ^ (bits >> 32)) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 29)) * 0xbf58476d1ce4e5b9u;
  return bits ^ (bits >> 32);
}
size_t hash_of(const Uuid& uuid) {
  uint64_t head, tail;
  std::memcpy(&head, uuid.data(), 8);
  std::memcpy(&tail, uuid.data() + 8, 8);
  return size_t(mix(head ^ mix(tail)));
}
}  // namespace

size_t SeenMessages::Uuids::find(const Uuid& uuid) const {
  size_t place = hash_of(uuid) % index.size();
  while (index[place] != 0 && ring[index[place] - 1u] != uuid) place = (place + 1) % index.size();
  return place;
}

bool SeenMessages::Uuids::contains(const Uuid& uuid) const { return index[find(uuid)] != 0; }

void SeenMessages::Uuids::insert(const Uuid& uuid) {
  if (contains(uuid)) return;
  if (size == ring.size())
    erase(find(ring[next]));
  else
    ++size;
  ring[next] = uuid;
  index[find(uuid)] = uint16_t(next + 1);
  next = (next + 1) % ring.size();
}

// Moves what follows forward, so that no gap hides it.
void SeenMessages::Uuids::erase(size_t place) {
  const size_t places = index.size();
  index[place] = 0;
  for (size_t i = (place + 1) % places; index[i] != 0; i = (i + 1) % places) {
    const size_t home = hash_of(ring[index[i] - 1u]) % places;
    if ((i + places - home) % places < (i + places - place) % places) continue;
    index[place] = std::exchange(index[i], uint16_t(0));
    place = i;
  }
}

}  // namespace sightglass::stream
