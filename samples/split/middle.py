"""Between two modules: adds what only this program knows, and drops what is not worth the second module's time.

    module A (sink: zeromq, codec: copy)  →  middle.py  →  module B

    python3 middle.py router+bind:ipc:///tmp/a dealer+connect:ipc:///tmp/b door=open
"""

import sys

from sightglass.stream import Attribute, FrameSender, ResultReceiver


def main(from_a: str, to_b: str, *facts: str) -> None:
    known = [Attribute("site", *fact.split("=", 1)) for fact in facts]
    sender = FrameSender(to_b, name="middle")
    streams, had_any = set(), False
    with ResultReceiver(from_a) as receiver:  # its end acknowledges the last result
        while streams or not had_any:
            result = receiver.next(timeout=60)
            if result is None:
                break
            if result.end_of_stream:
                streams.discard(result.source_id)
            elif result.is_frame:
                had_any = True
                streams.add(result.source_id)
                if not result.objects and not result.keyframe and result.codec in ("jpeg", "mjpeg", "png", "raw"):
                    continue  # nothing in it; each of its pictures stands alone
            sender.forward(result, attributes=known if result.is_frame else [], tags=["seen"])
        sender.finish(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
