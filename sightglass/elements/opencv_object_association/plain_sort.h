// For tests: SORT as it was published (Bewley and others 2016), whose figures on a sequence are known, so
// that our scores and our tracker can be compared with them.
//
// Its state is centre, area and shape of a box with the speeds of the first three. Its matrices couple
// nothing but a place and its speed, so each is a filter of its own here.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "sightglass/elements/opencv_object_association/assignment.h"
#include "sightglass/elements/opencv_object_association/mot_scores.h"

namespace sightglass::mot {

class PlainSort {
 public:
  explicit PlainSort(unsigned max_age, unsigned min_hits = 3) : max_age_(max_age), min_hits_(min_hits) {}

  std::vector<Entry> update(const std::vector<Entry>& detections) {
    ++frame_;
    for (Track& track : tracks_) track.predict();
    std::vector<float> costs;
    for (const Track& track : tracks_)
      for (const Entry& detection : detections) costs.push_back(-iou(track.box(), detection.box));
    // Every pair may be made; those that overlap too little are undone afterwards.
    const auto column_of = assignment_.solve(int(tracks_.size()), int(detections.size()), costs, 1e-4f);
    std::vector<char> taken(detections.size(), 0);
    for (size_t i = 0; i < tracks_.size(); ++i) {
      const int k = column_of[i];
      if (k == Assignment::none || -costs[i * detections.size() + size_t(k)] < 0.3f) continue;
      taken[size_t(k)] = 1;
      tracks_[i].correct(detections[size_t(k)].box);
    }
    for (size_t k = 0; k < detections.size(); ++k)
      if (!taken[k]) tracks_.emplace_back(next_id_++, detections[k].box);
    std::vector<Entry> found;
    for (const Track& track : tracks_)
      if (track.unseen == 0 && (track.streak >= min_hits_ || frame_ <= min_hits_))
        found.push_back({track.id, track.box(), 1});
    std::erase_if(tracks_, [this](const Track& track) { return track.unseen > max_age_; });
    return found;
  }

 private:
  struct Value {
    double place = 0, speed = 0, pp = 10, pv = 0, vv = 1e4;
    void predict(double noise, double speed_noise) {
      place += speed;
      pp += 2 * pv + vv + noise;
      pv += vv;
      vv += speed_noise;
    }
    void correct(double measured, double variance) {
      const double gain = pp / (pp + variance), speed_gain = pv / (pp + variance), error = measured - place;
      place += gain * error;
      speed += speed_gain * error;
      vv -= speed_gain * pv;
      pv *= 1 - gain;
      pp *= 1 - gain;
    }
  };
  struct Track {
    Track(int64_t number, const Box& box) : id(number) {
      x.place = box.x + box.w / 2, y.place = box.y + box.h / 2;
      area.place = double(box.w) * box.h, shape.place = double(box.w) / box.h;
      shape.vv = 0;
    }
    void predict() {
      if (area.place + area.speed <= 0) area.speed = 0;
      x.predict(1, 0.01), y.predict(1, 0.01), area.predict(1, 0.0001), shape.predict(1, 0);
      if (unseen > 0) streak = 0;
      ++unseen;
    }
    void correct(const Box& box) {
      unseen = 0;
      ++streak;
      x.correct(box.x + box.w / 2, 1), y.correct(box.y + box.h / 2, 1);
      area.correct(double(box.w) * box.h, 10), shape.correct(double(box.w) / box.h, 10);
    }
    Box box() const {
      const double w = std::sqrt(std::max(area.place * shape.place, 0.0)), h = w > 0 ? area.place / w : 0;
      return {float(x.place - w / 2), float(y.place - h / 2), float(w), float(h)};
    }
    int64_t id;
    Value x, y, area, shape;
    unsigned unseen = 0, streak = 0;
  };

  unsigned max_age_, min_hits_, frame_ = 0;
  int64_t next_id_ = 1;
  std::vector<Track> tracks_;
  Assignment assignment_;
};

}  // namespace sightglass::mot
