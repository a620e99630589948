#!/usr/bin/env python3
"""Makes the tiny models that the pipeline tests run on: a few kB each, the same bytes every time.

    make.py FOLDER

The detectors are not trained but they do detect: a pixel counts for a class as far as one colour outweighs
the other two (red: person, green: car, blue: bike), and an object's centre, size and score are moments of
those pixels around a peak of an 8-pixel grid. So boxes follow the picture smoothly and a score is the
saturation of the object's colour. That holds for objects of 8 to 16 model pixels that keep 24 pixels away
from others of their class; tests/pipelines/inputs.py draws such pictures and knows the right answers.

Every model is 96 wide and 64 high where nothing else is said, so that swapped sides show. See models() for
the list.
"""

import json
import sys
from pathlib import Path

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


# ---- detectors


def colours(g, image, order="bgr"):
    """How much each colour outweighs the other two, 0..1, as [N,3,H,W] in the order red, green, blue."""
    planes = dict(zip(order, g.Split(g.Div(image, 255.0), axis=1, outputs=3)))
    r, gr, b = planes["r"], planes["g"], planes["b"]
    lead = g.Concat(g.Sub(r, g.Max(gr, b)), g.Sub(gr, g.Max(r, b)), g.Sub(b, g.Max(r, gr)), axis=1)
    return g.Div(g.Relu(g.Sub(lead, 0.1)), 0.9)


def objects(g, image, classes=3, order="bgr"):
    """Score and box of every cell as maps [N,classes,h,w]: score, centre x and y, width, height in model
    pixels.
    """
    weight = colours(g, image, order)
    if classes == 1:
        weight = g.ReduceMax(weight, axes=[1], keepdims=1)
    x = (np.arange(WIDTH) + 0.5 - WIDTH / 2).reshape(1, 1, 1, WIDTH)
    y = (np.arange(HEIGHT) + 0.5 - HEIGHT / 2).reshape(1, 1, HEIGHT, 1)
    wx, wy = g.Mul(weight, x), g.Mul(weight, y)
    maps = g.Concat(weight, wx, wy, g.Mul(wx, x), g.Mul(wy, y), g.Mul(weight, weight), axis=1)
    window = 3 * CELL
    sums = g.Mul(
        g.AveragePool(
            maps, kernel_shape=[window] * 2, strides=[CELL] * 2, pads=[CELL] * 4, count_include_pad=1
        ),
        float(window * window),
    )
    s, sx, sy, sxx, syy, ss = g.Split(sums, axis=1, outputs=6)
    mass = g.Max(s, 0.001)
    mx, my = g.Div(sx, mass), g.Div(sy, mass)
    # The variance of a uniform bar is its length squared over 12.
    side = lambda second, mean: g.Sqrt(g.Mul(g.Relu(g.Sub(g.Div(second, mass), g.Mul(mean, mean))), 12.0))
    score = g.Mul(g.Div(ss, mass), g.Clip(g.Div(s, 16.0), 0.0, 1.0))
    # A peak is the fullest of its neighbours; equally full ones are told apart by their place.
    rows, columns = HEIGHT // CELL, WIDTH // CELL
    place = np.arange(rows * columns).reshape(1, 1, rows, columns) * 1e-4
    full = g.AveragePool(weight, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    ranked = g.Add(full, place)
    peak = g.And(
        g.Equal(ranked, g.MaxPool(ranked, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)),
        g.Greater(full, 0.05),
    )
    return (
        g.Where(peak, score, 0.0),
        g.Add(mx, WIDTH / 2),
        g.Add(my, HEIGHT / 2),
        side(sxx, mx),
        side(syy, my),
    )


def best(g, maps, classes):
    """The ROWS best objects: score, class, x1, y1, x2, y2, each [N,ROWS]; a score of 0 is no object."""
    score, cx, cy, w, h = (g.Reshape(m, ints(0, -1)) for m in maps)
    score, index = g.TopK(score, ints(ROWS), axis=1, outputs=2)
    cx, cy, w, h = (g.GatherElements(m, index, axis=1) for m in (cx, cy, w, h))
    cells = (HEIGHT // CELL) * (WIDTH // CELL)
    label = g.Cast(g.Div(index, ints(cells)), to=F32) if classes > 1 else g.Mul(score, 0.0)
    w, h = g.Div(w, 2.0), g.Div(h, 2.0)
    return score, label, g.Sub(cx, w), g.Sub(cy, h), g.Add(cx, w), g.Add(cy, h)


def columns(g, values, axis=2):
    return g.Concat(*(g.Unsqueeze(v, ints(axis)) for v in values), axis=axis)


def ssd_rows(g, image, classes=3, order="bgr"):
    """[N,ROWS,7]: image id (-1 behind the last object), class, score, x1, y1, x2, y2 in 0..1."""
    score, label, x1, y1, x2, y2 = best(g, objects(g, image, classes, order), classes)
    image_id = g.Sub(g.Cast(g.Greater(score, 0.0), to=F32), 1.0)
    unit = lambda v, size: g.Div(v, float(size))
    return columns(
        g, [image_id, label, score, unit(x1, WIDTH), unit(y1, HEIGHT), unit(x2, WIDTH), unit(y2, HEIGHT)]
    )


def image_input(g, dtype=F32, batch=1, height=HEIGHT, width=WIDTH, channels=3, nhwc=False):
    shape = [batch, height, width, channels] if nhwc else [batch, channels, height, width]
    name = g.input("data", dtype, shape)
    if nhwc:
        name = g.Transpose(name, perm=[0, 3, 1, 2])
    return name if dtype == F32 else g.Cast(name, to=F32)


def ssd(dtype=F32, classes=3, extra=None):
    """Output [1,1,ROWS,7]; `extra` makes a value [1] from the image that is added to the first column."""
    g = Graph()
    image = image_input(g, dtype)
    rows = g.Unsqueeze(ssd_rows(g, image, classes), ints(1))
    if extra:
        rows = g.Add(rows, extra(g, image))
    out = F16 if dtype == F16 else F32
    if out == F16:
        rows = g.Cast(rows, to=F16)
    g.output("detection_out", rows, out, [1, 1, ROWS, 7])
    return g.model()


def ssd_upstream():
    """What GStreamer's ssdobjectdetector wants: boxes as y1, x1, y2, x2, scores, classes and their number, with the
    ids of its tensors in the metadata."""
    g = Graph()
    rows = ssd_rows(g, image_input(g))
    column = lambda *which: g.Gather(rows, ints(*which), axis=2)
    flat = lambda value: g.Squeeze(value, ints(2))
    g.output("boxes", column(4, 3, 6, 5), F32, [1, ROWS, 4])
    g.output("classes", flat(column(1)), F32, [1, ROWS])
    g.output("scores", flat(column(2)), F32, [1, ROWS])
    g.output("count", g.Constant(value=numpy_helper.from_array(np.array([ROWS], np.float32))), F32, [1])
    ids = {"boxes": "Boxes", "classes": "Classes", "scores": "Scores", "count": "NumDetections"}
    return g.model(**{name: f"Gst.Model.ObjectDetector.{id}" for name, id in ids.items()})


def det_batch():
    """Any batch; [N,ROWS,6]: x1, y1, x2, y2 in 0..1, score, class."""
    g = Graph()
    rows = ssd_rows(g, image_input(g, batch="N"))
    g.output("boxes", g.Gather(rows, ints(3, 4, 5, 6, 2, 1), axis=2), F32, ["N", ROWS, 6])
    return g.model()


def centernet():
    """NHWC RGB in, [1,ROWS,6] out: x1, y1, x2, y2 in model pixels, score, class."""
    g = Graph()
    image = image_input(g, nhwc=True)
    score, label, x1, y1, x2, y2 = best(g, objects(g, image, order="rgb"), 3)
    g.output("detections", columns(g, [x1, y1, x2, y2, score, label]), F32, [1, ROWS, 6])
    return g.model()


def grid_rows():
    return sum((HEIGHT // stride) * (WIDTH // stride) for stride in (8, 16, 32))


def cell_values(g, image):
    """Per cell of stride 8, [1,96,k] each: best score, scores of the classes, centre, size."""
    maps = objects(g, image)
    cell = lambda m: g.Transpose(g.Reshape(m, ints(1, 3, -1)), perm=[0, 2, 1])
    score, cx, cy, w, h = (cell(m) for m in maps)
    top = g.Unsqueeze(g.ArgMax(score, axis=2, keepdims=0), ints(2))
    pick = lambda m: g.GatherElements(m, top, axis=2)
    return pick(score), score, pick(cx), pick(cy), pick(w), pick(h)


def padded(g, rows, values):
    """Fills the rows of strides 16 and 32, where nothing is found, with zeros."""
    cells = (HEIGHT // CELL) * (WIDTH // CELL)
    return g.Concat(rows, np.zeros((1, grid_rows() - cells, values), np.float32), axis=1)


def yolox():
    """[1,126,8]: centre within the cell and log size in strides, objectness, class scores."""
    g = Graph()
    obj, score, cx, cy, w, h = cell_values(g, image_input(g))
    row, column = np.divmod(np.arange((HEIGHT // CELL) * (WIDTH // CELL)), WIDTH // CELL)
    grid = lambda v, place: g.Sub(g.Div(v, float(CELL)), place.reshape(1, -1, 1).astype(np.float32))
    size = lambda v: g.Log(g.Max(g.Div(v, float(CELL)), 0.01))
    # score = objectness · class, so that each is the root of it.
    rows = g.Concat(grid(cx, column), grid(cy, row), size(w), size(h), g.Sqrt(obj), g.Sqrt(score), axis=2)
    g.output("output", padded(g, rows, 8), F32, [1, grid_rows(), 8])
    return g.model()


def yolov8():
    """[1,7,126]: centre and size in model pixels, class scores; RGB 0..1 in."""
    g = Graph()
    image = g.Mul(image_input(g), 255.0)
    planes = g.Split(image, axis=1, outputs=3)
    _, score, cx, cy, w, h = cell_values(g, g.Concat(*reversed(planes), axis=1))
    rows = padded(g, g.Concat(cx, cy, w, h, score, axis=2), 7)
    g.output("output0", g.Transpose(rows, perm=[0, 2, 1]), F32, [1, 7, grid_rows()])
    return g.model()


def logit(g, probability):
    p = g.Clip(probability, 1e-6, 1 - 1e-6)
    return g.Log(g.Div(p, g.Sub(1.0, p)))


def levels(g, cells, values, fill=0.0):
    """The rows of stride 8 as they are, those of 16 and 32 with nothing found."""
    empty = lambda stride: np.full((1, (HEIGHT // stride) * (WIDTH // stride), values), fill, np.float32)
    return {8: cells, 16: g.Identity(empty(16)), 32: g.Identity(empty(32))}


def yolov5():
    """[1,3,h,w,8] for strides 8, 16, 32: logits of centre, size, objectness, classes; all in the first anchor, 10×13."""
    g = Graph()
    obj, score, cx, cy, w, h = cell_values(g, image_input(g))
    row, column = np.divmod(np.arange((HEIGHT // CELL) * (WIDTH // CELL)), WIDTH // CELL)
    place = lambda v, at: g.Div(g.Add(g.Sub(g.Div(v, float(CELL)), at.reshape(1, -1, 1).astype(np.float32)), 0.5), 2.0)
    side = lambda v, anchor: g.Div(g.Sqrt(g.Div(v, anchor)), 2.0)
    values = [place(cx, column), place(cy, row), side(w, 10.0), side(h, 13.0), g.Sqrt(obj), g.Sqrt(score)]
    cells = logit(g, g.Concat(*values, axis=2))
    for stride, rows in levels(g, cells, 8, -20.0).items():
        shape = (HEIGHT // stride, WIDTH // stride)
        first = g.Reshape(rows, ints(1, 1, *shape, 8))
        others = np.full((1, 2, *shape, 8), -20.0, np.float32)
        g.output(f"grid_{stride}", g.Concat(first, others, axis=1), F32, [1, 3, *shape, 8])
    return g.model()


def picodet():
    """Scores [1,n,3] and distances to the sides of a box as distributions [1,n,32] for strides 8, 16, 32."""
    g = Graph()
    _, score, cx, cy, w, h = cell_values(g, image_input(g))
    row, column = np.divmod(np.arange((HEIGHT // CELL) * (WIDTH // CELL)), WIDTH // CELL)
    middle = lambda at: (at.reshape(1, -1, 1) + 0.5).astype(np.float32)
    cells = lambda v: g.Div(v, float(CELL))
    x, y, half_w, half_h = cells(cx), cells(cy), cells(g.Div(w, 2.0)), cells(g.Div(h, 2.0))
    sides = [
        g.Sub(middle(column), g.Sub(x, half_w)),
        g.Sub(middle(row), g.Sub(y, half_h)),
        g.Sub(g.Add(x, half_w), middle(column)),
        g.Sub(g.Add(y, half_h), middle(row)),
    ]
    # The mean of two neighbouring bins.
    bins = np.arange(8, dtype=np.float32).reshape(1, 1, 8)
    share = lambda side: g.Log(g.Max(g.Sub(1.0, g.Abs(g.Sub(g.Clip(side, 0.0, 7.0), bins))), 1e-9))
    distances = g.Concat(*(share(side) for side in sides), axis=2)
    for name, rows, values in (("cls", score, 3), ("dis", distances, 32)):
        for stride, level in levels(g, rows, values).items():
            count = (HEIGHT // stride) * (WIDTH // stride)
            g.output(f"{name}_{stride}", level, F32, [1, count, values])
    return g.model()


def face_cells(g, image):
    """Per cell of stride 8, [1,96,1] each: score, centre and size relative to the cell's corner, in cells."""
    score, cx, cy, w, h = (
        g.Transpose(g.Reshape(m, ints(1, 1, -1)), perm=[0, 2, 1]) for m in objects(g, image, classes=1)
    )
    row, column = np.divmod(np.arange((HEIGHT // CELL) * (WIDTH // CELL)), WIDTH // CELL)
    place = lambda v, at: g.Sub(g.Div(v, float(CELL)), at.reshape(1, -1, 1).astype(np.float32))
    return score, place(cx, column), place(cy, row), g.Div(w, float(CELL)), g.Div(h, float(CELL))


def yunet():
    """cls, obj [1,n,1], bbox [1,n,4], kps [1,n,10] for strides 8, 16, 32; all points are the centre."""
    g = Graph()
    score, x, y, w, h = face_cells(g, image_input(g))
    size = lambda v: g.Log(g.Max(v, 0.01))
    parts = {
        "cls": (score, 1),
        "obj": (score, 1),
        "bbox": (g.Concat(x, y, size(w), size(h), axis=2), 4),
        "kps": (g.Concat(*[x, y] * 5, axis=2), 10),
    }
    for name, (rows, values) in parts.items():
        for stride, level in levels(g, rows, values).items():
            count = (HEIGHT // stride) * (WIDTH // stride)
            g.output(f"{name}_{stride}", level, F32, [1, count, values])
    return g.model()


def blaze():
    """Logits [1,96,1], and [1,96,8] in pixels: box from the middle of the cell, two points at its centre."""
    g = Graph()
    score, x, y, w, h = face_cells(g, image_input(g))
    pixels = lambda v, less=0.0: g.Mul(g.Sub(v, less), float(CELL))
    x, y = pixels(x, 0.5), pixels(y, 0.5)
    g.output("scores", logit(g, score), F32, [1, 96, 1])
    g.output("boxes", g.Concat(x, y, pixels(w), pixels(h), x, y, x, y, axis=2), F32, [1, 96, 8])
    return g.model()


def detr():
    """logits [1,ROWS,3] and pred_boxes [1,ROWS,4], centre and size in 0..1."""
    g = Graph()
    score, label, x1, y1, x2, y2 = best(g, objects(g, image_input(g)), 3)
    chosen = g.Cast(g.Equal(g.Unsqueeze(label, ints(2)), np.arange(3).reshape(1, 1, 3).astype(np.float32)), to=F32)
    g.output("logits", logit(g, g.Mul(g.Unsqueeze(score, ints(2)), chosen)), F32, [1, ROWS, 3])
    middle = lambda a, b, size: g.Div(g.Add(a, b), 2.0 * size)
    length = lambda a, b, size: g.Div(g.Sub(b, a), float(size))
    boxes = [middle(x1, x2, WIDTH), middle(y1, y2, HEIGHT), length(x1, x2, WIDTH), length(y1, y2, HEIGHT)]
    g.output("pred_boxes", columns(g, boxes), F32, [1, ROWS, 4])
    return g.model()


def ultraface():
    """scores [1,ROWS,2] (background, face) and boxes [1,ROWS,4] in 0..1."""
    g = Graph()
    rows = ssd_rows(g, image_input(g), classes=1)
    score = g.Gather(rows, ints(2), axis=2)
    g.output("scores", g.Concat(g.Sub(1.0, score), score, axis=2), F32, [1, ROWS, 2])
    g.output("boxes", g.Gather(rows, ints(3, 4, 5, 6), axis=2), F32, [1, ROWS, 4])
    return g.model()


def work(g, image):
    """A loop whose result is 0 but is not known before it has run; about 50 ms on one core."""
    side = 256
    seed = g.ReduceMean(image, axes=[0, 1, 2, 3], keepdims=0)
    line = g.Range(np.float32(0), np.float32(side), np.float32(1))
    matrix = g.Div(g.Cos(g.Add(line, g.Unsqueeze(line, ints(1)))), side / 2.0)
    body = Graph()
    body.inputs = [
        helper.make_tensor_value_info("i", I64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("state", F32, [side, side]),
    ]
    state = body.Tanh(body.MatMul("state", matrix))
    body.output("on", "go", TensorProto.BOOL, [])
    body.output("next", state, F32, [side, side])
    loop = helper.make_graph(body.nodes, "body", body.inputs, body.outputs, body.constants)
    start = g.Expand(g.Div(seed, 255.0), ints(side, side))
    final = g.Loop(ints(260), np.array(True), start, body=loop)
    return g.Mul(g.ReduceMean(final, axes=[0, 1], keepdims=0), 0.0)


def trap(g, image):
    """0, but an index out of range where the upper left corner is white."""
    corner = g.ReduceMean(g.Slice(image, ints(0, 0), ints(4, 4), ints(2, 3)), axes=[0, 1, 2, 3], keepdims=0)
    index = g.Mul(g.Cast(g.Greater(corner, 230.0), to=I64), ints(7))
    return g.Gather(np.zeros(1, np.float32), index, axis=0)


# ---- others


def mean_colour(g, image):
    """[N,3]: red, green, blue, weighted by how clear the colour is, 0..1."""
    lead = colours(g, image)
    total = g.ReduceSum(lead, ints(2, 3), keepdims=0)
    return g.Div(total, g.Max(g.ReduceSum(total, ints(1), keepdims=1), 0.001))


def mood(batch=1):
    """[N,3]: probability of glad, calm, sad: how much of the picture is red, green, blue."""
    g = Graph()
    image = image_input(g, batch=batch, height=32, width=24)
    g.output("prob", g.Softmax(g.Mul(mean_colour(g, image), 6.0), axis=1), F32, [batch, 3])
    return g.model()


def mood_info():
    """As mood(), but blind unless `info` is [height, width, 1] of the picture and `sequence` is 1."""
    g = Graph()
    image = image_input(g, height=32, width=24)
    info, sequence = g.input("info", F32, [1, 3]), g.input("sequence", F32, [1, 1])
    wrong = g.Add(
        g.ReduceSum(g.Abs(g.Sub(info, np.array([[32.0, 24.0, 1.0]]))), ints(1)), g.Abs(g.Sub(sequence, 1.0))
    )
    sees = g.Cast(g.Less(wrong, 0.5), to=F32)
    g.output("prob", g.Softmax(g.Mul(g.Mul(mean_colour(g, image), 6.0), sees), axis=1), F32, [1, 3])
    return g.model()


def age_gender():
    """`prob` [1,2]: f (red) or m; `age` [1,1]: mean brightness, 0..1."""
    g = Graph()
    image = image_input(g, height=62, width=62)
    red = g.Gather(mean_colour(g, image), ints(0), axis=1)
    g.output("prob", g.Concat(red, g.Sub(1.0, red), axis=1), F32, [1, 2])
    g.output("age", g.Div(g.ReduceMean(image, axes=[2, 3, 1], keepdims=0), 255.0), F32, None)
    g.outputs[-1].type.tensor_type.shape.dim.add().dim_value = 1
    return g.model()


def features(g, image, rows, columns_):
    """[1,3·rows·columns]: the colours of a coarse grid."""
    pool = [image_shape // n for image_shape, n in zip((64, 32), (rows, columns_))]
    return g.Reshape(g.AveragePool(colours(g, image), kernel_shape=pool, strides=pool), ints(1, -1))


def embedding():
    """[1,24], not normalised: the colours of a 4×2 grid."""
    g = Graph()
    g.output("embedding", features(g, image_input(g, height=64, width=32), 4, 2), F32, [1, 24])
    return g.model()


def encoder():
    """[1,12] features of one picture."""
    g = Graph()
    g.output("features", features(g, image_input(g, height=64, width=32), 2, 2), F32, [1, 12])
    return g.model()


def decoder(window=4):
    """The features of `window` pictures [1,4,12] to three logits: how red, green, blue they are altogether."""
    g = Graph()
    values = g.input("window", F32, [1, window, 12])
    planes = g.Reshape(values, ints(window, 3, 4))
    g.output("logits", g.Unsqueeze(g.ReduceSum(planes, ints(0, 2), keepdims=0), ints(0)), F32, [1, 3])
    return g.model()


def class_map():
    """Scores of the three colours for each pixel [1,4,64,96], and of the background first."""
    g = Graph()
    colour = colours(g, image_input(g))
    nothing = g.Add(g.Mul(g.ReduceMax(colour, axes=[1], keepdims=1), 0.0), 0.3)
    g.output("map", g.Concat(nothing, colour, axis=1), F32, [1, 4, HEIGHT, WIDTH])
    return g.model()


def text_map():
    """How coloured each pixel is [1,1,64,96], as a text detector says how much text there is."""
    g = Graph()
    g.output("map", g.ReduceMax(colours(g, image_input(g)), axes=[1], keepdims=1), F32, [1, 1, HEIGHT, WIDTH])
    return g.model()


def sequence():
    """The colours of six columns, from left to right, as steps of a text recogniser [1,6,4]; the blank comes first."""
    g = Graph()
    columns_ = g.AveragePool(colours(g, image_input(g, height=16, width=48)), kernel_shape=[16, 8], strides=[16, 8])
    blank = g.Add(g.Mul(g.ReduceMax(columns_, axes=[1], keepdims=1), 0.0), 0.25)
    steps = g.Transpose(g.Squeeze(g.Concat(blank, columns_, axis=1), ints(2)), perm=[0, 2, 1])
    g.output("steps", steps, F32, [1, 6, 4])
    return g.model()


def pose():
    """Points in the middle of all that is red, green and blue, and in the middle of these: y, x, score [1,1,4,3]."""
    g = Graph()
    weight = colours(g, image_input(g))
    x = ((np.arange(WIDTH) + 0.5) / WIDTH).reshape(1, 1, 1, WIDTH)
    y = ((np.arange(HEIGHT) + 0.5) / HEIGHT).reshape(1, 1, HEIGHT, 1)
    total = lambda value: g.ReduceSum(value, ints(2, 3), keepdims=0)
    mass = total(weight)
    at = lambda place: g.Div(total(g.Mul(weight, place)), g.Max(mass, 0.001))
    points = columns(g, [at(y), at(x), g.Clip(g.Div(mass, 16.0), 0.0, 1.0)])
    points = g.Concat(points, g.ReduceMean(points, axes=[1], keepdims=1), axis=1)
    g.output("points", g.Unsqueeze(points, ints(1)), F32, [1, 1, 4, 3])
    return g.model()


def two_inputs():
    """Takes two pictures, which no element feeds: a model that has to be refused."""
    g = Graph()
    a, b = g.input("left", F32, [1, 3, 32, 32]), g.input("right", F32, [1, 3, 32, 32])
    g.output("difference", g.ReduceMean(g.Abs(g.Sub(a, b)), axes=[1, 2, 3], keepdims=0), F32, [1])
    return g.model()


# ---- the same network for ONNX Runtime and PyTorch


def net_weights():
    """Of a convolution 3→4, 3×3, stride 2, and a linear layer 4→3."""
    numbers = lambda *shape: (np.sin(np.arange(np.prod(shape)) * 1.7 + 1) / 4).astype(np.float32).reshape(shape)
    return numbers(4, 3, 3, 3), numbers(4), numbers(3, 4), numbers(3)


def net():
    """Any size; [1,3] out: linear(mean(relu(convolution)))."""
    g = Graph()
    kernel, bias, matrix, offset = net_weights()
    image = image_input(g, height="H", width="W")
    features = g.Relu(g.Conv(image, kernel, bias, strides=[2, 2]))
    pooled = g.ReduceMean(features, axes=[2, 3], keepdims=0)
    g.output("scores", g.Gemm(pooled, matrix, offset, transB=1), F32, [1, 3])
    return g.model()


def write_torch_models(folder):
    """TorchScript models, where PyTorch is installed; torch/torch_engine_test.cc says what each is for."""
    try:
        import torch
    except ImportError:
        return
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(__file__).parent))
    import torch_nets

    kernel, bias, matrix, offset = (torch.from_numpy(value) for value in net_weights())
    network = torch_nets.Net()
    weights = {"conv.weight": kernel, "conv.bias": bias, "linear.weight": matrix, "linear.bias": offset}
    network.load_state_dict(weights)
    save = lambda module, name, **extra: torch.jit.script(module.eval()).save(str(folder / name), **extra)
    save(network, "net.pt")
    save(network, "net_exported.torchscript.pt", _extra_files={"config.txt": '{"imgsz": [64, 96], "task": "classify"}'})
    torch.jit.trace(network, torch.zeros(1, 3, 64, 96)).save(str(folder / "net_traced.pt"))
    torch.save(weights, folder / "net_same.pth")
    torch.save({name: value * 2 for name, value in weights.items()}, folder / "net_doubled.pth")
    torch.save(network.state_dict(), folder / "net_weights.pth")
    for name in ("Mood", "Heads", "Named", "Nested", "Same", "Words", "Complex", "Picky", "Listed"):
        save(getattr(torch_nets, name)(), name.lower() + ".pt")
    whole = (folder / "net.pt").read_bytes()
    (folder / "damaged.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "not_torch.pt").write_bytes(b"this is no archive")


# ---- descriptions


def description(name, task, image, *outputs):
    """A .sightglass.yaml; JSON is YAML, one line per entry keeps it readable."""
    lines = [
        "sightglass_model: 1",
        f"name: {name}",
        f"task: {task}",
        "input:",
        "  - " + json.dumps(image),
        "output:",
    ]
    return "\n".join(lines + ["  - " + json.dumps(output) for output in outputs]) + "\n"


def picture(**keys):
    size = keys.pop("size", [WIDTH, HEIGHT])
    return {
        "layer": "data",
        "size": size,
        "color": "bgr",
        "layout": "nchw",
        "dtype": "float32",
        "resize": "stretch",
        **keys,
    }


def detection(layer="detection_out", labels=OBJECTS, **keys):
    return {"decoder": "detection", "layer": layer, "labels": labels, "threshold": 0.5, **keys}


MOOD_PROC = {
    "json_schema_version": "2.2.0",
    "input_preproc": [
        {
            "layer_name": "data",
            "format": "image",
            "params": {"resize": "no-aspect-ratio", "color_space": "BGR"},
        }
    ],
    "output_postproc": [
        {
            "layer_name": "prob",
            "attribute_name": "mood",
            "converter": "label",
            "method": "max",
            "labels": MOODS,
        }
    ],
}


def loudness():
    """Mean of the absolute samples, [1,1], of [1,400] float32."""
    g = Graph()
    samples = g.input("samples", F32, [1, 400])
    g.output("level", g.ReduceMean(g.Abs(samples), axes=[1], keepdims=1), F32, [1, 1])
    return g.model()


def models():
    """name → (model, description or None)"""
    det = lambda name, image, *out: description(name, "detect", image, *(out or [detection()]))
    mood_of = lambda name: description(
        name,
        "classify",
        picture(size=[24, 32]),
        {"decoder": "label", "layer": "prob", "attribute": "mood", "method": "max", "labels": MOODS},
    )
    face = {"labels": ["face"]}
    return {
        "ssd_u8": (ssd(U8), None),  # $SSD: NCHW BGR, uint8
        "ssd_f32": (ssd(F32), None),  # the same network with float32 input
        "ssd_upstream": (ssd_upstream(), None),  # for ssdobjectdetector
        "det": (ssd(), det("det", picture())),  # $DET
        "det_letterbox": (ssd(), det("det-letterbox", picture(resize="letterbox", pad_value=[114]))),
        "det_topleft": (ssd(), det("det-topleft", picture(resize="letterbox-topleft", pad_value=[0]))),
        "det_f16": (ssd(F16), det("det-f16", picture(dtype="float16"))),
        "det_batch": (det_batch(), det("det-batch", picture(), detection("boxes", box_units="unit"))),
        "det_slow": (ssd(extra=work), det("det-slow", picture())),
        "det_trap": (ssd(extra=trap), det("det-trap", picture())),
        # Says 64×64 and takes 96×64.
        "det_misfit": (ssd(), det("det-misfit", picture(size=[64, 64]))),
        "centernet": (
            centernet(),
            det(
                "centernet",
                picture(color="rgb", layout="nhwc"),
                detection("detections", box_units="pixel", iou_threshold=0.5),
            ),
        ),
        "yolox": (
            yolox(),
            det(
                "yolox",
                picture(resize="letterbox-topleft", pad_value=[114]),
                {
                    "decoder": "yolo",
                    "layer": "output",
                    "head": "x",
                    "labels": OBJECTS,
                    "threshold": 0.5,
                    "iou_threshold": 0.45,
                },
            ),
        ),
        "yolov8": (
            yolov8(),
            det(
                "yolov8",
                picture(color="rgb", resize="letterbox", pad_value=[114], range=[0, 1]),
                {
                    "decoder": "yolo",
                    "layer": "output0",
                    "head": "v8",
                    "labels": OBJECTS,
                    "threshold": 0.5,
                    "iou_threshold": 0.45,
                },
            ),
        ),
        "yolov5": (
            yolov5(),
            det(
                "yolov5",
                picture(),
                {
                    "decoder": "yolo",
                    "version": 5,
                    "do_cls_softmax": False,
                    "labels": OBJECTS,
                    "threshold": 0.5,
                    "iou_threshold": 0.45,
                },
            ),
        ),
        "picodet": (picodet(), det("picodet", picture(), {"decoder": "gfl", "labels": OBJECTS, "threshold": 0.5})),
        "detr": (detr(), det("detr", picture(), {"decoder": "detection", "labels": OBJECTS, "threshold": 0.5})),
        "yunet": (yunet(), None),
        "blaze": (
            blaze(),
            det("blaze", picture(), {"decoder": "ssd_anchor", "strides": [8], "keypoints": 2, "labels": ["face"]}),
        ),
        "face": (ssd(classes=1), det("face", picture(), detection(**face))),  # $FACE
        "ultraface": (
            ultraface(),
            det(
                "ultraface",
                picture(),
                {"decoder": "ultraface", "layers": ["scores", "boxes"], "threshold": 0.5, **face},
            ),
        ),
        "mood": (mood(), mood_of("mood")),  # $MOOD
        "mood_info": (mood_info(), None),
        "mood_batch4": (mood(4), mood_of("mood-batch4")),
        "mood_batch": (mood("N"), mood_of("mood-batch")),
        "age_gender": (age_gender(), None),  # $AGX
        "reid": (embedding(), None),  # $REID
        "encoder": (encoder(), None),  # $ENC
        "decoder": (decoder(), None),  # $DEC
        "class_map": (
            class_map(),
            description(
                "class-map", "segment", picture(), {"decoder": "segmentation", "labels": ["nothing", *OBJECTS]}
            ),
        ),
        "text_map": (
            text_map(),
            det(
                "text-map",
                picture(),
                {
                    "decoder": "segmentation",
                    "mode": "boxes",
                    "threshold": 0.3,
                    "box_expand": 0,
                    "minimum_side": 3,
                    "labels": ["text"],
                },
            ),
        ),
        "sequence": (
            sequence(),
            description(
                "sequence",
                "ocr",
                picture(size=[48, 16]),
                {"decoder": "ctc", "attribute": "text", "labels": ["r", "g", "b"]},
            ),
        ),
        "pose": (
            pose(),
            description(
                "pose",
                "pose",
                picture(),
                {"decoder": "human_pose", "point_names": [*OBJECTS, "middle"], "point_connections": ["person", "middle"]},
            ),
        ),
        "loudness": (loudness(), None),
        "two_inputs": (two_inputs(), None),
        "net": (net(), None),
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (model, text) in models().items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        if text:
            (folder / f"{name}.sightglass.yaml").write_text(text)
    (folder / "mood.json").write_text(json.dumps(MOOD_PROC, indent=2) + "\n")
    extra = [{"layer_name": n, "format": f} for n, f in (("info", "image_info"), ("sequence", "sequence_index"))]
    with_info = {**MOOD_PROC, "input_preproc": MOOD_PROC["input_preproc"] + extra}
    (folder / "mood_info.json").write_text(json.dumps(with_info, indent=2) + "\n")
    (folder / "truncated.onnx").write_bytes((folder / "ssd_f32.onnx").read_bytes()[:1000])
    write_torch_models(folder)


if __name__ == "__main__":
    main()
