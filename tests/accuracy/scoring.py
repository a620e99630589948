"""Scores of detections against ground truth and against reference results. Boxes are x1, y1, x2, y2 in
pixels.
"""

import math
import re
from collections import defaultdict

import results


def average_precision(pictures, minimum_iou=0.5):
    """AP of one class with 101 recall points.

    `pictures`: (detections [(score, box)], truth [(box, difficult)]) each. A detection counts for the free
    truth box that it overlaps most; what falls on a difficult box, or on none that is left, is ignored or
    wrong. None without truth.
    """
    wanted = sum(not difficult for _, truth in pictures for _, difficult in truth)
    if not wanted:
        return None
    verdicts = []  # (score, right)
    for detections, truth in pictures:
        taken = set()
        for score, box in sorted(detections, key=lambda d: -d[0]):
            # Easy boxes first: a difficult one only excuses what would be wrong otherwise.
            free = [
                (not difficult, results.iou(box, other), k)
                for k, (other, difficult) in enumerate(truth)
                if k not in taken and results.iou(box, other) >= minimum_iou
            ]
            if not free:
                verdicts.append((score, False))
                continue
            easy, _, k = max(free)
            if easy:
                taken.add(k)
                verdicts.append((score, True))
    verdicts.sort(key=lambda v: -v[0])
    right, curve = 0, []
    for n, (_, is_right) in enumerate(verdicts, 1):
        right += is_right
        curve.append((right / wanted, right / n))
    best, k, total = 0.0, len(curve) - 1, 0.0
    for point in range(100, -1, -1):
        while k >= 0 and curve[k][0] >= point / 100 - 1e-12:
            best = max(best, curve[k][1])
            k -= 1
        total += best
    return total / 101


def mean_average_precision(detections, truth, minimum_iou=0.5, most=100):
    """`detections`: picture → [(class, score, box)]; `truth`: picture → [(class, box, difficult)]."""
    classes = sorted({c for boxes in truth.values() for c, _, _ in boxes})
    scores = {}
    for c in classes:
        pictures = []
        for picture, boxes in truth.items():
            kept = sorted(detections.get(picture, []), key=lambda d: -d[1])[:most]
            pictures.append(([(s, b) for k, s, b in kept if k == c], [(b, d) for k, b, d in boxes if k == c]))
        scores[c] = average_precision(pictures, minimum_iou)
    known = [s for s in scores.values() if s is not None]
    return sum(known) / len(known), scores


def recall_precision(detections, truth, minimum_iou=0.5):
    """`detections`: frame → [(score, box)]; `truth`: frame → [box]. One-to-one matches, the highest scores
    first.
    """
    right = found = wanted = 0
    for frame in set(detections) | set(truth):
        free = list(truth.get(frame, []))
        wanted += len(free)
        for _, box in sorted(detections.get(frame, []), key=lambda d: -d[0]):
            found += 1
            best = max(free, key=lambda other: results.iou(box, other), default=None)
            if best is not None and results.iou(box, best) >= minimum_iou:
                free.remove(best)
                right += 1
    return right / wanted, right / found


def read_mot(path, score_column=6, least=0.0):
    """MOT text: frame → [(column 7, box)] for rows of at least that value; ground truth has a flag of 1 or 0
    there.
    """
    frames = defaultdict(list)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            values = [float(v) for v in line.split(",")]
            if values[score_column] >= least:
                x, y, w, h = values[2:6]
                frames[int(values[0])].append((values[score_column], (x, y, x + w, y + h)))
    return dict(frames)


class Tolerance:
    """The rule that an expected/*.json states in its `tolerance`."""

    def __init__(self, text):
        numbers = re.search(
            r"threshold\+([\d.]+) must be present \(same class, IoU >= ([\d.]+), \|score difference\| <= ([\d.]+)\)",
            text,
        )
        share = re.search(r"max\(1, (\d+) %\) of the boxes may reach only IoU >= ([\d.]+)", text)
        self.margin, self.iou, self.score = (float(n) for n in numbers.groups())
        self.share, self.loose_iou = float(share[1]) / 100, float(share[2])


def disagreements(expected, found, threshold, tolerance):
    """What is wrong with a file's results, as lines. `expected`, `found`: item → [(class, score, box)]."""
    wrong, loose, boxes = [], [], 0

    def missing(ours, theirs, item, what):
        nonlocal boxes
        for c, score, box in ours:
            if score < threshold + tolerance.margin:
                continue
            boxes += what == "missing"
            near = [(results.iou(box, b), -abs(score - s)) for k, s, b in theirs if k == c]
            if any(i >= tolerance.iou and -d <= tolerance.score for i, d in near):
                continue
            line = f"{item}: {what}: class {c} {score:.3f} {[round(v, 1) for v in box]}"
            if what == "missing":
                best = max(near, default=(0.0, 0.0))
                line += f"; nearest has IoU {best[0]:.3f}, score difference {-best[1]:.3f}"
                (loose if best[0] >= tolerance.loose_iou else wrong).append(line)
            elif not any(i >= tolerance.loose_iou for i, _ in near):
                wrong.append(line)

    for item, wanted in expected.items():
        missing(wanted, found.get(item, []), item, "missing")
        missing(found.get(item, []), wanted, item, "extra")
    allowed = max(1, math.floor(tolerance.share * boxes + 1e-9))
    if len(loose) > allowed:
        wrong += loose + [
            f"{len(loose)} of {boxes} boxes reach only IoU {tolerance.loose_iou}, allowed are {allowed}"
        ]
    return wrong
