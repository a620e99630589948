#!/usr/bin/env python3
"""What Python pays per frame: one round, as JSON on the screen, in nanoseconds per call.

    views.py [CALLS]

The frame is 1080p, so that a hidden copy would cost hundreds of microseconds.
"""

import json
import statistics
import sys
import time

import numpy as np

import sightglass as sg


def median(work, calls):
    """Of ten batches, so that a pause of the machine does not count."""
    times = []
    for _ in range(10):
        start = time.perf_counter_ns()
        for _ in range(calls // 10):
            work()
        times.append((time.perf_counter_ns() - start) / (calls // 10))
    return statistics.median(times)


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    array = np.zeros((1080, 1920, 3), np.uint8)
    frame = sg.Frame.from_numpy(array, "BGR", pts=0)
    yuv = sg.Frame.empty("NV12", 1920, 1080)
    with_regions = frame.copy()
    with_regions.regions = [sg.Region((0.1, 0.1, 0.2, 0.2), "person") for _ in range(10)]
    tensor = sg.Tensor.empty((1, 3, 640, 640), "float32")
    cases = {
        "frame.numpy()": frame.numpy,
        "frame.numpy(writable=True)": lambda: frame.numpy(writable=True),
        "frame.planes, NV12": lambda: yuv.planes,
        "tensor.numpy()": tensor.numpy,
        "numpy.from_dlpack(tensor)": lambda: np.from_dlpack(tensor),
        "Frame.from_numpy(array)": lambda: sg.Frame.from_numpy(array, "BGR"),
        "ten regions, first read": lambda: with_regions.copy().regions,
    }
    print(json.dumps({name: median(work, calls) for name, work in cases.items()}, indent=1))


if __name__ == "__main__":
    main()
