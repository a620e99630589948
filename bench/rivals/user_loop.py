"""What a Python user writes today: OpenCV decodes and resizes, ONNX Runtime infers with its defaults, frame
by frame.

    user_loop.py centernet|yolox MODEL VIDEO FRAMES
"""

import sys

import cv2
import numpy as np
import onnxruntime


def centernet(picture):
    return cv2.cvtColor(cv2.resize(picture, (512, 512)), cv2.COLOR_BGR2RGB)[None].astype(np.float32)


def yolox(picture):
    ratio = min(416 / picture.shape[0], 416 / picture.shape[1])
    height, width = round(picture.shape[0] * ratio), round(picture.shape[1] * ratio)
    padded = np.full((416, 416, 3), 114, np.uint8)
    padded[:height, :width] = cv2.resize(picture, (width, height))
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=np.float32)


def boxes_of_centernet(rows):
    return rows[rows[:, 4] >= 0.4]


def boxes_of_yolox(rows):
    scores = rows[:, 4] * rows[:, 5:].max(axis=1)
    return rows[scores >= 0.4]


def main():
    kind, model, video, frames = sys.argv[1:5]
    prepare, boxes = {"centernet": (centernet, boxes_of_centernet), "yolox": (yolox, boxes_of_yolox)}[kind]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name, capture, found = session.get_inputs()[0].name, cv2.VideoCapture(video), 0
    for _ in range(int(frames)):
        ok, picture = capture.read()
        if not ok:
            sys.exit("the video is too short")
        found += len(boxes(session.run(None, {name: prepare(picture)})[0][0]))
    print(f"{found} boxes")


if __name__ == "__main__":
    main()
