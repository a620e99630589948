// A queue whose places are used again, with whatever capacity their content has, so that a frame that passes
// through allocates nothing once the queue was as long as it gets. Not thread-safe.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace sightglass {

template <class T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  T& front() { return places_[first_]; }
  T& operator[](size_t index) { return places_[(first_ + index) % places_.size()]; }

  // The place behind the last, with old content, to be filled. Grows when all are in use.
  T& push() {
    if (size_ == places_.size()) grow();
    return places_[(first_ + size_++) % places_.size()];
  }
  void pop() {
    first_ = (first_ + 1) % places_.size();
    --size_;
  }

 private:
  void grow() {
    std::vector<T> more(places_.empty() ? 4 : 2 * places_.size());
    for (size_t i = 0; i < size_; ++i) more[i] = std::move((*this)[i]);
    places_ = std::move(more);
    first_ = 0;
  }

  std::vector<T> places_;
  size_t first_ = 0, size_ = 0;
};

}  // namespace sightglass
