#include "sightglass/elements/opencv_object_association/assignment.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sightglass {

// Staying alone is a column of each row's own, of cost 0; a pair costs cost − limit, so less than 0 where it
// is allowed. No other row can take that column, hence its price stays 0 and it need not be stored.
std::span<const int> Assignment::solve(int rows, int columns, std::span<const float> costs, float limit) {
  column_of_.assign(rows, none);
  row_of_.assign(columns, none);
  row_price_.assign(rows, 0);
  column_price_.assign(columns, 0);
  reached_from_.resize(columns);
  distance_.resize(columns);
  column_done_.resize(columns);
  rows_done_.reserve(rows);
  for (int row = 0; row < rows; ++row) {
    const auto line = costs.subspan(size_t(row) * columns, columns);
    if (std::ranges::any_of(line, [&](float cost) { return cost < limit; }))
      search(row, columns, costs, limit);
  }
  return column_of_;
}

// Dijkstra's search from `start` for the cheapest way to place one more row, then the prices and the
// assignment along that way.
void Assignment::search(int start, int columns, std::span<const float> costs, float limit) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  std::ranges::fill(distance_, infinite);
  std::ranges::fill(column_done_, 0);
  rows_done_.clear();

  double here = 0, alone = infinite;
  int row = start, end = none, alone_row = none;
  for (;;) {
    rows_done_.push_back(row);
    if (const double way = here - row_price_[row]; way < alone) alone = way, alone_row = row;
    const float* line = costs.data() + size_t(row) * columns;
    double nearest = infinite;
    int next = none;
    for (int column = 0; column < columns; ++column) {
      if (column_done_[column]) continue;
      if (line[column] < limit) {
        const double way = here + (double(line[column]) - limit) - row_price_[row] - column_price_[column];
        if (way < distance_[column]) distance_[column] = way, reached_from_[column] = row;
      }
      if (distance_[column] < nearest) nearest = distance_[column], next = column;
    }
    if (alone <= nearest) {
      here = alone;
      break;
    }
    here = nearest;
    column_done_[next] = 1;
    if (row_of_[next] == none) {
      end = next;
      break;
    }
    row = row_of_[next];
  }

  for (const int done : rows_done_)
    row_price_[done] += done == start ? here : here - distance_[column_of_[done]];
  for (int column = 0; column < columns; ++column)
    if (column_done_[column]) column_price_[column] -= here - distance_[column];

  int column = end;
  if (end == none) {  // this row gives its column up
    column = std::exchange(column_of_[alone_row], none);
    if (alone_row == start) return;
  }
  do {
    row = reached_from_[column];
    row_of_[column] = row;
    std::swap(column_of_[row], column);
  } while (row != start);
}

}  // namespace sightglass
