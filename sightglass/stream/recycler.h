// Objects whose insides are worth keeping: handed out as shared pointers, and used again when the last one
// has gone. Once warm nothing is allocated, the shared pointers' own counts neither. Thread-safe; the objects
// may outlive the recycler.
//
//   Recycler<Message> messages(32, [](Message& each) { each.labels.clear(); });
//   std::shared_ptr<Message> message = messages.get();  // one that was let go of, or a new one
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace sightglass::stream {

template <class T>
class Recycler {
 public:
  // `empty` is applied to what comes back, on the thread that let go of it.
  using Empty = void (*)(T&);
  // Keeps at most `most` objects that nobody has.
  Recycler(size_t most, Empty empty) : shelf_(new Shelf(most, empty)) {}

  std::shared_ptr<T> get() {
    Place* const place = shelf_->take();
    return std::shared_ptr<T>(&place->object, Return{place}, Counts<T>(place));
  }

 private:
  class Shelf;
  struct Place {
    T object;
    Shelf* shelf = nullptr;
    // The counts of the shared pointer, which go after the object: they are at work while it comes back.
    alignas(std::max_align_t) std::byte counts[64];
  };

  struct Return {
    Place* place;
    void operator()(T* object) const { place->shelf->empty(*object); }
  };

  // What std::shared_ptr has its counts from; of the place, and by that the place is free again.
  template <class U>
  struct Counts {
    using value_type = U;
    explicit Counts(Place* of) : place(of) {}
    template <class V>
    Counts(const Counts<V>& other) : place(other.place) {}
    U* allocate(size_t) {
      static_assert(sizeof(U) <= sizeof(Place::counts) && alignof(U) <= alignof(std::max_align_t));
      return reinterpret_cast<U*>(place->counts);
    }
    void deallocate(U*, size_t) { place->shelf->put(place); }
    template <class V>
    bool operator==(const Counts<V>& other) const {
      return place == other.place;
    }
    Place* place;
  };

  // Lives until the recycler and all that it handed out have gone.
  class Shelf {
   public:
    Shelf(size_t most, Empty function) : empty(function), most_(most) { places_.reserve(most); }
    Place* take() {
      std::unique_lock lock(mutex_);
      ++out_;
      if (!places_.empty()) {
        Place* const place = places_.back().release();
        places_.pop_back();
        return place;
      }
      lock.unlock();
      auto made = std::make_unique<Place>();
      made->shelf = this;
      return made.release();
    }
    void put(Place* back) {
      std::unique_ptr<Place> place(back);  // goes after the lock, if there are enough
      std::unique_lock lock(mutex_);
      --out_;
      if (!is_left_ && places_.size() < most_) places_.push_back(std::move(place));
      leave_if_last(lock);
    }
    // By the recycler.
    void leave() {
      std::vector<std::unique_ptr<Place>> unused;  // go after the lock
      std::unique_lock lock(mutex_);
      is_left_ = true;
      unused.swap(places_);
      leave_if_last(lock);
    }
    const Empty empty;

   private:
    void leave_if_last(std::unique_lock<std::mutex>& lock) {
      const bool is_last = is_left_ && out_ == 0;
      lock.unlock();
      if (is_last) delete this;
    }
    const size_t most_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Place>> places_;
    size_t out_ = 0;
    bool is_left_ = false;
  };
  struct Leave {
    void operator()(Shelf* shelf) const { shelf->leave(); }
  };

  std::unique_ptr<Shelf, Leave> shelf_;
};

}  // namespace sightglass::stream
