#include "python/src/bindings.h"

namespace sightglass::python {

Frame& FrameObject::native() {
  if (!regions.is_valid()) return frame;
  frame.regions.clear();
  for (nb::handle item : regions) {
    if (!nb::isinstance<Region>(item)) throw nb::type_error("frame.regions may only hold Region objects");
    frame.regions.push_back(nb::cast<Region>(item));
  }
  return frame;
}

nb::list FrameObject::region_list() {
  if (!regions.is_valid()) {
    nb::list list;
    for (const Region& region : frame.regions) list.append(region);
    regions = list;
  }
  return nb::borrow<nb::list>(regions);
}

Format format_of(const FrameObject& object) {
  const Frame& frame = object.frame;
  Format format;
  if (!frame.tensors.empty() && frame.tensors[0].memory) format.memory = frame.tensors[0].memory->kind();
  if (frame.video) {
    format.media = *frame.video;
    return format;
  }
  TensorsInfo info;
  if (object.info) info.model = object.info->model;
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    const Tensor& tensor = frame.tensors[i];
    TensorInfo one{.type = tensor.type, .shape = tensor.shape, .layout = tensor.layout};
    if (!tensor.dense()) one.strides = tensor.strides;
    if (object.info && i < object.info->tensors.size()) one.name = object.info->tensors[i].name;
    info.tensors.push_back(std::move(one));
  }
  format.media = std::move(info);
  return format;
}

}  // namespace sightglass::python
