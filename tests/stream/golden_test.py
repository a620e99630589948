#!/usr/bin/env python3
"""Golden messages, read and written by codecs that are not ours: python3-avro and npm's avsc.

    golden_test.py SCHEMA GOLDEN_FOLDER RELEASED_FOLDER

golden/NAME.bin is part 1 of a message, golden/NAME.json what it says, in Avro's JSON encoding. Our own codec
has the same test in sightglass/stream/golden_test.cc. avsc needs node and npm: without them it is skipped.
"""
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path

import avro.io
import avro.schema

AVSC = {"version": "5.7.9", "sha256": "1f4a0ede8ffef43baaaaf4595c225fbb6c0042d093c01e415ce75fc894b606bd"}


def from_json(schema, value):
    """The datum of python3-avro for a value in Avro's JSON encoding."""
    kind = schema.type
    if kind == "union":
        if value is None:
            return None
        (name, inner), = value.items()
        branch = next(s for s in schema.schemas if name in (s.type, getattr(s, "fullname", None)))
        return from_json(branch, inner)
    if kind == "record":
        return {field.name: from_json(field.type, value[field.name]) for field in schema.fields}
    if kind == "array":
        return [from_json(schema.items, item) for item in value]
    return value.encode("latin-1") if kind in ("bytes", "fixed") else value


def comparable(value):
    """Without what two sides may say differently: a float has more digits in JSON, and 1 may be 1.0."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return round(float(value), 6) if isinstance(value, (bool, int, float)) else value


class Golden(unittest.TestCase):
    def setUp(self):
        self.schema = avro.schema.parse(SCHEMA.read_text())
        self.paths = sorted(GOLDEN.glob("*.bin"))
        self.assertGreater(len(self.paths), 10)

    def test_each_has_the_marker_and_the_fingerprint_of_a_release(self):
        released = {bytes.fromhex(path.stem)[::-1] for path in RELEASED.glob("*.avsc")}
        for path in self.paths:
            with self.subTest(path.stem):
                body = path.read_bytes()
                self.assertEqual(body[:2], b"\xc3\x01")
                self.assertIn(body[2:10], released)

    def test_python_avro_reads_what_the_json_says(self):
        for path in self.paths:
            with self.subTest(path.stem):
                body = path.read_bytes()
                writer = avro.schema.parse((RELEASED / f"{body[9:1:-1].hex()}.avsc").read_text())
                rest = io.BytesIO(body[10:])
                read = avro.io.DatumReader(writer, self.schema).read(avro.io.BinaryDecoder(rest))
                expected = from_json(self.schema, json.loads(path.with_suffix(".json").read_text()))
                self.assertEqual(comparable(read), comparable(expected))
                self.assertEqual(rest.read(), b"")

    def test_python_avro_writes_the_same(self):
        identical = 0
        for path in self.paths:
            with self.subTest(path.stem):
                datum = from_json(self.schema, json.loads(path.with_suffix(".json").read_text()))
                out = io.BytesIO()
                avro.io.DatumWriter(self.schema).write(datum, avro.io.BinaryEncoder(out))
                identical += out.getvalue() == path.read_bytes()[10:]
                # Of the branches that fit it takes the last: a whole number becomes a double.
                out.seek(0)
                read = avro.io.DatumReader(self.schema).read(avro.io.BinaryDecoder(out))
                self.assertEqual(comparable(read), comparable(datum))
        self.assertGreaterEqual(identical, len(self.paths) - 3)

    def test_avsc_reads_and_writes_them(self):
        node = shutil.which("node") or shutil.which("/opt/host-npm/node")
        if not node:
            self.skipTest("optional: there is no node")
        folder = avsc()
        if not folder:
            self.skipTest("optional: npm could not fetch avsc")
        script = Path(__file__).with_name("avsc_golden.js")
        command = [node, script, folder, SCHEMA, GOLDEN]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def avsc():
    """The folder of the package, fetched once into the cache and checked."""
    base = os.environ.get("SIGHTGLASS_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sightglass")
    place = Path(base) / "node" / f"avsc-{AVSC['version']}"
    if (place / "package").is_dir():
        return place / "package"
    npm = shutil.which("npm")
    if not npm:
        return None
    temporary = place.with_name(f"{place.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        subprocess.run([npm, "pack", "--silent", f"avsc@{AVSC['version']}"], cwd=temporary, check=True,
                       timeout=120, stdout=subprocess.DEVNULL)
        archive = temporary / f"avsc-{AVSC['version']}.tgz"
        if sha256(archive) != AVSC["sha256"]:
            raise SystemExit(f"{archive.name} is not the package that was reviewed")
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
        temporary.rename(place)
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(temporary, ignore_errors=True)
    return place / "package" if (place / "package").is_dir() else None


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    SCHEMA, GOLDEN, RELEASED = map(Path, sys.argv[1:4])
    unittest.main(argv=sys.argv[:1], verbosity=2)
