"""Reference results of $SIGHTGLASS_TEST_DATA/expected, and how the product is held against them."""

import json

import product
import scoring
from product import Failure, data, fetched


def expected(name):
    return json.loads(data(f"expected/{name}.json").read_text())


def detections(item):
    return [(d["class"], d["score"], tuple(d["box"])) for d in item["detections"]]


def model(name, description=None):
    """A detector as elements without thresholds. `description`: the file beside this one, else that of the
    model's name, where there is one.
    """
    if name == "centernet":
        return f"object_detect model={fetched('models/centernet.onnx')}"
    if name == "rfb320":
        return f"object_detect model={fetched('models/face.onnx')}"
    path = data(f"models/{name}.onnx")
    # YOLO11 describes itself in its metadata.
    described = product.HERE / f"{description or name}.yaml"
    return f"object_detect model={path}" + (f" model-proc={described}" if described.exists() else "")


def picture_path(name):
    return fetched(f"media/{name}") if name.startswith("sample") else data(f"media/{name}")


def agreement(name, detector):
    """Pictures of an expected/*.json, by the rule that it states."""
    reference = expected(name)
    items = reference["items"]
    pictures = [product.decode(picture_path(i["picture"]), i["rgb_md5"]) for i in items]
    frames = product.on_pictures(
        pictures, f"{model(detector)} threshold={reference['threshold']} iou-threshold={reference['nms_iou']}"
    )
    wanted = {i["picture"]: detections(i) for i in items}
    found = {i["picture"]: product.triples(f) for i, f in zip(items, frames)}
    judge(wanted, found, reference)


def judge(wanted, found, reference):
    wrong = scoring.disagreements(
        wanted, found, reference["threshold"], scoring.Tolerance(reference["tolerance"])
    )
    if wrong:
        raise Failure("\n".join(wrong))
    print(f"{sum(map(len, wanted.values()))} reference boxes agree")
