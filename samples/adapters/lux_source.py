"""A source of one's own in Python, a process beside the module: pictures of a folder, with the reading of a light sensor.

    python3 lux_source.py FOLDER SENSOR cam-1 dealer+connect:tcp://127.0.0.1:5560

The module may be away: nothing is lost, the program waits for it. It ends when all is acknowledged.
"""

import sys
from pathlib import Path

from sightglass.stream import Attribute, FrameSender

CODECS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}


def reading(sensor: Path) -> list[Attribute]:
    """What the sensor says now; nothing while it is away."""
    try:
        return [Attribute("sensor", "lux", float(sensor.read_text()))]
    except (OSError, ValueError):
        return []


def main(folder: str, sensor: str, source_id: str, url: str) -> None:
    sender = FrameSender(url, name="lux")
    pictures = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in CODECS)
    for number, path in enumerate(pictures):
        sender.send_frame(source_id, path.read_bytes(), codec=CODECS[path.suffix.lower()], pts=number * 40_000_000,
                          attributes=reading(Path(sensor)))
    sender.end_stream(source_id)
    sender.finish(timeout=3600)
    print(f"{len(pictures)} pictures", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
