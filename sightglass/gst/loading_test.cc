#include "sightglass/gst/loading.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sightglass::gst {
namespace {

using Said = std::vector<std::pair<GstProgressType, std::string>>;

// What has been posted since the bus was looked at last.
Said posted(GstBus* bus) {
  Said said;
  while (GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_PROGRESS)) {
    GstProgressType type;
    gchar *code = nullptr, *text = nullptr;
    gst_message_parse_progress(message, &type, &code, &text);
    EXPECT_STREQ(code, "load-model");
    said.emplace_back(type, text);
    g_free(code);
    g_free(text);
    gst_message_unref(message);
  }
  return said;
}

TEST(Loading, PostsWhatTakesLongAndThatItIsOver) {
  gst_init(nullptr, nullptr);
  GstElement* const element = gst_pipeline_new("loads");
  GstBus* const bus = gst_element_get_bus(element);
  {
    const Loading quick(element);
  }
  EXPECT_TRUE(posted(bus).empty());
  {
    const Loading slow(element);
    tell_load_progress("building an engine");
    tell_load_progress("building another");
  }
  EXPECT_EQ(posted(bus), (Said{{GST_PROGRESS_TYPE_START, "building an engine"},
                               {GST_PROGRESS_TYPE_CONTINUE, "building another"},
                               {GST_PROGRESS_TYPE_COMPLETE, "the model is loaded"}}));
  {
    Loading failing(element);
    tell_load_progress("building a third");
    failing.fail({ErrorCode::exhausted, "no memory"});
  }
  EXPECT_EQ(posted(bus),
            (Said{{GST_PROGRESS_TYPE_START, "building a third"}, {GST_PROGRESS_TYPE_ERROR, "no memory"}}));
  gst_object_unref(bus);
  gst_object_unref(element);
}

}  // namespace
}  // namespace sightglass::gst
