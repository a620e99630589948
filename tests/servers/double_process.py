"""Starts the servers of this folder for Python tests; server_process.h does the same for C++."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Process:
    """A server that prints `listening HOST PORT CONTROL_PORT`; ends with the `with` block, or with this process."""

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.process = None
        self.restart()

    @classmethod
    def script(cls, name, *arguments):
        return cls([sys.executable, HERE / name, *arguments])

    def restart(self):
        self.kill()
        again = ["--port", str(self.port), "--control-port", str(self.control_port)] if hasattr(self, "port") else []
        self.process = subprocess.Popen(self.command + again, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        words = self.process.stdout.readline().split() if ready else []
        if words[:1] != ["listening"]:
            self.kill()
            raise RuntimeError(f"{' '.join(self.command)} does not start")
        self.host, self.port, self.control_port = words[1], int(words[2]), int(words[3])

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def control(self, command, arguments=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}/{command}", json.dumps(arguments or {}).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode()) from None

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.stop(signal.SIGKILL)

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class ServerUnderTest:
    """The server at SIGHTGLASS_TEST_<system>, else the double."""

    def __init__(self, system, script, scheme="", arguments=()):
        self.url = os.environ.get(f"SIGHTGLASS_TEST_{system}")
        self.real, self.process = bool(self.url), None
        if not self.real:
            self.process = Process.script(script, *arguments)
            self.url = scheme + self.process.address

    def control(self, command, arguments=None):
        return self.process.control(command, arguments)

    def stop(self):
        if self.process:
            self.process.kill()


class Folder:
    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="sightglass-server-"))

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Certificates:
    """See make_certificates.py."""

    def __init__(self):
        self.folder = Folder()
        subprocess.run([sys.executable, HERE / "make_certificates.py", self.folder.path], check=True)

    def path(self, name):
        return str(self.folder.path / name)

    def server_arguments(self, ask_for_client=False):
        arguments = ["--tls-cert", self.path("server.pem"), "--tls-key", self.path("server.key")]
        return arguments + (["--tls-client-ca", self.path("ca.pem")] if ask_for_client else [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.__exit__()
