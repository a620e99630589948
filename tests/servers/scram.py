"""The server's side of SCRAM (RFC 5802, 7677), for doubles that ask for passwords."""
import base64
import hashlib
import hmac
import secrets


class Denied(Exception):
    pass


class ScramServer:
    """One exchange. `passwords`: by user name; `algorithm`: sha256, sha512 or sha1."""

    def __init__(self, passwords, algorithm="sha256", iterations=4096):
        self.passwords, self.algorithm, self.iterations = passwords, algorithm, iterations
        self.user = None  # who is logged in, after final()

    def first(self, message):
        header, _, self.client_first = message.decode().partition(",,")
        if header not in ("n", "y") or not self.client_first:
            raise Denied("malformed first message")
        fields = dict(part.split("=", 1) for part in self.client_first.split(","))
        self.name = fields["n"].replace("=2C", ",").replace("=3D", "=")
        self.nonce = fields["r"] + secrets.token_urlsafe(18)
        self.salt = secrets.token_bytes(28)  # what libmongoc insists on for SHA-256; others take any
        self.header = header
        self.server_first = f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i={self.iterations}"
        return self.server_first.encode()

    def final(self, message):
        text = message.decode()
        without_proof, _, proof = text.rpartition(",p=")
        fields = dict(part.split("=", 1) for part in without_proof.split(","))
        if fields["r"] != self.nonce or base64.b64decode(fields["c"]) != f"{self.header},,".encode():
            raise Denied("another nonce or channel")
        salted = hashlib.pbkdf2_hmac(self.algorithm, self.passwords.get(self.name, secrets.token_hex()).encode(), self.salt,
                                     self.iterations)
        signed = f"{self.client_first},{self.server_first},{without_proof}".encode()
        stored = hashlib.new(self.algorithm, self.hmac(salted, b"Client Key")).digest()
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), self.hmac(stored, signed), strict=True))
        if not hmac.compare_digest(hashlib.new(self.algorithm, key).digest(), stored):
            raise Denied("wrong name or password")
        self.user = self.name
        return b"v=" + base64.b64encode(self.hmac(self.hmac(salted, b"Server Key"), signed))

    def hmac(self, key, data):
        return hmac.new(key, data, self.algorithm).digest()
