#include "sightglass/elements/functions/attribute_smoother.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace sightglass {
namespace {

bool is_text(const Attribute& attribute) {
  return (attribute.kind == AttributeKind::classification || attribute.kind == AttributeKind::text) &&
         !attribute.text.empty();
}
bool is_vector(const Attribute& attribute) {
  return attribute.kind == AttributeKind::vector && !attribute.values.empty();
}
bool is_number(const Attribute& attribute) { return attribute.kind == AttributeKind::number; }

// What counts of it; nothing: it is no result.
std::optional<std::vector<float>> values_of(const Attribute& attribute) {
  std::vector<float> values = is_number(attribute) ? std::vector{float(attribute.number)} : attribute.values;
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return std::nullopt;
  return values;
}

}  // namespace

bool AttributeSmoother::concerns(const Attribute& attribute, Label model) const {
  return (model.empty() || attribute.model == model) &&
         (options_.attribute.empty() || attribute.name == options_.attribute) &&
         (is_text(attribute) || is_vector(attribute) || is_number(attribute));
}

std::vector<AttributeSmoother::History>& AttributeSmoother::histories_of(int64_t track) {
  auto found = std::ranges::lower_bound(tracks_, track, {}, &Track::id);
  if (found == tracks_.end() || found->id != track) {
    if (tracks_.size() >= max_tracks) {
      tracks_.erase(std::ranges::min_element(tracks_, {}, &Track::seen));
      found = std::ranges::lower_bound(tracks_, track, {}, &Track::id);
    }
    found = tracks_.insert(found, Track{.id = track});
  }
  found->seen = frame_;
  return found->histories;
}

void AttributeSmoother::run(Frame& frame, Label model) {
  if (++frame_ % 64 == 0)
    std::erase_if(tracks_,
                  [this](const Track& track) { return frame_ - track.seen > frames_until_forgotten; });
  for (Region& region : frame.regions) {
    if (region.track == 0 || !region.attributes) continue;
    const std::vector<Attribute>& items = region.attributes->items();
    const auto concerned = [&](const Attribute& attribute) { return concerns(attribute, model); };
    if (std::ranges::none_of(items, concerned)) continue;
    std::vector<History>& histories = histories_of(region.track);
    std::vector<Attribute> smoothed = items;
    for (Attribute& attribute : smoothed)
      if (concerned(attribute)) smooth(attribute, histories);
    region.attributes = make_ref<const AttributeList>(std::move(smoothed));
  }
}

// Of a result that `age` others have followed.
double AttributeSmoother::weight(size_t age) const {
  return options_.method == Method::exponential ? std::pow(1 - double(options_.alpha), double(age)) : 1;
}

void AttributeSmoother::smooth(Attribute& attribute, std::vector<History>& histories) const {
  auto history = std::ranges::find_if(histories, [&](const History& known) {
    return known.name == attribute.name && known.model == attribute.model;
  });
  if (history == histories.end())
    history = histories.insert(histories.end(), {attribute.name, attribute.model, {}, {}});
  bool is_new = attribute.age == 0;
  if (is_new) {
    Result result{attribute.text, attribute.label_id, attribute.confidence, {}};
    if (!is_text(attribute)) {
      auto values = values_of(attribute);
      if (values) {
        if (!history->results.empty() && history->results.back().values.size() != values->size()) {
          history->results.clear();
          history->blended.clear();
        }
        result.values = *std::move(values);
      } else {
        is_new = false;
      }
    }
    if (is_new) {
      if (history->results.size() >= std::max(options_.n, 1u))
        history->results.erase(history->results.begin());
      history->results.push_back(std::move(result));
    }
  }
  if (history->results.empty()) return;
  if (is_text(attribute))
    smooth_text(attribute, *history);
  else
    smooth_values(attribute, *history, is_new);
}

void AttributeSmoother::smooth_text(Attribute& attribute, const History& history) const {
  const std::vector<Result>& results = history.results;
  double most = -1;
  const Result* chosen = nullptr;
  for (size_t i = results.size(); i-- > 0;) {  // the later of equals is met first
    double sum = 0;
    for (size_t j = 0; j < results.size(); ++j)
      if (results[j].text == results[i].text)
        sum += options_.method == Method::majority
                   ? 1
                   : weight(results.size() - 1 - j) * std::max(double(results[j].confidence), 1e-6);
    if (sum > most) most = sum, chosen = &results[i];
  }
  double confidence = 0;
  size_t count = 0;
  for (const Result& result : results)
    if (result.text == chosen->text) confidence += double(result.confidence), ++count;
  attribute.text = chosen->text;
  attribute.label_id = chosen->label_id;
  attribute.confidence = float(confidence / double(count));
}

void AttributeSmoother::smooth_values(Attribute& attribute, History& history, bool is_new) const {
  const std::vector<Result>& results = history.results;
  const size_t length = results.back().values.size();
  std::vector<double>& blended = history.blended;
  if (is_new) {
    if (options_.method == Method::exponential && blended.size() == length) {
      for (size_t k = 0; k < length; ++k)
        blended[k] += double(options_.alpha) * (double(results.back().values[k]) - blended[k]);
    } else if (options_.method == Method::exponential) {
      blended.assign(results.back().values.begin(), results.back().values.end());
    } else {
      blended.assign(length, 0);
      std::vector<float> column(results.size());
      for (size_t k = 0; k < length; ++k) {
        for (size_t i = 0; i < results.size(); ++i) column[i] = results[i].values[k];
        if (options_.method == Method::mean) {
          for (const float value : column) blended[k] += double(value) / double(column.size());
        } else {
          std::ranges::sort(column);
          const size_t middle = column.size() / 2;
          blended[k] = column.size() % 2 ? double(column[middle])
                                         : (double(column[middle - 1]) + double(column[middle])) / 2;
        }
      }
    }
  }
  if (blended.size() != length) return;
  if (is_number(attribute))
    attribute.number = blended[0];
  else
    attribute.values.assign(blended.begin(), blended.end());
}

}  // namespace sightglass
