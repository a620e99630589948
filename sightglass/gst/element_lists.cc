#include "sightglass/gst/element_lists.h"

#include <utility>

#include "sightglass/gst/batch/batch_order.h"
#include "sightglass/gst/frame_meta.h"

namespace sightglass::gst {

Status ListedFrames::run(GstBufferList* list, FrameBridge& input, bool reads_results, Transform& element,
                         Output& out) {
  size_t count = 0;
  guint behind_last = 0;  // place in the list
  for (guint i = 0; i < gst_buffer_list_length(list); ++i)
    if (!is_gap(gst_buffer_list_get(list, i))) behind_last = i + 1;
  Status status;
  for (guint i = 0; i < behind_last && status; ++i) {
    auto* buffer = gst_buffer_list_get(list, i);
    if (is_gap(buffer)) {
      Gap gap = to_gap(buffer);
      if (count > 0) announce(gap, int(count));
      status = element.gap(gap, out);
      continue;
    }
    if (frames_.size() == count) frames_.emplace_back();
    status = input.read(buffer, reads_results, frames_[count++]);
  }
  if (status && count > 0) status = element.process_list({frames_.data(), count}, out);
  for (size_t i = 0; i < count; ++i) frames_[i].clear();
  for (guint i = behind_last; i < gst_buffer_list_length(list) && status; ++i)
    status = element.gap(to_gap(gst_buffer_list_get(list, i)), out);
  return status;
}

GstFlowReturn HeldBuffers::push(GstPad* pad, GstBuffer* buffer, bool more) {
  if (!more && !list_) return gst_pad_push(pad, buffer);
  if (!list_) list_ = gst_buffer_list_new_sized(most);
  gst_buffer_list_add(list_, buffer);
  return more && gst_buffer_list_length(list_) < most ? GST_FLOW_OK : send(pad);
}

GstFlowReturn HeldBuffers::send(GstPad* pad) {
  auto* list = std::exchange(list_, nullptr);
  return list ? gst_pad_push_list(pad, list) : GST_FLOW_OK;
}

void HeldBuffers::drop() {
  if (auto* list = std::exchange(list_, nullptr)) gst_buffer_list_unref(list);
}

GstFlowReturn chain_one_by_one(GstPad* pad, GstObject* parent, GstBufferList* list) {
  list = gst_buffer_list_make_writable(list);
  GstFlowReturn flow = GST_FLOW_OK;
  while (flow == GST_FLOW_OK && gst_buffer_list_length(list) > 0) {
    auto* buffer = gst_buffer_ref(gst_buffer_list_get(list, 0));
    gst_buffer_list_remove(list, 0, 1);
    flow = GST_PAD_CHAINFUNC(pad)(pad, parent, buffer);
  }
  gst_buffer_list_unref(list);
  return flow;
}

}  // namespace sightglass::gst
