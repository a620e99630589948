#!/usr/bin/env python3
"""Installs the build into an empty folder and uses it as a stranger would: CMake, pkg-config, an element plug-in.

packaging_test.py BUILD_FOLDER SOURCE_FOLDER
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, SOURCE = Path(sys.argv[1]), Path(sys.argv[2])
HERE = Path(__file__).resolve().parent
# What the build folder lends to other tests must not help here.
CLEAN = {name: value for name, value in os.environ.items()
         if name not in ("LD_LIBRARY_PATH", "GST_PLUGIN_PATH", "PYTHONPATH", "SIGHTGLASS_DATA_DIR", "SIGHTGLASS_ROOT",
                       "CMAKE_PREFIX_PATH")}


def run(*command, env=None, fails=False, **options):
    result = subprocess.run([str(part) for part in command], env={**CLEAN, **(env or {})}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if (result.returncode != 0) != fails:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


def install(prefix, *components):
    for component in components:
        run("cmake", "--install", BUILD, "--prefix", prefix, "--component", component)
    return prefix


def configure_and_build(folder, prefix, *components):
    run("cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DWANTED={';'.join(components)}", "-DCMAKE_CXX_COMPILER=g++", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    run("cmake", "--build", folder)


def loaded_by(program, env=None):
    return run("ldd", program, env=env)


class Packaging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="sightglass-packaging-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.all = install(cls.folder / "all", "memory", "runtime", "dev")

    def test_memory_alone_is_enough_for_memory_interop(self):
        alone = install(self.folder / "alone", "memory", "dev")
        # The name links of what is not installed are of no use; what matters is that nothing else is needed.
        work = self.folder / "alone-build"
        configure_and_build(work, alone, "memory")
        libraries = loaded_by(work / "memory_consumer")
        self.assertNotIn("not found", libraries)
        for foreign in ("libsightglass.so", "opencv", "gstreamer", "libav", "OpenCL", "torch"):
            self.assertNotIn(foreign, libraries)
        self.assertIn("system:BGR", run(work / "memory_consumer"))

    def test_flow_and_element_plugin_from_outside(self):
        work = self.folder / "flow-build"
        configure_and_build(work, self.all, "memory", "elements")
        self.assertIn("3 regions", run(work / "flow_consumer", work / "count_regions.so"))
        program = next(self.all.rglob("bin/sightglass"))
        shown = run(program, "inspect", "count_regions", env={"SIGHTGLASS_PLUGIN_PATH": work})
        self.assertIn("Writes the number of regions", shown)

    def test_installed_program_finds_its_plugin_and_manifests(self):
        program = next(self.all.rglob("bin/sightglass"))
        self.assertIn("object_detect", run(program, "inspect"))
        self.assertIn("centernet", run(program, "models", "list"))

    def test_element_plugin_appears_in_gstreamer(self):
        work = self.folder / "flow-build"
        if not (work / "count_regions.so").exists():
            configure_and_build(work, self.all, "memory", "elements")
        plugins = next(self.all.rglob("libgstsightglass.so")).parent
        run("gst-launch-1.0", "-q", "videotestsrc", "num-buffers=3", "!", "count_regions", "!", "fakesink",
            env={"GST_PLUGIN_PATH": plugins, "GST_REGISTRY": self.folder / "registry.bin",
                 "SIGHTGLASS_PLUGIN_PATH": work})

    def test_a_plugin_that_cannot_be_loaded_is_named(self):
        (self.folder / "broken.so").write_bytes(b"not a library")
        program = next(self.all.rglob("bin/sightglass"))
        shown = run(program, "inspect", env={"SIGHTGLASS_PLUGIN_PATH": self.folder / "broken.so"})
        self.assertIn("broken.so cannot be loaded", shown)

    def test_pkg_config_names_what_a_compiler_needs(self):
        path = next(self.all.rglob("sightglass-memory.pc")).parent
        flags = run("pkg-config", "--cflags", "--libs", "sightglass", env={"PKG_CONFIG_PATH": path}).split()
        self.assertIn("-lsightglass-memory", flags)
        libraries = next(self.all.rglob("libsightglass-memory.so")).parent
        run("g++", "-std=c++23", HERE / "consumer/memory_consumer.cc", "-o", self.folder / "by-pkg-config", *flags,
            f"-Wl,-rpath,{libraries}")
        run(self.folder / "by-pkg-config")

    def test_an_unknown_component_is_an_error(self):
        shown = run("cmake", "-S", HERE / "consumer", "-B", self.folder / "wrong", f"-DCMAKE_PREFIX_PATH={self.all}",
                    "-DWANTED=telepathy", fails=True)
        self.assertIn("telepathy", shown)

    def test_back_ends_load_from_an_installation(self):
        program = next(self.all.rglob("bin/sightglass"))
        self.assertIn("shared", run(program, "explain", "--map", "system:BGR", "opencv:BGR"))

    def test_no_public_header_needs_what_is_not_installed(self):
        include = self.all / "include"
        missing = []
        for header in include.rglob("*.h"):
            for name in re.findall(r'#include "(sightglass/[^"]+)"', header.read_text()):
                if not (include / name).exists():
                    missing.append(f"{header.relative_to(include)}: {name}")
        self.assertEqual(missing, [])

    def test_packages_are_made_of_the_components(self):
        debs = self.folder / "debs"
        run("cpack", "-G", "DEB", "-B", debs, cwd=BUILD)
        names = {}
        for deb in debs.glob("*.deb"):
            fields = run("dpkg-deb", "--field", deb)
            names[re.search(r"^Package: (.*)$", fields, re.M)[1]] = run("dpkg-deb", "--contents", deb)
        self.assertTrue({"libsightglass-memory0", "sightglass", "libsightglass-dev"} <= set(names), names.keys())
        self.assertIn("libsightglass-memory.so.0", names["libsightglass-memory0"])
        self.assertNotIn("libsightglass.so", names["libsightglass-memory0"])
        self.assertIn("gstreamer-1.0/libgstsightglass.so", names["sightglass"])
        self.assertNotIn("torch", names["sightglass"])
        self.assertIn("include/sightglass/memory/map_to.h", names["libsightglass-dev"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
