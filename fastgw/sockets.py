"""Listening sockets: opened by the master, kept for its whole life, served by the workers that inherit them.

Owns: binding, one socket per worker slot and address. Must not know: who accepts, what is spoken. A TCP
address has one SO_REUSEPORT socket per slot, so that the kernel spreads connections without a shared accept
queue; because the master keeps them open, a connection that waits in the queue of a dead worker is
served by its successor. A unix socket is one, shared by all slots.
"""

import ctypes
import errno
import os
import socket
import stat
import struct
from collections.abc import Sequence
from typing import Any, Final

from fastgw.schema.formats import Endpoint, parse_address

__all__ = ["Listener"]

BACKLOG: Final = 4096  # the kernel cuts it to net.core.somaxconn, 4096 by default since Linux 5.4
SO_ATTACH_REUSEPORT_CBPF: Final = 51  # asm-generic/socket.h; Python has no name for it
# linux/filter.h: load a random word; modulo K; return it. The number chooses the socket, in order of listen()
BPF_LOAD_RANDOM: Final = (0x20, 0, 0, 0xFFFFF000 + 56)
BPF_MODULO: Final = 0x94
BPF_RETURN: Final = (0x16, 0, 0, 0)

Target = tuple[Any, ...]


class Listener:
    """One address and its sockets. Faults are OSError whose filename is the address as the user wrote it."""

    def __init__(
        self, address: str, slots: int, mode: int | None = None, given: Sequence[int] = (), *, lent: bool = False
    ) -> None:
        """mode: of a unix socket's file; None leaves it to the umask. given: its sockets, as a master handed them over. lent: by
        a service manager, whose they stay.
        """
        self.address = address
        self._endpoint = parse_address(address)
        self.lent = lent
        self.shared = lent or bool(self._endpoint.path)
        """All slots serve one socket."""
        self._sockets: list[socket.socket] = [socket.socket(fileno=fd) for fd in given]
        self._steered = False
        self.ours = not given
        """Whether a unix socket's name goes with this master; not while another one serves it."""
        try:
            if self._sockets:
                self._family, self._target = self._sockets[0].family, self._sockets[0].getsockname()
                self._prepare_to_grow(slots)
            elif self._endpoint.path:
                self._sockets.append(_open_unix(self._endpoint.path, mode))
            else:
                self._family, self._target = _resolve(self._endpoint)
                self._probe()
                self.resize(slots)
        except OSError as exc:
            self.close()
            raise OSError(exc.errno, exc.strerror or str(exc), address) from exc

    @property
    def text(self) -> str:
        """The address with the port that the system picked."""
        if self._endpoint.path:
            return self.address
        host, port = self._sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if self._family is socket.AF_INET6 else f"{host}:{port}"

    @property
    def descriptors(self) -> list[int]:
        return [each.fileno() for each in self._sockets]

    @staticmethod
    def is_of(opened: socket.socket, address: str) -> bool:
        """Whether a socket listens at an address as the settings write it."""
        endpoint = parse_address(address)
        if endpoint.path:
            return opened.family == socket.AF_UNIX and opened.getsockname() == endpoint.path
        family, target = _resolve(endpoint)
        return opened.family == family and opened.getsockname()[:2] == target[:2]

    def socket(self, slot: int) -> socket.socket:
        return self._sockets[0 if self.shared else slot]

    def resize(self, slots: int) -> None:
        """Opens sockets up to this many; more than that stay until `release`, but get no new connections."""
        if self.shared:
            return
        while len(self._sockets) < slots:
            self._sockets.append(_open_tcp(self._family, self._target))
            self._target = self._sockets[0].getsockname()  # port 0: every slot takes what the first one got
        if self._steered or len(self._sockets) > slots:
            self._steer(slots)

    def _prepare_to_grow(self, slots: int) -> None:
        """Opens sockets that get no connections before the next `resize`: until then they would wait for workers that may never
        come."""
        self._steered = True  # perhaps; in any case the next `resize` sets it right
        if not self.shared and len(self._sockets) < slots:
            self._steer(len(self._sockets))
            while len(self._sockets) < slots:
                self._sockets.append(_open_tcp(self._family, self._target))

    def reserve(self, slots: int) -> None:
        """Opens what the next `resize` will need, so that it cannot fail. OSError: that cannot be had, and nothing is changed."""
        before = len(self._sockets)
        if self.shared or before >= slots:
            return
        try:
            self._prepare_to_grow(slots)
        except OSError:
            self.release(before)
            raise

    def reclaim(self, slots: int) -> None:
        """As `resize`, after another process that held the sockets may have steered: that stays when its own have gone."""
        self._steered = True
        self.resize(slots)

    def release(self, slots: int) -> None:
        """Closes the sockets of slots from this one on, whose workers have emptied their queues and gone."""
        if not self.shared:
            while len(self._sockets) > slots:
                self._sockets.pop().close()

    def keep(self, slot: int | None) -> None:
        """In a child: closes its copies of all but one slot's socket (None: of all)."""
        mine = None if slot is None else self.socket(slot)
        for each in self._sockets:
            if each is not mine:
                each.close()

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def remove(self) -> None:
        """In the master, when it ends: closes, and takes a unix socket's name away."""
        self.close()
        if self._endpoint.path and self.ours and not self.lent:
            try:
                os.unlink(self._endpoint.path)
            except FileNotFoundError:
                pass

    def _probe(self) -> None:
        """Fails if anyone listens here: by SO_REUSEPORT alone two gateways would share the port unawares."""
        with socket.socket(self._family, socket.SOCK_STREAM) as probe:
            _prepare(probe)
            probe.bind(self._target)

    def _steer(self, slots: int) -> None:
        """Spreads new connections over the first slots only, so that the others can be emptied and closed."""
        program = b"".join(struct.pack("=HBBI", *each) for each in (BPF_LOAD_RANDOM, (BPF_MODULO, 0, 0, slots), BPF_RETURN))
        held = ctypes.create_string_buffer(program, len(program))
        pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))  # struct sock_fprog
        self._sockets[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, pointer)
        self._steered = True


def _resolve(endpoint: Endpoint) -> tuple[socket.AddressFamily, Target]:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise OSError(errno.EADDRNOTAVAIL, exc.strerror) from exc
    family, _, _, _, target = found[0]
    return family, target


def _open_tcp(family: socket.AddressFamily, target: Target) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        _prepare(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        opened.bind(target)
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _prepare(opened: socket.socket) -> None:
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _open_unix(path: str, mode: int | None) -> socket.socket:
    _remove_stale(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.bind(path)
        if mode is not None:
            os.chmod(path, mode)  # nobody connects before the next line
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _remove_stale(path: str) -> None:
    """Takes away the name that a killed master left; one that answers belongs to somebody alive."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "expected a free name or a socket, found something else")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)
