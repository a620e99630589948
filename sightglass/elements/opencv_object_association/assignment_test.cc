#include "sightglass/elements/opencv_object_association/assignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace sightglass {
namespace {

double gain(std::span<const int> column_of, int columns, std::span<const float> costs, float limit) {
  double sum = 0;
  for (size_t row = 0; row < column_of.size(); ++row)
    if (column_of[row] != Assignment::none) sum += limit - costs[row * columns + column_of[row]];
  return sum;
}

double best_gain(int rows, int columns, std::span<const float> costs, float limit) {
  std::vector<char> taken(columns);
  std::function<double(int)> from = [&](int row) -> double {
    if (row == rows) return 0;
    double best = from(row + 1);
    for (int column = 0; column < columns; ++column) {
      const float cost = costs[row * columns + column];
      if (taken[column] || !(cost < limit)) continue;
      taken[column] = 1;
      best = std::max(best, double(limit) - cost + from(row + 1));
      taken[column] = 0;
    }
    return best;
  };
  return from(0);
}

TEST(Assignment, TakesTheBestSumAndNotTheBestPair) {
  const float costs[] = {0.1f, 0.2f,  //
                         0.2f, 0.9f};
  Assignment assignment;
  const auto columns = assignment.solve(2, 2, costs, 1);
  EXPECT_EQ(columns[0], 1);
  EXPECT_EQ(columns[1], 0);
}

TEST(Assignment, LeavesPairsAtTheLimitAlone) {
  const float costs[] = {0.7f, 0.8f, NAN};
  Assignment assignment;
  EXPECT_EQ(assignment.solve(1, 3, costs, 0.7f)[0], Assignment::none);
}

TEST(Assignment, HandlesEmptySides) {
  Assignment assignment;
  EXPECT_TRUE(assignment.solve(0, 3, {}, 1).empty());
  const auto columns = assignment.solve(2, 0, {}, 1);
  ASSERT_EQ(columns.size(), 2u);
  EXPECT_EQ(columns[0], Assignment::none);
}

TEST(Assignment, AgreesWithExhaustiveSearch) {
  std::mt19937 random(1);
  Assignment assignment;
  for (int round = 0; round < 3000; ++round) {
    const int rows = int(random() % 6), columns = int(random() % 6);
    const float limit = float(random() % 100) / 60;
    std::vector<float> costs(rows * columns);
    for (float& cost : costs) cost = float(random() % 16) / 16;  // with ties
    const auto result = assignment.solve(rows, columns, costs, limit);
    std::vector<char> taken(columns);
    for (int row = 0; row < rows; ++row) {
      if (result[row] == Assignment::none) continue;
      EXPECT_LT(costs[row * columns + result[row]], limit);
      EXPECT_FALSE(std::exchange(taken[result[row]], 1));
    }
    ASSERT_NEAR(gain(result, columns, costs, limit), best_gain(rows, columns, costs, limit), 1e-5);
  }
}

}  // namespace
}  // namespace sightglass
