"""Detectors of every form that is decoded: the same objects (make.py says which), told in other ways."""

import numpy as np
from onnx import numpy_helper

from graph import CELL, F16, F32, Graph, HEIGHT, ROWS, WIDTH, colours, columns, image_input, ints


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


def ssd_rows(g, image, classes=3, order="bgr"):
    """[N,ROWS,7]: image id (-1 behind the last object), class, score, x1, y1, x2, y2 in 0..1."""
    score, label, x1, y1, x2, y2 = best(g, objects(g, image, classes, order), classes)
    image_id = g.Sub(g.Cast(g.Greater(score, 0.0), to=F32), 1.0)
    unit = lambda v, size: g.Div(v, float(size))
    return columns(
        g, [image_id, label, score, unit(x1, WIDTH), unit(y1, HEIGHT), unit(x2, WIDTH), unit(y2, HEIGHT)]
    )


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
