"""The function of crossing.cc in Python.

elements:
  - {name: crossing, type: pyfunc, function: {language: python, path: crossing.py, symbol: Crossing, args: {line: 0.6}}}
"""

import sightglass


class Crossing(sightglass.Function):
    pixels = False

    def __init__(self, line=0.5):
        self.line = line
        self.count = 0
        self.feet = {}  # by track, of the frame before

    def process(self, frame):
        for obj in frame.objects:
            if obj.track == 0:
                continue
            if self.feet.get(obj.track, 1.0) < self.line <= obj.box.bottom:
                self.count += 1
                obj.add(sightglass.Attribute("direction", "down"))
                frame.tags.add("crossing")
            self.feet[obj.track] = obj.box.bottom
        frame.add(sightglass.Attribute("count", self.count))

    def apply(self, parameters):
        self.line = parameters.get("line", self.line)
