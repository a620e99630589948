#include "sightglass/gst/each_element.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

GstElement* add(GstBin* bin, const char* name) {
  GstElement* const element = gst_element_factory_make("identity", name);
  gst_bin_add(bin, element);
  return element;
}

TEST(EachElement, VisitsThoseInsideOfBinsToo) {
  gst_init(nullptr, nullptr);
  const ElementPtr outer(GST_ELEMENT(gst_object_ref_sink(gst_bin_new("outer"))));
  GstElement* const inner = gst_bin_new("inner");
  gst_bin_add(GST_BIN(outer.get()), inner);
  add(GST_BIN(outer.get()), "a");
  add(GST_BIN(inner), "b");
  std::multiset<std::string> names;
  each_element(GST_BIN(outer.get()), [&](GstElement* element) { names.insert(GST_ELEMENT_NAME(element)); });
  EXPECT_EQ(names, (std::multiset<std::string>{"a", "b", "inner"}));
}

TEST(EachElement, MissesNoneWhenTheBinChangesMeanwhile) {
  gst_init(nullptr, nullptr);
  const ElementPtr outer(GST_ELEMENT(gst_object_ref_sink(gst_bin_new("outer"))));
  GstBin* const bin = GST_BIN(outer.get());
  for (const char* name : {"a", "b", "c", "d"}) add(bin, name);
  std::set<std::string> names;
  bool has_changed = false;
  each_element(bin, [&](GstElement* element) {
    names.insert(GST_ELEMENT_NAME(element));
    if (!std::exchange(has_changed, true)) add(bin, "late");
  });
  EXPECT_EQ(names, (std::set<std::string>{"a", "b", "c", "d", "late"}));
}

}  // namespace
}  // namespace sightglass::gst
