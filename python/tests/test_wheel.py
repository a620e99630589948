"""The wheel: built, installed in a clean environment, used there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIGHTGLASS_ROOT", Path(__file__).parents[2]))

PROGRAM = """
import numpy as np, pathlib, sightglass as sg
assert "site-packages" in sg.__file__, sg.__file__
frame = sg.Frame.from_numpy(np.zeros((6, 8, 3), np.uint8), "BGR")
made, = sg.elements.video_to_tensor(width=4, height=2)(frame)
assert made.numpy().shape == (1, 3, 2, 4)
flow = sg.Flow("frame_source name=in ! video_to_tensor width=4 height=2 ! frame_sink name=out")
flow.start(); flow.push("in", frame); flow.end("in")
assert flow.pull("out").numpy().shape == (1, 3, 2, 4)
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "libsightglass" in line}
assert libraries and all("site-packages" in path for path in libraries), libraries
print("works")
"""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("scikit_build_core", reason="python3-scikit-build-core is not installed")
    pytest.importorskip("pip", reason="python3-pip is not installed")
    out = tmp_path_factory.mktemp("wheel")
    # As the build that is under test, so that ccache has it all already.
    settings = ["-C", f"build-dir={os.environ.get('SIGHTGLASS_WHEEL_FOLDER') or out / 'build'}"]
    kind, flags = os.environ.get("SIGHTGLASS_BUILD_TYPE"), os.environ.get("SIGHTGLASS_CXX_FLAGS")
    if kind:
        settings += ["-C", f"cmake.build-type={kind}"]
        if flags:
            settings += ["-C", f"cmake.define.CMAKE_CXX_FLAGS_{kind.upper()}={flags}"]
    environment = {**os.environ, "CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CMAKE_C_COMPILER_LAUNCHER": "ccache"}
    run(
        sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir",
        *settings, "-w", out, ROOT, env=environment,
    )  # fmt: skip
    (made,) = out.glob("*.whl")
    return made


def test_it_holds_what_it_needs_once(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {"sightglass/__init__.py", "sightglass/py.typed", "sightglass/_core.pyi", "sightglass/elements.pyi"} <= set(names)
    libraries = [name for name in names if "lib/libsightglass" in name]
    assert {"sightglass/lib/libsightglass.so.0", "sightglass/lib/libsightglass-memory.so.0"} <= set(libraries)
    assert not [name for name in names if name.endswith((".h", ".a", ".cmake")) or "/tests/" in name]


def test_it_works_in_a_clean_environment(wheel, tmp_path):
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH", "PYTHONHOME")
    }
    # The system's numpy is seen, nothing is downloaded.
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", tmp_path / "venv", env=environment)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, env=environment)
    assert run(python, "-c", PROGRAM, env=environment, cwd=tmp_path) == "works\n"
