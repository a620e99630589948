"""The decoder of ssd_rows.c in Python.

    gst-launch-1.0 filesrc location=street.mp4 ! decodebin ! video_inference model=ssd.onnx \
      postprocess="tensor_postproc_user decoder=./ssd_rows.py:SsdRows labels=<person,car> threshold=0.5" ! …
"""

import sightglass


class SsdRows(sightglass.Decoder):
    def __init__(self, labels=(), least_side="0"):
        self.labels = labels
        self.least_side = float(least_side)

    def decode(self, tensors):
        (rows,) = tensors.values()
        for image, label_id, score, x1, y1, x2, y2 in rows.numpy().reshape(-1, 7).tolist():
            if image < 0:
                break
            if min(x2 - x1, y2 - y1) < self.least_side:
                continue
            label = self.labels[int(label_id)] if label_id < len(self.labels) else ""
            yield sightglass.Region((x1, y1, x2 - x1, y2 - y1), label, score, label_id=int(label_id))
