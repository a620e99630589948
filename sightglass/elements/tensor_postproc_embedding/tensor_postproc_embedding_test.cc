#include "sightglass/elements/tensor_postproc_embedding/tensor_postproc_embedding.h"

#include <gmock/gmock.h>

#include <limits>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using testing::ElementsAre;
using testing::HasSubstr;

AttributesRef embed(std::vector<Tensor> tensors, const test::Settings& settings = {}, int sample = 0) {
  Frame frame = test::frame_of(std::move(tensors));
  frame.source = SourceId{.batch_index = sample};
  auto element = test::make<TransformInplace>("tensor_postproc_embedding", settings);
  const Status done = test::run(*element, frame, {"feature", "other"});
  EXPECT_TRUE(done) << test::message_of(done);
  return frame.attributes;
}

TEST(Embedding, IsOfLengthOne) {
  const AttributesRef list = embed({tensor<float>({1, 2}, {3, 4})});
  ASSERT_TRUE(list);
  const Attribute* feature = list->find("spatial-feature");
  ASSERT_TRUE(feature);
  EXPECT_EQ(feature->kind, AttributeKind::vector);
  EXPECT_EQ(feature->model.view(), "model");
  EXPECT_THAT(feature->values, ElementsAre(.6f, .8f));
}

TEST(Embedding, StaysAsItIsWithoutNormalisation) {
  const AttributesRef list =
      embed({tensor<int32_t>({1, 2, 1, 1}, {3, -4})}, {{"normalize", "none"}, {"attribute-name", "face"}});
  EXPECT_THAT(list->find("face")->values, ElementsAre(3, -4));
}

TEST(Embedding, ReadsItsOwnSampleOfABatchAndItsLayer) {
  const AttributesRef list = embed({tensor<float>({2, 1}, {1, 2}), tensor<float>({2, 2}, {1, 0, 0, 5})},
                                   {{"layer-name", "other"}}, 1);
  EXPECT_THAT(list->find("spatial-feature")->values, ElementsAre(0, 1));
}

TEST(Embedding, HasNoResultWhereThereIsNoDirection) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(embed({tensor<float>({1, 2}, {0, 0})}));
  EXPECT_FALSE(embed({tensor<float>({1, 2}, {nan, 1})}));
  EXPECT_FALSE(embed({tensor<float>({1, 2}, {std::numeric_limits<float>::infinity(), 1})}));
  EXPECT_FALSE(embed({tensor<float>({1, 0}, {})}));
}

TEST(Embedding, SaysWhichOutputsThereAre) {
  Frame frame = test::frame_of({tensor<float>({1, 2}, {3, 4}), tensor<float>({1, 2}, {3, 4})});
  auto element = test::make<TransformInplace>("tensor_postproc_embedding");
  EXPECT_THAT(test::message_of(test::run(*element, frame, {"a", "b"})),
              HasSubstr("layer-name has to say which of the outputs is meant: a float32 1x2, b float32 1x2"));
}

}  // namespace
}  // namespace sightglass
