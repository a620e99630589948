#!/usr/bin/env python3
"""Makes the videos that the pipeline tests run on, and their right answers.

    inputs.py FOLDER

Each is a dark picture with coloured objects that move in straight lines (see tests/models/make.py for what
the test models see in them). NAME.json beside a video holds, per frame, [label, object number, x, y, w, h] in
pixels. Pictures are drawn by numpy and encoded by GStreamer, single-threaded, so the same packages give the
same pictures.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

RATE = 10
COLOURS = {"person": (235, 30, 30), "car": (30, 220, 40), "bike": (40, 50, 240), "pale": (150, 60, 60)}


def smooth_step(edge, position):
    """Coverage of pixels by something that begins at `edge`: 0, 1, or in between for the pixel that it cuts."""
    return np.clip(position + 1 - edge, 0, 1)


class Scene:
    """`objects`: (label, first frame, last frame, x, y of the centre at the first, dx, dy per frame, w, h)."""

    def __init__(self, width, height, frames, objects, white_corner=None):
        self.width, self.height, self.frames = width, height, frames
        self.objects, self.white_corner = objects, white_corner

    def truth(self, n):
        found = []
        for number, (label, first, last, x, y, dx, dy, w, h) in enumerate(self.objects):
            if first <= n <= last:
                x0, y0 = x + dx * (n - first) - w / 2, y + dy * (n - first) - h / 2
                x1, y1 = min(x0 + w, self.width), min(y0 + h, self.height)
                x0, y0 = max(x0, 0), max(y0, 0)
                found.append([label, number, x0, y0, x1 - x0, y1 - y0])
        return found

    def draw(self, n):
        x, y = np.arange(self.width), np.arange(self.height)
        picture = np.full((self.height, self.width, 3), 40.0)
        picture += x[None, :, None] * 30 / self.width + y[:, None, None] * 20 / self.height
        for label, _, x0, y0, w, h in self.truth(n):
            inside = lambda line, start, size: smooth_step(start, line) * (
                1 - smooth_step(start + size, line)
            )
            mask = (inside(y, y0, h)[:, None] * inside(x, x0, w)[None, :])[:, :, None]
            picture = picture * (1 - mask) + np.array(COLOURS[label]) * mask
        if n == self.white_corner:
            picture[: self.height // 6, : self.width // 6] = 255
        return np.round(picture).astype(np.uint8)

    def raw(self):
        """All frames as packed RGB, rows padded to a multiple of 4 bytes as GStreamer has them."""
        pad = -self.width * 3 % 4
        rows = (self.draw(n).reshape(self.height, -1) for n in range(self.frames))
        return b"".join(np.pad(frame, ((0, 0), (0, pad))).tobytes() for frame in rows)


WALK = [
    ("person", 0, 59, 30, 40, 2.0, 0.3, 44, 44),
    ("car", 0, 59, 280, 126, -3.5, 0.0, 48, 40),
    ("bike", 0, 59, 60, 206, 3.0, -0.1, 40, 36),
    ("person", 20, 49, 292, 205, 0.0, 0.1, 40, 48),
]

SCENES = {
    # V and W of the golden pipelines.
    "v.mp4": Scene(320, 240, 60, WALK),
    "w.avi": Scene(
        240,
        180,
        20,
        [("car", 0, 19, 40, 40, 4.0, 0.5, 36, 30), ("person", 0, 19, 200, 140, -3.0, 0.0, 34, 36)],
    ),
    # Nothing to see, and for a part of the time nothing.
    "empty.avi": Scene(320, 240, 12, []),
    "sparse.avi": Scene(320, 240, 24, [("person", 8, 15, 100, 100, 5.0, 0.0, 44, 44)]),
    # One object of a dull colour beside a bright one: its score is about 0.3.
    "pale.avi": Scene(
        320,
        240,
        12,
        [("pale", 0, 11, 80, 120, 2.0, 0.0, 44, 44), ("car", 0, 11, 230, 120, -2.0, 0.0, 44, 44)],
    ),
    # Odd width and height, and objects that are cut by the border.
    "odd.mkv": Scene(
        321,
        241,
        12,
        [("person", 0, 11, 10, 120, 1.0, 0.0, 48, 48), ("bike", 0, 11, 310, 232, -0.5, 0.0, 48, 48)],
    ),
    # det_trap fails on frame 10.
    "marked.avi": Scene(320, 240, 20, WALK[:3], white_corner=10),
}

H264 = "x264enc threads=1 tune=zerolatency quantizer=18 pass=quant ! h264parse"
ENCODERS = {
    ".mp4": f"videoconvert ! video/x-raw,format=I420 ! {H264} ! mp4mux",
    ".avi": "videoconvert ! video/x-raw,format=I420 ! avenc_mpeg4 bitrate=4000000 ! avimux",
    ".mkv": f"videoconvert ! video/x-raw,format=Y444 ! {H264} ! matroskamux",
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        file = folder / name
        source = (
            f"fdsrc ! rawvideoparse format=rgb width={scene.width} height={scene.height} framerate={RATE}/1"
        )
        part = file.with_name(file.name + ".part")
        subprocess.run(
            [
                "gst-launch-1.0",
                "-q",
                *f"{source} ! {ENCODERS[file.suffix]} ! filesink location={part}".split(),
            ],
            input=scene.raw(),
            check=True,
        )
        part.rename(file)
        file.with_suffix(".json").write_text(json.dumps([scene.truth(n) for n in range(scene.frames)]) + "\n")


if __name__ == "__main__":
    main()
