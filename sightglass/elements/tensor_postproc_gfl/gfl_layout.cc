#include "sightglass/elements/tensor_postproc_gfl/gfl_layout.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <format>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sightglass {
namespace {

bool name_has(const TensorsInfo& outputs, const CellRows& rows,
              std::initializer_list<std::string_view> words) {
  std::string name = outputs.tensors[size_t(rows.tensor)].name;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return std::ranges::any_of(words, [&](std::string_view word) { return name.contains(word); });
}

bool is_even_landmarks(int64_t columns) { return columns >= 2 && columns % 2 == 0; }

class Finder {
 public:
  Finder(const TensorsInfo& outputs, std::span<const CellRows> rows, const GflRequest& request)
      : outputs_(outputs), rows_(rows.begin(), rows.end()), request_(request) {}

  Result<GflLayout> find() {
    if (rows_.empty() || rows_.size() != outputs_.tensors.size())
      return unknown("every output needs a row for each cell");
    found_.width = request_.width, found_.height = request_.height;
    if (rows_.size() == 1) {
      if (auto merged = find_merged(); !merged) return forward_error(merged);
    } else {
      if (auto split = find_split(); !split) return forward_error(split);
    }
    return std::move(found_);
  }

 private:
  std::unexpected<Error> unknown(std::string_view why) const {
    return fail(ErrorCode::not_negotiated,
                "no distance heads: {} ({}); known are, for each stride, class scores [1,n,C] with distances "
                "[1,n,4·bins] and perhaps landmarks [1,n,2·K], or all in one [1,N,C+4·bins]",
                to_string(outputs_), why);
  }

  static int64_t cells(int64_t side, int64_t stride) { return (side + stride - 1) / stride; }
  int64_t cells(int64_t stride) const { return cells(found_.width, stride) * cells(found_.height, stride); }

  // The usual strides of so many levels, finest first.
  std::vector<std::vector<int64_t>> likely_strides(size_t levels) const {
    if (!request_.strides.empty()) return {request_.strides};
    std::vector<std::vector<int64_t>> likely;
    for (const int64_t finest : {8, 4, 16}) {
      auto& strides = likely.emplace_back();
      for (size_t i = 0; i < levels; ++i) strides.push_back(finest << i);
    }
    return likely;
  }

  void add_level(int64_t stride, int64_t boxes) {
    GflLevel& level = found_.levels.emplace_back();
    level.stride = stride, level.boxes = boxes;
    level.width = cells(found_.width, stride), level.height = cells(found_.height, stride);
  }

  Status find_merged() {
    const CellRows& all = rows_[0];
    if (found_.width == 0 || found_.height == 0)
      return unknown("input-width and input-height have to be set");
    for (const size_t levels : {size_t(4), size_t(3), size_t(2), size_t(5)}) {
      for (const auto& strides : likely_strides(levels)) {
        int64_t sum = 0;
        for (const int64_t stride : strides) sum += cells(stride);
        if (sum == 0 || all.cells != sum) continue;
        // The classes by their labels, else with the usual eight bins for each distance.
        const int64_t classes = request_.classes > 0 ? request_.classes : all.columns - 32;
        const int64_t distances = all.columns - classes;
        if (classes < 1 || distances < 4 || distances % 4 != 0)
          return unknown(
              std::format("{} columns are not {} classes and four distances", all.columns, classes));
        int64_t first = 0;
        for (const int64_t stride : strides) {
          add_level(stride, 1);
          GflLevel& level = found_.levels.back();
          level.scores = level.distances = all;
          level.classes = classes, level.bins = distances / 4;
          level.first_column = classes, level.first_cell = first;
          first += level.rows();
        }
        return {};
      }
    }
    return unknown(
        std::format("{} cells fit no strides of an input of {}x{}", all.cells, found_.width, found_.height));
  }

  Status find_split() {
    std::ranges::stable_sort(rows_, std::greater(), &CellRows::cells);
    std::vector<std::span<const CellRows>> groups;
    for (size_t i = 0; i < rows_.size();) {
      size_t end = i;
      while (end < rows_.size() && rows_[end].cells == rows_[i].cells) ++end;
      groups.emplace_back(rows_.begin() + std::ptrdiff_t(i), rows_.begin() + std::ptrdiff_t(end));
      i = end;
    }
    for (const auto& group : groups)
      if (group.size() < 2 || group.size() > 3 || group.size() != groups[0].size())
        return unknown("two or three outputs of each size are needed");
    if (found_.width == 0 || found_.height == 0) find_square(groups[0][0].cells);
    if (found_.width == 0) return unknown("input-width and input-height have to be set");
    if (!find_strides(groups)) {
      found_.levels.clear();
      return unknown(std::format("the numbers of cells fit no strides of an input of {}x{}", found_.width,
                                 found_.height));
    }
    for (size_t i = 0; i < groups.size(); ++i)
      if (auto assigned = assign(groups[i], found_.levels[i]); !assigned) return assigned;
    return {};
  }

  void find_square(int64_t finest) {
    const int64_t stride = request_.strides.empty() ? 8 : request_.strides[0];
    for (const int64_t boxes : {1, 2}) {
      const int64_t cell_count = finest / boxes, side = std::llround(std::sqrt(double(cell_count)));
      if (side * side * boxes != finest) continue;
      found_.width = found_.height = side * stride;
      return;
    }
  }

  bool find_strides(std::span<const std::span<const CellRows>> groups) {
    for (const auto& strides : likely_strides(groups.size())) {
      if (strides.size() != groups.size()) continue;
      const int64_t boxes = groups[0][0].cells / std::max<int64_t>(1, cells(strides[0]));
      bool fits = boxes >= 1;
      for (size_t i = 0; fits && i < groups.size(); ++i)
        fits = groups[i][0].cells == boxes * cells(strides[i]);
      if (!fits) continue;
      for (const int64_t stride : strides) add_level(stride, boxes);
      return true;
    }
    return false;
  }

  // Which of the outputs of one stride is what: by name, then by what the columns can be.
  Status assign(std::span<const CellRows> group, GflLevel& level) const {
    const CellRows *scores = nullptr, *distances = nullptr, *points = nullptr;
    for (const CellRows& rows : group) {
      if (name_has(outputs_, rows, {"kps", "kpt", "landm"}))
        points = &rows;
      else if (name_has(outputs_, rows, {"cls", "class", "score", "conf"}))
        scores = &rows;
      else if (name_has(outputs_, rows, {"dis", "reg", "box", "dfl"}))
        distances = &rows;
    }
    if (!scores || !distances || (group.size() == 3 && !points)) {
      scores = distances = points = nullptr;
      const auto take = [&](auto fits) -> const CellRows* {
        for (const CellRows& rows : group)
          if (&rows != scores && &rows != distances && &rows != points && fits(rows.columns)) return &rows;
        return nullptr;
      };
      const auto any = [](int64_t) { return true; };
      if (group.size() == 3) points = take([](int64_t n) { return n == 10; });
      if (request_.classes > 0) scores = take([&](int64_t n) { return n == request_.classes; });
      if (!scores) scores = take([](int64_t n) { return n % 4 != 0 && n != 10; });
      if (!scores) {
        // Both could be distances: 8, 16, 17 bins or none are what is usual.
        distances = take([](int64_t n) { return n == 32 || n == 68 || n == 64 || n == 4; });
        scores = take(any);
      }
      if (!distances) distances = take([](int64_t n) { return n % 4 == 0; });
      if (group.size() == 3 && !points) points = take(is_even_landmarks);
    }
    if (!scores || !distances || scores->columns < 1 || distances->columns < 4 || distances->columns % 4 != 0)
      return unknown("nothing says which output has the scores and which the distances");
    if (request_.classes > 0 && scores->columns < request_.classes)
      return unknown(std::format("{} classes or labels", request_.classes));
    level.scores = *scores, level.distances = *distances;
    level.classes = scores->columns, level.bins = distances->columns / 4;
    if (points && request_.landmarks) {
      if (!is_even_landmarks(points->columns)) return unknown("landmarks are pairs");
      level.points = *points, level.landmarks = points->columns / 2;
    }
    return {};
  }

  const TensorsInfo& outputs_;
  std::vector<CellRows> rows_;
  const GflRequest& request_;
  GflLayout found_;
};

}  // namespace

Result<GflLayout> find_gfl(const TensorsInfo& outputs, std::span<const CellRows> rows,
                           const GflRequest& request) {
  return Finder(outputs, rows, request).find();
}

}  // namespace sightglass
