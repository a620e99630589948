#!/usr/bin/env python3
"""Makes certificates for servers and clients on loopback, with openssl.

    make_certificates.py FOLDER

ca.pem signs server.pem and client.pem, other-ca.pem signs other.pem, which nobody should trust; keys are NAME.key.
"""
import subprocess
import sys
from pathlib import Path


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)


def authority(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN=test {name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")


def certificate(folder, name, signer):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    authority(folder, "ca")
    authority(folder, "other-ca")
    certificate(folder, "server", "ca")
    certificate(folder, "client", "ca")
    certificate(folder, "other", "other-ca")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
