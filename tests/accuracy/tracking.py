"""Checks of the whole tracking bin on PETS09-S2L1 by the rules of MOTChallenge: known detections are attached to the
video's frames, tracked with and without a look at the persons, and published. The scores are worked out here a second
time, independently of mot_scores.cc.
"""

import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import product
import results
from product import Failure, data, fetched

WIDTH, HEIGHT = 768, 576

OSNET = """
sightglass_model: 1
task: embed
input:
  - {size: [128, 256], color: rgb, resize: stretch, range: [0, 1], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
output:
  - {decoder: embedding}
"""


def rows(path, least):
    """frame (from 1) → [(id, score, (x1, y1, x2, y2))]"""
    frames = defaultdict(list)
    for line in Path(path).read_text().splitlines():
        frame, number, x, y, w, h, score = (float(v) for v in line.split(",")[:7])
        if score >= least:
            frames[int(frame)].append((int(number), score, (x, y, x + w, y + h)))
    return frames


def assign(gains):
    """[(row, column)] with the greatest sum of gains (row → {column: gain > 0}); augmenting paths by Bellman and Ford,
    small problems only.
    """
    row_of, column_of = {}, {}
    for start in gains:
        # Best way to each column: (sum, row before it).
        best, todo = {}, [(start, 0.0)]
        while todo:
            row, so_far = todo.pop()
            for column, gain in gains[row].items():
                if column_of.get(row) == column:
                    continue
                total = so_far + gain
                if column in best and best[column][0] >= total - 1e-9:
                    continue
                best[column] = (total, row)
                if column in row_of:
                    owner = row_of[column]
                    todo.append((owner, total - gains[owner][column]))
        # The end of the best way: a free column, or one whose row does without.
        ends = [(total if c not in row_of else total - gains[row_of[c]][c], c) for c, (total, _) in best.items()]
        if not ends or max(ends)[0] <= 0:
            continue
        column = max(ends)[1]
        if column in row_of:
            del column_of[row_of.pop(column)]
        while True:
            row = best[column][1]
            before = column_of.get(row)
            row_of[column], column_of[row] = row, column
            if row == start:
                break
            column = before
    return [(row, column) for row, column in column_of.items()]


def scores(truth, found):
    """(MOTA, IDF1, switches); both frame → [(id, score, box)], overlap 0.5."""
    partner, together = {}, Counter()
    matches = switches = 0
    for frame, objects in truth.items():
        tracks = found.get(frame, [])
        gains = {}
        for i, (number, _, box) in enumerate(objects):
            overlaps = {k: results.iou(box, t[2]) for k, t in enumerate(tracks)}
            gains[i] = {k: 10 + o for k, o in overlaps.items() if o >= 0.5}
            for k in gains[i]:
                together[number, tracks[k][0]] += 1
                if partner.get(number) == tracks[k][0]:
                    gains[i][k] = 1000.0  # a pair that goes on counts first
        for i, k in assign(gains):
            matches += 1
            number, track = objects[i][0], tracks[k][0]
            switches += partner.get(number, track) != track
            partner[number] = track
    wanted, reported = (sum(map(len, frames.values())) for frames in (truth, found))
    gains = defaultdict(dict)
    for (number, track), frames in together.items():
        gains[number][track] = float(frames)
    same = sum(together[pair] for pair in assign(gains))
    misses, false = wanted - matches, reported - matches
    return 1 - (misses + false + switches) / wanted, 2 * same / (wanted + reported), switches


def attachable(detections, frames):
    """The detections as gvaattachroi reads them."""
    unit = lambda b: {"x_min": b[0] / WIDTH, "y_min": b[1] / HEIGHT, "x_max": b[2] / WIDTH, "y_max": b[3] / HEIGHT}
    return [
        {
            "timestamp": (n - 1) * 100_000_000,
            "objects": [
                {
                    "x": round(box[0]),
                    "y": round(box[1]),
                    "w": round(box[2] - box[0]),
                    "h": round(box[3] - box[1]),
                    "detection": {"bounding_box": unit(box), "confidence": score, "label": "person", "label_id": 0},
                }
                for _, score, box in detections.get(n, [])
            ],
        }
        for n in range(1, frames + 1)
    ]


def tracked(detections, tracker, description=""):
    """frame → [(track, 1, box)] of what the pipeline publishes."""
    video = fetched("media/vtest.avi")
    with tempfile.TemporaryDirectory(prefix="sightglass-tracking-") as folder:
        Path(folder, "dets.json").write_text(json.dumps(attachable(detections, 795)))
        Path(folder, "model.yaml").write_text(description)
        product.launch(
            f"filesrc location={video} ! decodebin ! gvaattachroi file-path=dets.json ! {tracker} "
            f"! {product.PUBLISH.format('', 'out.jsonl')}",
            folder,
        )
        frames = results.read(Path(folder, "out.jsonl"))
    if len(frames) != 795:
        raise Failure(f"{len(frames)} records of 795")
    return {n: [(o.track, 1, o.box) for o in frame.objects if o.track] for n, frame in enumerate(frames, 1)}


def check(limits, tracker, description=""):
    """`limits`: (least MOTA, least IDF1) from the public detections and from CenterNet's."""
    truth = rows(data("media/PETS09-S2L1/gt.txt"), 0.5)
    if scores(truth, truth) != (1, 1, 0):
        raise Failure("ground truth judged by itself is not perfect")
    too_low = []
    for file, least, (mota_limit, idf1_limit) in (
        ("media/PETS09-S2L1/det_sort_frcnn.txt", -1e9, limits[0]),
        ("expected/vtest_centernet_det.txt", 0.4, limits[1]),
    ):
        mota, idf1, switches = scores(truth, tracked(rows(data(file), least), tracker, description))
        print(f"{file}: MOTA {mota:.3f}, IDF1 {idf1:.3f}, {switches} switches")
        if mota < mota_limit or idf1 < idf1_limit:
            too_low.append(f"{file}: MOTA {mota:.3f} of {mota_limit}, IDF1 {idf1:.3f} of {idf1_limit}")
    if too_low:
        raise Failure("\n".join(too_low))


# Boxes that reach out of the picture are clipped before they are tracked, so the figures are not quite those of
# tracker_accuracy_test.cc.
CHECKS = {
    "tracking": lambda: check([(0.63, 0.50), (0.70, 0.62)], "object_track"),
    "tracking_osnet": lambda: check(
        [(0.66, 0.64), (0.72, 0.72)],
        "object_track generate-objects=false model-proc=model.yaml "
        f"model={data('models/osnet_x0_25_msmt17.onnx')}",
        OSNET,
    ),
}
