"""Runs a pipeline in the flow runtime from Python, every frame seen by Python: flow_frames.py N PIPELINE"""

import itertools
import sys

import sightglass

frames = objects = 0
for frame in itertools.islice(sightglass.Flow(sys.argv[2]), int(sys.argv[1])):
    frames += 1
    objects += len(frame.regions)
if frames < int(sys.argv[1]):
    sys.exit(f"only {frames} frames")
