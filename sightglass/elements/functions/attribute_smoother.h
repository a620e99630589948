// Smooths attributes along their objects' tracks, so that a label does not flicker.
//
//   mean         numbers and vectors: mean of the last n results
//   exponential  the same with weights that fall: the newest has `alpha`, what was before the rest
//   majority     texts and classes: the one that most of the last n results say; of equals the later one
//
// Where mean or exponential meets a text it is the one with the greatest sum of confidences, by the same
// weights; majority of numbers is their median. The confidence becomes the mean of the results that say what
// is chosen. Vectors whose length changes begin anew; NaN counts as no result. A result that is repeated (age
// above 0) is no new one. A track that was not seen for 300 frames is forgotten; objects without a track stay
// as they are.
//
// One stream, one thread. Makes new attribute lists, which allocates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

class AttributeSmoother {
 public:
  enum class Method : uint8_t { mean, majority, exponential };
  struct Options {
    Label attribute;  // name; empty: every one that has a text, a number or a vector
    Method method = Method::mean;
    unsigned n = 5;
    float alpha = 0.5f;
  };
  explicit AttributeSmoother(const Options& options) : options_(options) {}

  // Of the attributes of this model (empty: all) of every object.
  void run(Frame& frame, Label model);
  void reset() { tracks_.clear(); }
  size_t remembered_tracks() const { return tracks_.size(); }

  static constexpr uint64_t frames_until_forgotten = 300;
  static constexpr size_t max_tracks = 1024;

 private:
  struct Result {
    std::string text;
    int32_t label_id = -1;
    float confidence = 0;
    std::vector<float> values;  // of a number one
  };
  struct History {
    Label name, model;
    std::vector<Result> results;  // oldest first
    std::vector<double> blended;  // exponential
  };

  struct Track {
    int64_t id = 0;
    uint64_t seen = 0;
    std::vector<History> histories;
  };

  std::vector<History>& histories_of(int64_t track);
  bool concerns(const Attribute& attribute, Label model) const;
  void smooth(Attribute& attribute, std::vector<History>& histories) const;
  void smooth_text(Attribute& attribute, const History& history) const;
  void smooth_values(Attribute& attribute, History& history, bool is_new) const;
  double weight(size_t age) const;

  Options options_;
  uint64_t frame_ = 0;
  std::vector<Track> tracks_;  // by id
};

}  // namespace sightglass
