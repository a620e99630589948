"""Runs the product on pictures and videos, and finds models and data for it."""

import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import results

HERE = Path(__file__).resolve().parent


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def data(path):
    """A file below $SIGHTGLASS_TEST_DATA."""
    folder = os.environ.get("SIGHTGLASS_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        raise Skip("SIGHTGLASS_TEST_DATA is not set to the test data")
    return Path(folder, path)


def fetched(path):
    """A file that `sightglass models fetch` has put into the cache: models/NAME.onnx, media/NAME."""
    cache = Path(
        os.environ.get("SIGHTGLASS_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sightglass"
    )
    if not (cache / path).exists():
        raise Skip(f"not fetched: {path}")
    return cache / path


def launch(pipeline, folder, timeout=550):
    """Runs gst-launch-1.0; the text may be quoted as in a shell."""
    done = subprocess.run(
        ["gst-launch-1.0", "-q", *shlex.split(pipeline)],
        cwd=folder,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "G_DEBUG": "fatal-criticals"},
    )
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()[-15:]
        raise Failure(f"exit code {done.returncode}: gst-launch-1.0 {pipeline}\n" + "\n".join(lines))


def decode(path, md5=None):
    """A picture as RGB: JPEG by libjpeg-turbo, alpha dropped, profiles ignored."""
    from PIL import Image

    with Image.open(path) as opened:
        # convert() alone would apply a palette's or grey picture's meaning only, which is what is wanted.
        picture = opened.convert("RGB")
    if md5 and hashlib.md5(picture.tobytes()).hexdigest() != md5:
        raise Failure(f"{path}: this decoder gives other pixels than the reference's")
    return picture


PUBLISH = (
    "gvametaconvert add-empty-results=true {} ! gvametapublish file-format=json-lines file-path={} ! fakesink"
)


def on_pictures(pictures, elements, metaconvert=""):
    """The results for each of `pictures` (PIL), which one pipeline sees as a video whose size changes."""
    with tempfile.TemporaryDirectory(prefix="sightglass-pictures-") as folder:
        for n, picture in enumerate(pictures):
            picture.save(Path(folder, f"{n:05}.png"), compress_level=1)
        launch(
            f"multifilesrc location=%05d.png start-index=0 stop-index={len(pictures) - 1} "
            f"caps=image/png,framerate=10/1 ! pngdec ! {elements} ! {PUBLISH.format(metaconvert, 'out.jsonl')}",
            folder,
        )
        frames = results.read(Path(folder, "out.jsonl"))
    if [(f.width, f.height) for f in frames] != [p.size for p in pictures]:
        raise Failure(f"{len(frames)} records for {len(pictures)} pictures, or of other sizes")
    return frames


def triples(frame):
    return [(o.label_id, o.score, o.box) for o in frame.objects]
