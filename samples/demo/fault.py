"""For the demo `module`: fails on every 25th frame of the streams that are called broken-…"""

import sightglass


class Fault(sightglass.Function):
    def start(self, info):
        self.fails, self.frames = info.source_id.startswith("broken"), 0

    def process(self, frame):
        self.frames += 1
        if self.fails and self.frames % 25 == 0:
            raise RuntimeError("the demo's fault")
