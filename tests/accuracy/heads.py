"""Checks of what is no detector: classes, points, features and text."""

import math
import tempfile
from pathlib import Path

import product
import results
from product import Failure, data, fetched
from reference import expected, model, picture_path


def found_on(pictures, elements, description=None, **options):
    """The product's records; `description` is the text of a model's YAML, which $DESCRIPTION stands for."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(description or "")
        file.flush()
        return product.on_pictures(pictures, elements.replace("$DESCRIPTION", file.name), **options)


def attribute(attributes, name):
    found = next((a for a in attributes if a["name"] == name), None)
    if found is None:
        raise Failure(f"no {name} among {[a['name'] for a in attributes]}")
    return found


def conclude(wrong, line):
    if wrong:
        raise Failure("\n".join(wrong))
    print(line)


# ---- classes

IMAGENET = """
    range: [0, 1]
    mean: [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
"""

MOBILENET = f"""
sightglass_model: 1
task: classify
input:
  - layer: input
    size: [224, 224]
    color: rgb
    resize: crop        # the centre of 7/8: the short side to 256, of which 224
    roi_expand: %s{IMAGENET}
output:
  - {{decoder: label, method: softmax, top_k: 5, classes: 1000, attribute: class}}
"""


def resized(pixels, width, height):
    """The reference's resize: bilinear, half-pixel centres, rounded to 8 bits."""
    import numpy

    def axis(wanted, there):
        at = numpy.clip((numpy.arange(wanted) + 0.5) * there / wanted - 0.5, 0, there - 1)
        first = at.astype(int)
        return first, numpy.minimum(first + 1, there - 1), at - first

    x0, x1, fx = axis(width, pixels.shape[1])
    y0, y1, fy = axis(height, pixels.shape[0])
    rows = pixels[:, x0] * (1 - fx)[:, None] + pixels[:, x1] * fx[:, None]
    fy = fy[:, None, None]
    return numpy.floor(rows[y0] * (1 - fy) + rows[y1] * fy + 0.5).astype(numpy.uint8)


def centre(picture):
    """The reference's input: the short side to 256, its centre of 224 by 224."""
    import numpy
    from PIL import Image

    scale = 256 / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    x, y = (width - 224) // 2, (height - 224) // 2
    return Image.fromarray(resized(numpy.asarray(picture), width, height)[y : y + 224, x : x + 224])


def mobilenet():
    """The best five classes and their probabilities, on the reference's own pixels; the best one among our three best
    with our preprocessing. (Noise of one grey level moves this quantised model's probabilities by up to 0.3.)"""
    reference = expected("mobilenet_v2_quant")
    items = reference["items"]
    pictures = [product.decode(picture_path(i["picture"]), i["rgb_md5"]) for i in items]
    wrong = []
    for crops, kept, tolerance, most in (
        ([centre(p) for p in pictures], 1, 0.08, 1),
        (pictures, 0.875, 1, 3),
    ):
        frames = found_on(
            crops,
            f"video_inference model={data('models/mobilenet_v2_quant.onnx')} model-proc=$DESCRIPTION",
            MOBILENET % kept,
        )
        for item, frame in zip(items, frames):
            value = attribute(frame.attributes, "class")["value"]
            found = dict(zip(map(int, value[::2]), value[1::2]))
            best = item["top5"]
            leads = best[0]["probability"] - best[1]["probability"] > 0.1
            if leads and best[0]["class"] not in list(found)[:most]:
                wrong.append(f"{item['picture']}: {found}, expected {best[0]}")
            # Who is not among the five has less than the last of them.
            least = min(found.values())
            for one in best:
                score = found.get(one["class"], min(least, one["probability"]))
                if abs(score - one["probability"]) > tolerance:
                    wrong.append(f"{item['picture']}: {found}, expected {one}")
    conclude(wrong, f"the best classes of {len(items)} pictures agree")


# ---- points


def movenet():
    """Joints within 3 % of the picture's longer side, their scores within 0.15."""
    reference = expected("movenet")
    item = reference["items"][0]
    picture = product.decode(fetched(f"media/{item['picture']}"), item["rgb_md5"])
    frame = found_on([picture], f"object_detect model={fetched('models/movenet.onnx')}")[0]
    if len(frame.objects) != 1 or frame.objects[0].label != "person":
        raise Failure(f"{[o.label for o in frame.objects]}, expected one person")
    points = attribute(frame.objects[0].raw.get("attributes", []), "keypoints")["points"]
    limit = 0.03 * max(picture.size)
    wrong, seen = [], 0
    for joint, (x, y, score) in zip(item["joints"], points, strict=True):
        if joint["score"] < 0.3 and x == y == -1:
            continue
        seen += joint["score"] >= 0.3
        off = math.hypot(x * picture.width - joint["x"], y * picture.height - joint["y"])
        if joint["score"] >= 0.3 and (off > limit or abs(score - joint["score"]) > 0.15):
            wrong.append(f"{joint} is {off:.1f} px away with {score}")
    conclude(wrong, f"{seen} joints agree")


# ---- features

OSNET = f"""
sightglass_model: 1
task: embed
input:
  - layer: images
    size: [128, 256]
    color: rgb
    resize: stretch{IMAGENET}
output:
  - {{decoder: embedding}}
"""


def rgb_frames(video, numbers, width, height):
    """Frames of a video as pictures, by the reference's conversion of BT.601 limited range."""
    import numpy
    from PIL import Image

    size = width * height * 3 // 2
    with tempfile.TemporaryDirectory(prefix="sightglass-osnet-") as folder:
        last = max(numbers)
        product.launch(
            f"filesrc location={video} ! decodebin ! video/x-raw,format=I420 ! identity eos-after={last + 2} "
            "! filesink location=frames.i420",
            folder,
        )
        raw = Path(folder, "frames.i420").read_bytes()
    pictures = {}
    for n in numbers:
        planes = numpy.frombuffer(raw[n * size : (n + 1) * size], numpy.uint8).astype(numpy.float64)
        y = (planes[: width * height].reshape(height, width) - 16) * 1.164384
        chroma = planes[width * height :].reshape(2, height // 2, width // 2) - 128
        u, v = chroma.repeat(2, axis=1).repeat(2, axis=2)
        rgb = numpy.stack([y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u], axis=2)
        pictures[n] = Image.fromarray(numpy.clip(numpy.rint(rgb), 0, 255).astype(numpy.uint8))
    return pictures


def osnet():
    """The features of persons: their first 16 numbers, and every two persons' cosine within 0.05."""
    reference = expected("osnet_vtest")
    persons = reference["embeddings"]
    frames = rgb_frames(fetched("media/vtest.avi"), sorted({p["frame"] for p in persons}), 768, 576)
    crops = [
        frames[p["frame"]].crop((*map(math.floor, p["box"][:2]), *map(math.ceil, p["box"][2:])))
        for p in persons
    ]
    found = found_on(
        crops,
        f"video_inference model={data('models/osnet_x0_25_msmt17.onnx')} model-proc=$DESCRIPTION",
        OSNET,
        metaconvert="add-tensor-data=true",
    )
    vectors = [attribute(f.attributes, "spatial-feature")["value"] for f in found]
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    wrong = []
    for person, vector in zip(persons, vectors):
        if len(vector) != 512 or abs(dot(vector, vector) - 1) > 1e-3:
            wrong.append(f"{len(vector)} values of length {dot(vector, vector)}")
        off = max(abs(x - y) for x, y in zip(vector, person["first16"]))
        if off > 0.03:
            wrong.append(f"frame {person['frame']} id {person['id']}: values differ by {off:.3f}")
    for i, row in enumerate(reference["cosine"]):
        for k, cosine in enumerate(row):
            if abs(dot(vectors[i], vectors[k]) - cosine) > 0.05:
                wrong.append(f"cosine of {i} and {k} is {dot(vectors[i], vectors[k]):.3f}, expected {cosine}")
    conclude(wrong, f"{len(vectors)} persons' features agree")


# ---- text

PLATE = """
sightglass_model: 1
task: ocr
input:
  - {size: [168, 48], color: bgr, resize: stretch, range: [0, 1], mean: [0.588], std: [0.193]}
output:
  - {decoder: ctc, layer: output, attribute: text, charset_file: %s}
  - {decoder: label, layer: "126", attribute: colour, method: max, labels: [black, blue, green, white, yellow]}
"""


def distance(a, b):
    """Characters to change, add or leave out."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for k, y in enumerate(b, 1):
            above, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, above + (x != y))
    return row[-1]


def plate_text():
    """Text and colour of number plates, on the plates that are detected."""
    reference = expected("plates")
    items = reference["items"]
    frames = found_on(
        [product.decode(picture_path(i["picture"]), i["rgb_md5"]) for i in items],
        f"{model('plate_detect')} threshold={reference['threshold']} iou-threshold={reference['nms_iou']} "
        f"! object_classify model={data('models/plate_rec_color.onnx')} model-proc=$DESCRIPTION",
        PLATE % data("models/labels/plate78.txt"),
    )
    wrong, seen = [], 0
    for item, frame in zip(items, frames):
        for plate in item["plates"]:
            near = max(frame.objects, key=lambda o: results.iou(o.box, tuple(plate["box"])), default=None)
            if near is None or results.iou(near.box, tuple(plate["box"])) < 0.9:
                wrong.append(f"{item['picture']}: no plate at {plate['box']}")
                continue
            seen += 1
            text, colour = near.attributes.get("text") or "", near.attributes.get("colour")
            most = 1 if "hongkang" in item["picture"] else 0
            if distance(text, plate["text"]) > most or colour != plate["colour"]:
                wrong.append(f"{item['picture']}: {text} {colour}, expected {plate['text']} {plate['colour']}")
    conclude(wrong, f"text and colour of {seen} plates agree")


def ppocr():
    """A page of text: at most one character of a line is wrong, spaces aside; confidence within 0.1."""
    reference = expected("ppocr")
    item = reference["items"][0]
    picture = product.decode(fetched(f"media/{item['picture']}"), item["rgb_md5"])
    frame = found_on(
        [picture],
        f"object_detect model={fetched('models/ppocr-det.onnx')} "
        f"! object_classify model={fetched('models/ppocr-rec.onnx')}",
    )[0]
    wrong = []
    for line in item["lines"]:
        _, top, _, bottom = line["rectangle"]
        parts = [o for o in frame.objects if top <= (o.box[1] + o.box[3]) / 2 <= bottom]
        parts.sort(key=lambda o: o.box[0])
        read = [attribute(o.raw.get("attributes", []), "text") for o in parts]
        text = "".join(r["label"] for r in read).replace(" ", "")
        if distance(text, line["text"].replace(" ", "")) > 1:
            wrong.append(f"'{text}', expected '{line['text']}'")
            continue
        sure = sum(r["confidence"] * len(r["label"]) for r in read) / sum(len(r["label"]) for r in read)
        if abs(sure - line["confidence"]) > 0.1:
            wrong.append(f"'{text}' with {sure:.3f}, expected {line['confidence']}")
    conclude(wrong, f"{len(item['lines'])} lines of text agree")


def ppocr_direction():
    """Lines of text the right way up, and turned by half a circle."""
    from PIL import Image

    item = expected("ppocr")["items"][0]
    picture = product.decode(fetched(f"media/{item['picture']}"), item["rgb_md5"])
    lines = []  # as much of them as the model's input is wide
    for line in item["lines"]:
        x, top, _, bottom = line["rectangle"]
        lines.append(picture.crop((round(x), round(top) - 2, round(x + 5 * (bottom - top)), round(bottom) + 2)))
    turned = [line.transpose(Image.Transpose.ROTATE_180) for line in lines]
    frames = found_on(lines + turned, f"video_inference model={fetched('models/ppocr-cls.onnx')}")
    found = [attribute(f.attributes, "direction")["label"] for f in frames]
    wanted = ["0"] * len(lines) + ["180"] * len(turned)
    right = sum(a == b for a, b in zip(found, wanted))
    conclude([f"{right} of {len(wanted)}"] if right < 0.9 * len(wanted) else [], f"{right} of {len(wanted)} directions")


CHECKS = {
    "mobilenet_v2_quant": mobilenet,
    "movenet": movenet,
    "osnet": osnet,
    "plate_text": plate_text,
    "ppocr": ppocr,
    "ppocr_direction": ppocr_direction,
}
