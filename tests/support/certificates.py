"""Certificates for tests: self-signed ones, and authorities that issue them; valid for a hundred years unless told otherwise."""

import datetime
import ipaddress
import itertools
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

START: Final = datetime.datetime(2020, 1, 1)
ALWAYS: Final = datetime.timedelta(days=36500)
BRIEF: Final = datetime.timedelta(days=1)  # over since 2020
_serials = itertools.count(1)


def key_pem(key: Key) -> str:
    """A private key as the gateway takes it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def new_key(kind: str = "ec") -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def certificate(host: str = "a.example", address: str | None = None) -> tuple[str, str]:
    """A certificate and its key, PEM; with an address it is good for servers that are reached by it."""
    key = new_key()
    builder = _builder(host, key, ALWAYS)
    builder = builder.issuer_name(_name(host))
    if address is not None:
        builder = builder.add_extension(_names([address]), critical=False)
    return _pem(builder.sign(key, hashes.SHA256())), key_pem(key)


class Authority:
    """Issues certificates. `pem` is its own; with `under` it is an intermediate one."""

    def __init__(self, name: str = "authority", under: "Authority | None" = None) -> None:
        self._name = _name(name)
        self._key = new_key()
        self.under = under
        builder = _builder(name, self._key, ALWAYS).issuer_name(self._name if under is None else under._name)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signer = self._key if under is None else under._key
        self.pem = _pem(builder.sign(signer, hashes.SHA256()))

    def issue(
        self, *names: str, kind: str = "ec", lasts: datetime.timedelta = ALWAYS, subject: str | None = None
    ) -> tuple[str, str]:
        """A certificate for these host names and addresses, with the intermediate ones behind it, and its key; PEM."""
        key = new_key(kind)
        builder = _builder(subject or names[0], key, lasts).issuer_name(self._name)
        builder = builder.add_extension(_names(names), critical=False)
        chain = _pem(builder.sign(self._key, hashes.SHA256()))
        each: Authority | None = self
        while each is not None and each.under is not None:
            chain += each.pem
            each = each.under
        return chain, key_pem(key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(name: str, key: Key, lasts: datetime.timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(START)
        .not_valid_after(START + lasts)
    )


def _names(names: tuple[str, ...] | list[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(made: x509.Certificate) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()
