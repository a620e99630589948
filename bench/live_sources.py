#!/usr/bin/env python3
"""Memory and CPU of many live sources in one process, without decoding: `sightglass source FILE.yml` reads one
camera (the test server) over so many RTSP connections, and `sightglass recv` takes what comes.

    bench/live_sources.py BUILD_FOLDER [--cameras 64] [--seconds 20] [--size 1280x720] [--limit-mb 300]

Exit code 1: over the limit, or not all cameras run.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split(":")[1].strip() for line in lines}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--limit-mb", type=float, default=300)
    parser.add_argument("--json", action="store_true", help="print figures for bench/run.py")
    options = parser.parse_args()
    program = options.build / "bin/sightglass"
    with tempfile.TemporaryDirectory(prefix="sightglass-bench-") as folder:
        server = subprocess.Popen([options.build / "tests/rtsp_server", "--size", options.size], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        url = "rtsp://127.0.0.1:%s/live" % server.stdout.readline().split()[2]
        out = f"ipc://{folder}/s"
        cameras = Path(folder) / "cameras.yml"
        cameras.write_text(f"out: dealer+connect:{out}\nhttp: 127.0.0.1:0\nsources:\n" + "".join(
            f"- {{type: rtsp, source_id: cam-{n}, url: '{url}'}}\n" for n in range(options.cameras)))
        reader = subprocess.Popen([program, "recv", "router+bind:" + out, "--quiet"], stdout=subprocess.DEVNULL)
        source = subprocess.Popen([program, "source", cameras], stderr=subprocess.PIPE, text=True)
        try:
            while not (line := source.stderr.readline()).startswith("http://"):
                if not line:
                    sys.exit("the source has ended")
            page = line.strip()
            running, deadline = 0, time.monotonic() + 120
            while running < options.cameras and time.monotonic() < deadline:
                time.sleep(0.5)
                streams = json.load(urllib.request.urlopen(page + "/v1/streams"))
                running = sum(stream["state"] == "running" for stream in streams)
            begin, before = time.monotonic(), cpu_seconds(source.pid)
            frames = sum(stream["frames"] for stream in streams)
            time.sleep(options.seconds)
            seconds = time.monotonic() - begin
            streams = json.load(urllib.request.urlopen(page + "/v1/streams"))
            frames = sum(stream["frames"] for stream in streams) - frames
            now = status(source.pid)
            resident = int(now["VmRSS"].split()[0]) / 1024
            peak = int(now["VmHWM"].split()[0]) / 1024
            cpu = (cpu_seconds(source.pid) - before) / seconds
            if options.json:
                print(json.dumps({"megabytes": peak, "cores": cpu, "running": running, "fps": frames / seconds}))
                return 0 if running == options.cameras else 1
            print(f"{running} of {options.cameras} cameras run: {resident:.0f} MB resident, {peak:.0f} MB at most, "
                  f"{now['Threads']} threads, {frames / seconds:.0f} frames/s, {100 * cpu:.0f} % of a core, "
                  f"reconnects {sum(stream['reconnects'] for stream in streams)}")
            return 0 if running == options.cameras and peak <= options.limit_mb else 1
        finally:
            source.send_signal(signal.SIGKILL)
            reader.kill()
            server.kill()
            for process in (source, reader, server):
                process.wait()


if __name__ == "__main__":
    sys.exit(main())
