"""A DNS server whose every answer the test decides: UDP and TCP on a free port, messages by dnspython.

Owns: what is asked and answered. Must not know what is claimed. Whoever names a record must give its TTL too.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.wire import TIMEOUT, Address


class DnsServer:
    """`records[name, "A"]` is (TTL, [data, …]). A name without any record does not exist; `broken` is what all are answered,
    "silent" is none."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.broken: str | None = None
        self.truncating = False
        self.twist: Callable[[bytes], bytes] = lambda answer: answer
        self.by_tcp = 0
        self._udp, self._tcp = _one_port()
        self.address = Address(*self._udp.getsockname())
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._serve_udp, self._serve_tcp)]

    def set(self, name: str, kind: str, *data: str, ttl: int = 300) -> None:
        self.records[name, kind] = (ttl, list(data))

    def __enter__(self) -> DnsServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)  # wakes the receive, which a close would not
        for thread in self._threads:
            thread.join(TIMEOUT)
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._udp.recvfrom(4096)
            if not data:
                return
            answer = self.answer(data, truncated=self.truncating)
            if answer is not None:
                self._udp.sendto(self.twist(answer), peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                sock, _ = self._tcp.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(TIMEOUT)
                length = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big")
                answer = self.answer(sock.recv(length, socket.MSG_WAITALL), truncated=False)
                self.by_tcp += 1
                if answer is not None:
                    sock.sendall(len(answer).to_bytes(2, "big") + answer)

    def answer(self, data: bytes, truncated: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if self.broken == "silent":
            return None
        response = dns.message.make_response(query)
        if self.broken is not None:
            response.set_rcode(dns.rcode.from_text(self.broken))
        elif truncated:
            response.flags |= dns.flags.TC
        elif not self._put(response, name, kind) and not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=65535)

    def _put(self, response: dns.message.Message, name: str, kind: str) -> bool:
        while (name, kind) not in self.records and (name, "CNAME") in self.records:
            ttl, (target,) = self.records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", "CNAME", f"{target}."))
            name = target
        if (name, kind) not in self.records:
            return False
        ttl, data = self.records[name, kind]
        response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *data))
        return True


def _one_port() -> tuple[socket.socket, socket.socket]:
    """A port that is free for UDP and for TCP."""
    while True:
        tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
