"""Run a command and record which addresses it wants to reach: `python tests/observed.py REPORT.json COMMAND…`.

The command runs in a new user and network namespace of Linux, in which every address is routed to the loopback
interface; all packets are read there. Nothing leaves the machine, look-ups of names included. No privileges are needed
where the system allows unprivileged user namespaces.

REPORT.json: list of "HOST:PORT" and, for look-ups over DNS, "look-up of NAME", each once, without the loopback
addresses. Exit status: that of the command; 77 if namespaces are not available.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from ipaddress import ip_address
from pathlib import Path

UNAVAILABLE = 77

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # of clone(2)
_ADD_ROUTE, _SET_FLAGS, _SET_ADDRESS = 0x890B, 0x8914, 0x8916  # of ioctl(2), see netdevice(7) and route(4)
_OURS = "10.99.0.1"
_ALL_PROTOCOLS, _IPV4, _IPV6, _TCP, _UDP, _DNS = 3, 0x0800, 0x86DD, 6, 17, 53


def enter_namespace() -> None:
    """Move this process into a network namespace with one interface. Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        fcntl.ioctl(link, _SET_FLAGS, struct.pack("16sH14x", b"lo", 1))
        fcntl.ioctl(link, _SET_ADDRESS, struct.pack("16s16s", b"lo:1", _address(_OURS)))
        device = ctypes.create_string_buffer(b"lo")
        everywhere = _address("0.0.0.0")
        route = struct.pack(
            "P16s16s16sHhLPhPLLH6x",
            *(0, everywhere, everywhere, everywhere, 1, 0, 0, 0, 0),
            *(ctypes.addressof(device), 0, 0, 0),
        )
        fcntl.ioctl(link, _ADD_ROUTE, route)


def _address(host: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(host))


def destination(packet: bytes, protocol: int) -> str | None:
    """Where a packet goes, as in REPORT.json; None for loopback and for packets without ports."""
    if protocol == _IPV4:
        host, kind, begin = ip_address(packet[16:20]), packet[9], (packet[0] & 15) * 4
    elif protocol == _IPV6:
        host, kind, begin = ip_address(packet[24:40]), packet[6], 40
    else:
        return None
    port = int.from_bytes(packet[begin + 2 : begin + 4])
    if kind == _UDP and port == _DNS:  # also on loopback, where systemd-resolved listens outside of the namespace
        return f"look-up of {_asked_name(packet[begin + 8 + 12 :])}"
    return None if kind not in (_TCP, _UDP) or host.is_loopback or str(host) == _OURS else f"{host}:{port}"


def _asked_name(question: bytes) -> str:
    labels = []
    while question and question[0]:
        labels.append(question[1 : 1 + question[0]].decode("ascii", "replace"))
        question = question[1 + question[0] :]
    return ".".join(labels)


def main() -> int:
    report, command = Path(sys.argv[1]), sys.argv[2:]
    try:
        enter_namespace()
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    except OSError as error:
        print(f"network namespaces are not available here: {error}", file=sys.stderr)
        return UNAVAILABLE
    packets.bind(("lo", 0))
    packets.settimeout(0.1)
    ended = threading.Event()
    wanted: dict[str, None] = {}

    def watch() -> None:
        while True:
            try:
                packet, source = packets.recvfrom(65_536)
            except TimeoutError:
                if ended.is_set():
                    return
                continue
            where = destination(packet, source[1])
            if where is not None:
                wanted[where] = None

    watching = threading.Thread(target=watch)
    watching.start()
    status = subprocess.run(command, check=False).returncode
    ended.set()
    watching.join()
    packets.close()
    report.write_text(json.dumps(list(wanted)))
    return status


if __name__ == "__main__":
    sys.exit(main())
