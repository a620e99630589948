"""Checks of the detectors whose results are more than boxes, or whose models need a description of ours."""

import math

import product
import results
from product import Failure, data
from reference import agreement, detections, expected, judge, model, picture_path


def found_on(reference, elements, **options):
    """The product's records for the pictures of a reference."""
    items = reference["items"]
    pictures = [product.decode(picture_path(i["picture"]), i["rgb_md5"]) for i in items]
    return items, product.on_pictures(pictures, elements, **options)


def limits(reference):
    return f"threshold={reference['threshold']} iou-threshold={reference['nms_iou']}"


def nearest(frame, wanted, least=0.5):
    """The object of the frame on the reference's box; None where there is none."""
    near = [o for o in frame.objects if o.label_id == wanted["class"]]
    best = max(near, key=lambda o: results.iou(o.box, tuple(wanted["box"])), default=None)
    return best if best and results.iou(best.box, tuple(wanted["box"])) >= least else None


def points(found, name, frame):
    """The points of an attribute in pixels."""
    attribute = next((a for a in found.raw.get("attributes", []) if a["name"] == name), None)
    if attribute is None:
        raise Failure(f"no {name} among {[a['name'] for a in found.raw.get('attributes', [])]}")
    if attribute["kind"] != "keypoints":
        raise Failure(f"{name} is of kind {attribute['kind']}")
    return [(p[0] * frame.width, p[1] * frame.height) for p in attribute["points"]]


def judge_points(wanted, key, found, name, frame, share):
    """Lines about points that are farther off than this share of the box's width."""
    limit = share * (wanted["box"][2] - wanted["box"][0])
    got = points(found, name, frame)
    if len(got) != len(wanted[key]):
        return [f"{len(got)} points, expected {len(wanted[key])}"]
    return [
        f"point {n} of {wanted['box']} is at {x:.1f},{y:.1f}, expected {p}"
        for n, ((x, y), p) in enumerate(zip(got, wanted[key]))
        if math.hypot(x - p[0], y - p[1]) > limit
    ]


def faces_with_landmarks(name, detector, description=None):
    """Faces by their boxes; their landmarks within 5 % of the box's width where the box agrees well."""
    reference = expected(name)
    items, frames = found_on(reference, f"{model(detector, description)} {limits(reference)}")
    judge(
        {i["picture"]: detections(i) for i in items},
        {i["picture"]: product.triples(f) for i, f in zip(items, frames)},
        reference,
    )
    wrong, seen = [], 0
    for item, frame in zip(items, frames):
        for face in item["detections"]:
            near = nearest(frame, face, 0.9)
            if near:
                seen += 1
                wrong += judge_points(face, "landmarks", near, "landmarks", frame, 0.05)
    if wrong:
        raise Failure("\n".join(wrong))
    print(f"landmarks of {seen} faces agree")


def masks():
    """Boxes, and the number of cells of each mask within 10 %."""
    reference = expected("yolov8n_seg_int8")
    items, frames = found_on(
        reference, f"{model('yolov8n-seg_int8')} {limits(reference)}", metaconvert="add-tensor-data=true"
    )
    judge(
        {i["picture"]: detections(i) for i in items},
        {i["picture"]: product.triples(f) for i, f in zip(items, frames)},
        reference,
    )
    wrong, seen = [], 0
    for item, frame in zip(items, frames):
        for thing in item["detections"]:
            near = nearest(frame, thing, 0.85)
            if not near:
                continue
            mask = next((t for t in near.raw.get("tensors", []) if t["name"] == "mask"), None)
            if mask is None:
                raise Failure(f"{item['picture']}: no mask for {thing['name']} {thing['box']}")
            cells = sum(value > 0.5 for row in mask["data"] for value in (row if isinstance(row, list) else [row]))
            seen += 1
            if abs(cells - thing["mask_cells"]) > max(3, 0.1 * thing["mask_cells"]):
                wrong.append(
                    f"{item['picture']}: the mask of {thing['name']} {thing['box']} has {cells} cells, "
                    f"expected {thing['mask_cells']}"
                )
    if wrong:
        raise Failure("\n".join(wrong))
    print(f"{seen} masks agree")


def plates():
    """Boxes and corners of number plates."""
    reference = expected("plates")
    items, frames = found_on(reference, f"{model('plate_detect')} {limits(reference)}")
    wrong, seen = [], 0
    for item, frame in zip(items, frames):
        sure = [o for o in frame.objects if o.score >= reference["threshold"] + 0.05]
        if len(sure) > len(item["plates"]):
            wrong.append(f"{item['picture']}: {len(sure)} plates, expected {len(item['plates'])}")
        for plate in item["plates"]:
            near = nearest(frame, plate, 0.9)
            if near is None or abs(near.score - plate["score"]) > 0.05:
                wrong.append(f"{item['picture']}: no plate at {plate['box']} with {plate['score']}")
                continue
            seen += 1
            wrong += judge_points(plate, "corners", near, "keypoints", frame, 0.03)
    if wrong:
        raise Failure("\n".join(wrong))
    print(f"{seen} plates and their corners agree")


CHECKS = {
    "picodet": lambda: agreement("picodet_s_320", "picodet_s_320"),
    "yunet_320": lambda: faces_with_landmarks("yunet_n_320", "yunet_n_320_320"),
    "yunet_640x384": lambda: faces_with_landmarks("yunet_n_dynamic_zidane", "yunet_n_dynamic", "yunet_n_640x384"),
    "yunet_640x448": lambda: faces_with_landmarks("yunet_n_dynamic_sample1", "yunet_n_dynamic", "yunet_n_640x448"),
    "yolov8_seg": masks,
    "plates": plates,
}
