"""The certificate that peers show where a job is done over TLS, and what a client makes of it: the same for all of them.

Elliptic curve P-256, which is what most sites have. Must not know peers.
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "bench.example"
DAYS = 30


def pair() -> tuple[str, str]:
    """A self-signed certificate of that name, and its key; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=DAYS))
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    return made.decode(), key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write(folder: Path) -> tuple[Path, Path]:
    """Such a pair, as files."""
    paths = folder / "cert.pem", folder / "key.pem"
    for path, text in zip(paths, pair(), strict=True):
        path.write_text(text)
    return paths


def client() -> ssl.SSLContext:
    """Takes any certificate: who shows it is known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
