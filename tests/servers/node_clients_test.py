#!/usr/bin/env python3
"""The doubles of MongoDB and Elasticsearch against the clients for Node. npm fetches what node/package-lock.json names, once, into
the cache; without node, npm or network the test is skipped."""
import hashlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import double_process

HERE = Path(__file__).resolve().parent / "node"


def modules():
    """The folder of the packages, or None."""
    npm = shutil.which("npm")
    base = os.environ.get("SIGHTGLASS_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sightglass")
    place = Path(base) / "node" / f"clients-{hashlib.sha256((HERE / 'package-lock.json').read_bytes()).hexdigest()[:16]}"
    if (place / "node_modules").is_dir() or not npm:
        return place / "node_modules" if (place / "node_modules").is_dir() else None
    temporary = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, temporary)
        subprocess.run([npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=temporary, check=True, timeout=240,
                       stdout=subprocess.DEVNULL)
        temporary.rename(place)
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(temporary, ignore_errors=True)
    return place / "node_modules" if (place / "node_modules").is_dir() else None


class NodeClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = shutil.which("node") or shutil.which("/opt/host-npm/node")
        if not cls.node:
            raise unittest.SkipTest("optional: there is no node")
        cls.modules = modules()
        if not cls.modules:
            raise unittest.SkipTest("optional: npm could not fetch the clients")

    def check(self, system, script, scheme):
        server = double_process.ServerUnderTest(system, script, scheme)
        self.addCleanup(server.stop)
        done = subprocess.run([self.node, HERE / "clients.js", self.modules, system.lower(), server.url], capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_mongodb(self):
        self.check("MONGODB", "mongodb_double.py", "mongodb://")

    def test_elasticsearch(self):
        self.check("ELASTICSEARCH", "elasticsearch_double.py", "http://")


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)
