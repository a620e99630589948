// What other frameworks call the outputs of a model: GStreamer's decoders look for tensors by ids such as
// "Gst.Model.ObjectDetector.Boxes", which an ONNX file gives as a metadata entry named like the output.
// Remembered for the life of the process, by the name of the tensor as it travels with a frame
// ("model/layer"). Thread-safe; takes a lock.
#pragma once

#include "sightglass/core/label.h"
#include "sightglass/model/signature.h"

namespace sightglass {

// `model` is the name that results of this model bear.
void remember_tensor_ids(std::string_view model, const ModelSignature& signature);

// The id of the tensor "model/layer"; that name itself where no model has said another.
Label tensor_id(Label tensor);

}  // namespace sightglass
