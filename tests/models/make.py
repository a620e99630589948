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
from onnx import TensorProto, helper

from detectors import (
    blaze, centernet, det_batch, detr, picodet, ssd, ssd_upstream, ultraface, yolov5, yolov8, yolox, yunet,
)
from graph import F16, F32, Graph, HEIGHT, I64, MOODS, OBJECTS, U8, WIDTH, colours, columns, image_input, ints


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
