"""What the models of make.py are built with: a graph from calls, and what reads a picture."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT, CELL, ROWS = 96, 64, 8, 16
OBJECTS = ["person", "car", "bike"]
MOODS = ["glad", "calm", "sad"]  # of a red, a green, a blue face

F32, F16, U8, I64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64


class Graph:
    """Builds a graph from calls: graph.Add(a, b) appends a node and gives the name of its output."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def __getattr__(self, operator):
        def add(*inputs, outputs=1, **attributes):
            inputs = [name if isinstance(name, str) else self.constant(name) for name in inputs]
            names = [f"{operator}_{len(self.nodes)}_{i}" for i in range(outputs)]
            self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
            return names[0] if outputs == 1 else names

        return add

    def constant(self, value, dtype=np.float32):
        value = np.asarray(value)
        if value.dtype == np.float64:
            value = value.astype(dtype)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, value, dtype, shape):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def model(self, **metadata):
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.constants)
        made = helper.make_model(
            graph, producer_name="sightglass tests", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
        )
        if metadata:
            helper.set_model_props(made, metadata)
        onnx.checker.check_model(made)
        return made


def ints(*values):
    return np.array(values, dtype=np.int64)


def colours(g, image, order="bgr"):
    """How much each colour outweighs the other two, 0..1, as [N,3,H,W] in the order red, green, blue."""
    planes = dict(zip(order, g.Split(g.Div(image, 255.0), axis=1, outputs=3)))
    r, gr, b = planes["r"], planes["g"], planes["b"]
    lead = g.Concat(g.Sub(r, g.Max(gr, b)), g.Sub(gr, g.Max(r, b)), g.Sub(b, g.Max(r, gr)), axis=1)
    return g.Div(g.Relu(g.Sub(lead, 0.1)), 0.9)


def columns(g, values, axis=2):
    return g.Concat(*(g.Unsqueeze(v, ints(axis)) for v in values), axis=axis)


def image_input(g, dtype=F32, batch=1, height=HEIGHT, width=WIDTH, channels=3, nhwc=False):
    shape = [batch, height, width, channels] if nhwc else [batch, channels, height, width]
    name = g.input("data", dtype, shape)
    if nhwc:
        name = g.Transpose(name, perm=[0, 3, 1, 2])
    return name if dtype == F32 else g.Cast(name, to=F32)
