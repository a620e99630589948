"""Send frames to a module and receive its results, from any program.

    from sightglass.stream import FrameSender, ResultReceiver

    sender = FrameSender("dealer+connect:tcp://127.0.0.1:5560")
    for picture in pictures:
        sender.send_frame("cam-1", picture, codec="jpeg")
    sender.end_stream("cam-1")
    sender.finish()

    for result in ResultReceiver("sub+connect:tcp://127.0.0.1:5561", sources=["cam-1"]):
        print(result.uuid, [(o.label, o.box) for o in result.objects])

What the sockets promise: pub/sub may lose, push/pull waits, dealer/router loses nothing and repeats nothing. The other
side may be away at any time.
"""

from ._stream import Attribute, FrameSender, Object, Result, ResultReceiver

__all__ = ["Attribute", "FrameSender", "Object", "Result", "ResultReceiver"]
