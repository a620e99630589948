"""Ports for programs that are told theirs before they start."""

import random
import socket
from pathlib import Path


def free_port():
    """A port of loopback on which nothing listens.

    From below the ports that the system gives to clients and to those who ask for any: until its program binds it, no
    connection of another can come to lie on it.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(max(1024, end - 10_000), max(2048, end))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
