// Optimal assignment of rows to columns, here of tracks to detections: shortest augmenting paths with
// potentials (Jonker and Volgenant 1987), O(rows² · columns), and far less when few pairs are possible.
//
//   Assignment assignment;
//   std::span<const int> column_of = assignment.solve(tracks, detections, costs, 0.7f);
//
// Keeps its working memory: no allocation once the largest problem has been seen. Not thread-safe.
#pragma once

#include <span>
#include <vector>

namespace sightglass {

class Assignment {
 public:
  static constexpr int none = -1;

  // `costs` is row-major, rows · columns. No pair that costs `limit` or more is made; among the rest the sum
  // of (limit − cost) is the greatest possible. Gives the column of each row, or none; valid until the next
  // call. NaN counts as dearer than the limit.
  std::span<const int> solve(int rows, int columns, std::span<const float> costs, float limit);

 private:
  void search(int row, int columns, std::span<const float> costs, float limit);

  std::vector<int> column_of_, row_of_;
  std::vector<int> reached_from_;  // row by which a column was reached
  std::vector<double> row_price_, column_price_, distance_;
  std::vector<char> column_done_;
  std::vector<int> rows_done_;
};

}  // namespace sightglass
