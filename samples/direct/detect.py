# Finds objects in a video, coarsens them beyond recognition and writes a new video, without GStreamer:
#
#     detect.py VIDEO MODEL.onnx OUT.mp4 [DESCRIPTION.yaml]
#
# Decoding, the model and encoding run in the threads of the flow; Python sees the very pixels that are encoded.
import sys

import numpy as np
import sightglass as sg


class Coarsen(sg.TransformInplace):
    input, writes_pixels = "BGR", True

    def process(self, frame):
        picture = frame.numpy(writable=True)
        for region in frame.regions:
            x, y, w, h = region.box.pixels(frame.width, frame.height)
            part = picture[y : y + h, x : x + w]
            part[:] = np.repeat(np.repeat(part[::16, ::16], 16, 0), 16, 1)[:h, :w]
        print(f"{frame.pts / 1e9:.2f} s: {len(frame.regions)} objects")


video, model, out, description = (*sys.argv[1:], "")[:4]
flow = sg.Flow()
source = flow.add("ffmpeg_multi_source", inputs=video)
detect = flow.add("object_detect", model=model, model_proc=description, threshold=0.4)
flow.chain(source, detect, Coarsen(), flow.add("ffmpeg_encoder_sink", location=out))
flow.run()
