"""Copies a model with the metadata that GStreamer's onnxinference asks for, an entry per output:
add_tensor_ids.py FROM TO
"""

import sys

import onnx

model = onnx.load(sys.argv[1])
for output in model.graph.output:
    entry = model.metadata_props.add()
    entry.key, entry.value = output.name, output.name.replace("/", "-")
onnx.save(model, sys.argv[2])
