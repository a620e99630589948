// Where a box will be: a Kalman filter of constant velocity for centre, width and height.
//
// The four are independent of each other (their transition, process noise and measurement noise are diagonal
// in SORT, DeepSORT and ByteTrack too), so the 8×8 filter of the literature falls into four filters of a
// place and a speed, which cost a few operations each. Noise is relative to the size of the box, and grows
// with the time that has passed and not with the number of frames: a track behaves alike at 5 and at 60
// frames per second.
#pragma once

#include <algorithm>
#include <cmath>

#include "sightglass/core/region.h"

namespace sightglass {

// Standard deviations in sizes of the box (mean of width and height).
struct MotionNoise {
  float detection = 0.1f;     // of an edge of a detected box
  float acceleration = 0.7f;  // per second²
  float first_speed = 0.7f;   // per second, of an object just seen
  float growth = 0.05f;       // acceleration of width and height, per second²
};

// One coordinate and its speed.
class Axis {
 public:
  Axis() = default;
  Axis(float place, float place_variance, float speed_variance)
      : place_(place), pp_(place_variance), vv_(speed_variance) {}

  // White noise acceleration of the spectral density `noise`, for `time` seconds.
  void predict(float time, float noise) {
    place_ += speed_ * time;
    pp_ += time * (2 * pv_ + time * vv_) + noise * time * time * time / 3;
    pv_ += time * vv_ + noise * time * time / 2;
    vv_ += noise * time;
  }
  void correct(float measured, float variance) {
    const float innovation = pp_ + variance;
    if (!(innovation > 0)) return;
    const float gain = pp_ / innovation, speed_gain = pv_ / innovation, error = measured - place_;
    place_ += gain * error;
    speed_ += speed_gain * error;
    vv_ -= speed_gain * pv_;
    pv_ *= 1 - gain;
    pp_ *= 1 - gain;
  }
  void slow_down(float factor) { speed_ *= factor; }
  float place() const { return place_; }
  float speed() const { return speed_; }

 private:
  float place_ = 0, speed_ = 0;
  float pp_ = 0, pv_ = 0, vv_ = 0;  // covariance
};

class Motion {
 public:
  Motion() = default;
  Motion(const Box& box, const MotionNoise& noise) {
    const float size = (box.w + box.h) / 2, place = square(noise.detection * size),
                speed = square(noise.first_speed * size);
    x_ = {box.x + box.w / 2, place, speed};
    y_ = {box.y + box.h / 2, place, speed};
    w_ = {box.w, place, square(noise.growth * size)};
    h_ = {box.h, place, square(noise.growth * size)};
  }
  // `seen`: the object was found in the last frame. One that is lost keeps its size.
  void predict(float seconds, bool seen, const MotionNoise& noise) {
    if (!seen) w_.slow_down(0), h_.slow_down(0);
    const float along = square(noise.acceleration * size()), grow = square(noise.growth * size());
    x_.predict(seconds, along);
    y_.predict(seconds, along);
    w_.predict(seconds, grow);
    h_.predict(seconds, grow);
  }
  void correct(const Box& box, const MotionNoise& noise) {
    const float variance = square(noise.detection * (box.w + box.h) / 2);
    x_.correct(box.x + box.w / 2, variance);
    y_.correct(box.y + box.h / 2, variance);
    w_.correct(box.w, variance);
    h_.correct(box.h, variance);
  }
  Box box() const {
    const float w = std::max(w_.place(), 0.0f), h = std::max(h_.place(), 0.0f);
    return {x_.place() - w / 2, y_.place() - h / 2, w, h};
  }

 private:
  static float square(float value) { return value * value; }
  float size() const { return (std::max(w_.place(), 0.0f) + std::max(h_.place(), 0.0f)) / 2; }

  Axis x_, y_, w_, h_;
};

}  // namespace sightglass
