// Objects whose insides are worth keeping: handed out as shared pointers, and used again when the last one
// has gone. Thread-safe; the objects may outlive the recycler.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

namespace sightglass::stream {

template <class T>
class Recycler {
 public:
  // `empty` is applied to what comes back, on the thread that let go of it.
  using Empty = void (*)(T&);
  Recycler(size_t most, Empty empty) : shelf_(std::make_shared<Shelf>(most, empty)) {}

  std::shared_ptr<T> get() {
    std::unique_ptr<T> object = shelf_->take();
    if (!object) object = std::make_unique<T>();
    return std::shared_ptr<T>(object.release(),
                              [shelf = shelf_](T* back) { shelf->put(std::unique_ptr<T>(back)); });
  }

 private:
  struct Shelf {
    Shelf(size_t count, Empty function) : most(count), empty(function) { objects.reserve(count); }
    std::unique_ptr<T> take() {
      std::lock_guard lock(mutex);
      if (objects.empty()) return nullptr;
      auto object = std::move(objects.back());
      objects.pop_back();
      return object;
    }
    void put(std::unique_ptr<T> object) {
      empty(*object);
      std::lock_guard lock(mutex);
      if (objects.size() < most) objects.push_back(std::move(object));
    }
    const size_t most;
    const Empty empty;
    std::mutex mutex;
    std::vector<std::unique_ptr<T>> objects;
  };
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace sightglass::stream
