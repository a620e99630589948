#!/usr/bin/env python3
"""Runs one pipeline test: driver.py [--keep] FILE.test; README.md describes the files.

Exit code 0: passed, 1: failed (every broken expectation is printed), 77: skipped. The folders with models and
videos are $SIGHTGLASS_TEST_MODELS and $SIGHTGLASS_TEST_INPUTS; the plug-in is found as gst-launch-1.0 finds
it.
"""

import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import report
import results
from expectations import EXPECTATIONS, OBJECT_EXPECTATIONS, Failure, published, tail

OBSERVE = (
    "! gvametaconvert add-empty-results=true"
    " ! gvametapublish method=file file-format=json-lines file-path={} ! fakesink"
)


class Skip(Exception):
    pass


# ---- test files


class Run:
    """A pipeline or command and what is expected of it."""

    def __init__(self, kind, name, text):
        self.kind, self.name, self.text = kind, name, text
        self.expectations = []  # (directive, argument, rest)
        self.output = ""
        self.exit = None


class Case:
    def __init__(self, path):
        self.given, self.needs, self.runs, self.timeout = [], [], [], 30
        for word, argument, rest, number in directives(path):
            if word in ("pipeline", "command"):
                self.runs.append(Run(word, argument or "main", rest))
            elif word == "given":
                self.given.append(rest)
            elif word == "needs":
                self.needs.append(rest)
            elif word == "timeout":
                self.timeout = float(rest)
            elif word in EXPECTATIONS and self.runs:
                self.runs[-1].expectations.append((word, argument, rest))
            else:
                raise SystemExit(f"{path}:{number}: what is '{word}'?")
        if not self.runs:
            raise SystemExit(f"{path}: no pipeline")

    def run(self, name):
        for run in self.runs:
            if run.name == name:
                return run
        raise SystemExit(f"no pipeline is called '{name}'")


def directives(path):
    """(word, argument, rest, line number); an indented line continues the one above it."""
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace() and found:
            found[-1][2] += " " + line.strip()
            continue
        match = re.match(r"([\w-]+)(?: ([\w./-]+))?:\s*(.*)", line)
        if not match:
            raise SystemExit(f"{path}:{number}: not 'word: text'")
        found.append([match[1], match[2], match[3], number])
    return found


# ---- running


def variables(folder):
    models, inputs = (os.environ.get(f"SIGHTGLASS_TEST_{n}") for n in ("MODELS", "INPUTS"))
    if not models or not inputs:
        raise SystemExit(
            "SIGHTGLASS_TEST_MODELS and SIGHTGLASS_TEST_INPUTS name the folders that make.py and inputs.py filled"
        )
    model = lambda name: f"{models}/{name}.onnx"
    found = dict(
        ROOT=str(Path(__file__).resolve().parent.parent.parent),
        MODELS=models,
        INPUTS=inputs,
        V=f"{inputs}/v.mp4",
        W=f"{inputs}/w.avi",
        SSD=model("ssd_f32"),
        DET=model("det"),
        FACE=model("face"),
        MOOD=model("mood"),
        AGX=model("age_gender"),
        REID=model("reid"),
        ENC=model("encoder"),
        DEC=model("decoder"),
        READONLY=read_only_folder(folder),
    )
    return found


def read_only_folder(folder):
    """A folder where nobody can make a file; root can in any real one."""
    if os.geteuid() == 0:
        return "/sys/kernel"
    made = Path(folder, "read-only")
    made.mkdir(mode=0o555)
    return str(made)


def environment(case_folder, kind):
    # Set here and not by ctest, so that a case run by hand runs the same way.
    return {
        **os.environ,
        "G_DEBUG": "fatal-criticals",
        "GST_DEBUG_NO_COLOR": "1",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(case_folder),
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=0"),
    }


def execute(run, text, case, folder, values):
    text = string.Template(text).safe_substitute(values)
    command = ["gst-launch-1.0", *shlex.split(text)] if run.kind == "pipeline" else ["sh", "-c", text]
    code, seen, left = launch(run, command, case, folder)
    if code is None and run.kind == "pipeline" and "ERROR: " in seen:
        # gst-launch itself sometimes does not end after an error, also with stock elements alone.
        code, seen, left = launch(run, command, case, folder)
    if code is None:
        raise Failure(f"hangs: not finished after {case.timeout:g} s\n{command_line(command)}\n{tail(seen)}")
    if left:
        raise Failure(f"leaves processes behind\n{command_line(command)}")
    return code, seen, command_line(command)


def launch(run, command, case, folder):
    """Exit code (None: it hangs), output, whether a process was left behind."""
    with open(folder / "output.txt", "w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(folder, run.kind),
            start_new_session=True,
        )
        try:
            code = process.wait(case.timeout)
        except subprocess.TimeoutExpired:
            code = None
        left = end_group(process)
        output.seek(0)
        return code, output.read().decode("utf-8", "replace"), left


def end_group(process):
    """Ends what is left of the session; whether there was anything. A finished child may take a moment to go."""
    for _ in range(20 if process.poll() is not None else 1):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def command_line(command):
    return "  " + shlex.join(command)


def observed(run):
    """The pipeline with every fakesink's results written down, and the file of the first."""
    count = 0

    def put(_):
        nonlocal count
        count += 1
        return OBSERVE.format(run.name + ("" if count == 1 else f".{count}") + ".jsonl")

    return re.sub(r"! *fakesink\b", put, run.text)


def wants_objects(run):
    return any(word in OBJECT_EXPECTATIONS for word, _, _ in run.expectations)


def perform(run, case, folder, values):
    expected = [rest for word, _, rest in run.expectations if word == "exit"] or ["0"]
    if wants_objects(run) and not published(run):
        run.exit, run.output, line = execute(run, observed(run), case, folder, values)
        check_exit(run, expected[0], line)
        shutil.copy(folder / "output.txt", folder / f"{run.name}.observed.txt")
    run.exit, run.output, line = execute(run, run.text, case, folder, values)
    check_exit(run, expected[0], line)


def check_exit(run, expected, line):
    if run.exit < 0:
        raise Failure(f"dies of {signal.Signals(-run.exit).name}\n{line}\n{tail(run.output)}")
    if run.kind == "command" and run.exit > 128:
        raise Failure(f"dies with exit code {run.exit}\n{line}\n{tail(run.output)}")
    wrong = {"any": False, "error": run.exit == 0}
    if wrong[expected] if expected in wrong else run.exit != int(expected):
        raise Failure(f"exit code {run.exit}, expected {expected}\n{line}\n{tail(run.output)}")
    for word in ("-CRITICAL **", "-WARNING **", "Sanitizer", "Schema error"):
        if word in run.output:
            raise Failure(f"prints '{word}'\n{line}\n{tail(run.output)}")


# ---- main


def meets(need):
    kind, _, name = need.partition(" ")
    if kind == "element":
        return subprocess.run(["gst-inspect-1.0", "--exists", name], check=False).returncode == 0
    return Path(name).exists() == (kind == "file")


def test(case, folder):
    values = variables(folder)
    for need in case.needs:
        if not meets(string.Template(need).safe_substitute(values)):
            raise Skip(f"no {need}")
    for line in case.given:
        subprocess.run(["sh", "-ec", string.Template(line).safe_substitute(values)], cwd=folder, check=True)
    failures = []
    for run in case.runs:
        try:
            perform(run, case, folder, values)
        except Failure as failure:
            raise Failure(f"{run.name}: {failure}") from None
        for word, argument, rest in run.expectations:
            check = EXPECTATIONS[word]
            try:
                if check:
                    check(run, case, folder, argument, string.Template(rest).safe_substitute(values))
            except (Failure, results.Malformed) as failure:
                failures.append(f"{run.name}: {word}{' ' + argument if argument else ''}: {failure}")
    if failures:
        raise Failure("\n".join(failures))


def main():
    arguments = sys.argv[1:]
    keep = "--keep" in arguments
    files = [a for a in arguments if a != "--keep"]
    if len(files) != 1:
        sys.exit(__doc__.strip())
    path, skipped, failure = Path(files[0]), "", ""
    case = Case(path)
    folder = Path(tempfile.mkdtemp(prefix=f"sightglass-{path.stem}-"))
    try:
        test(case, folder)
    except Skip as skip:
        skipped = str(skip)
    except Failure as broken:
        failure = str(broken)
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(report.finish("pipelines", path.stem, skipped, failure))


if __name__ == "__main__":
    main()
