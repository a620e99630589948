#include "sightglass/gst/each_element.h"

namespace sightglass::gst {

void each_element(GstBin* bin, const std::function<void(GstElement*)>& visit) {
  auto* elements = gst_bin_iterate_recurse(bin);
  GValue item = G_VALUE_INIT;
  for (;;) {
    const auto next = gst_iterator_next(elements, &item);
    if (next == GST_ITERATOR_RESYNC) {
      gst_iterator_resync(elements);
      continue;
    }
    if (next != GST_ITERATOR_OK) break;
    visit(GST_ELEMENT(g_value_get_object(&item)));
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(elements);
}

}  // namespace sightglass::gst
