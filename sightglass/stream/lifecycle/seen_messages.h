// Recognises messages that were seen before, L-09: by their place in the writer's sequence (a window of 1,024
// behind the newest), and frames by UUID across writers (the last 4,096).
//
//   switch (filter.check(seq, uuid)) { case fresh: … filter.note(seq, uuid); … }
//
// One per stream, for the writer and epoch at hand; restart() when those change. The UUIDs take 80 KiB from
// the first note() until shrink(). Not thread-safe.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>

namespace sightglass::stream {

using Uuid = std::array<uint8_t, 16>;  // as in messages.h

class SeenMessages {
 public:
  enum class Seen : uint8_t {
    fresh,
    duplicate,
    late  // not seen, but newer ones were
  };
  static constexpr int64_t window = 1024;
  static constexpr size_t most_uuids = 4096;

  // uuid null: no frame.
  Seen check(int64_t seq, const Uuid* uuid) const;
  bool knows(const Uuid& uuid) const { return uuids_ && uuids_->contains(uuid); }
  void note(int64_t seq, const Uuid* uuid);
  void restart();                    // another writer or epoch: forgets the sequence, keeps the UUIDs
  void shrink() { uuids_.reset(); }  // forgets the UUIDs and gives their memory back

 private:
  struct Uuids {
    std::array<Uuid, most_uuids> ring;
    std::array<uint16_t, 2 * most_uuids> index{};  // place + 1 in `ring`; 0: free
    size_t next = 0, size = 0;

    bool contains(const Uuid& uuid) const;
    void insert(const Uuid& uuid);

   private:
    size_t find(const Uuid& uuid) const;  // its place in `index`, or the free one where it would stand
    void erase(size_t place);
  };

  bool has_any_ = false;
  int64_t newest_ = 0;
  std::bitset<window> seen_;  // by seq modulo window
  std::unique_ptr<Uuids> uuids_;
};

}  // namespace sightglass::stream
