"""`seisedge replay`: the virtual digitizer on the command line."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.errors import InputError
from seisedge.runtime.output import OutputStream
from seisedge.runtime.sources._server_url import SEEDLINK_PORT

if TYPE_CHECKING:
    from seisedge.runtime.replay import Digitizer

SHAKE_PORT = 8888
POLL_S = 0.5


def _address(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, int]:
    """HOST:PORT, HOST or :PORT."""
    host, colon, port = text.rpartition(":") if ":" in text else (text, "", "")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise click.BadParameter(f"{text!r}: the port must be a number from 0 (any free one) to 65535")
    return host.strip("[]") or "127.0.0.1", int(port) if port else SEEDLINK_PORT


def _target(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """HOST:PORT, HOST or :PORT; default: the port of a Shake's stream."""
    if text is None:
        return None
    host, port = _address(context, option, text if ":" in text else f"{text}:{SHAKE_PORT}")
    if not port:
        raise click.BadParameter(f"{text!r}: the port must be a number from 1 to 65535")
    return host, port


class _WithFaults(click.Command):
    """A command whose help lists the faults."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from seisedge.runtime.replay._fault import help_lines

        with formatter.section("Faults with their keys and defaults (AT, LENGTH, PAUSE, BY in seconds)"):
            formatter.write_dl(help_lines(), col_max=28)
        super().format_epilog(ctx, formatter)


@click.command(
    cls=_WithFaults,
    epilog="""\b
Examples:
  seisedge replay recording.mseed --speed 10
  seisedge replay recording.mseed --fault gap:at=60,length=10 --fault cut
  seisedge replay recording.mseed --shake-udp 127.0.0.1:8888
  seisedge run --source seedlink://127.0.0.1/PB_B918 --until-end
""",
)
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option(
    "--listen",
    callback=_address,
    metavar="HOST:PORT",
    default=f"127.0.0.1:{SEEDLINK_PORT}",
    show_default=True,
    help="Address to listen on; port 0 selects a free one.",
)
@click.option(
    "--speed",
    type=FiniteRange(min=0),
    default=1.0,
    show_default=True,
    help="Replay speed, times real time; 0: as fast as clients read.",
)
@click.option(
    "--record-length",
    type=int,
    default=512,
    show_default=True,
    metavar="BYTES",
    help="Length of the records sent, a power of two from 128 to 65536.",
)
@click.option(
    "--stations",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Serve N copies of each station, each under its own code.",
)
@click.option(
    "--ring",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep only the newest N records of each station, as a server with a bounded memory. Default: all.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:key=value,...]",
    help="Inject a fault (see below). May be repeated; faults are applied in this order.",
)
@click.option(
    "--shake-udp",
    callback=_target,
    metavar="HOST:PORT",
    help="Instead of serving, send the packets of a Raspberry Shake to this address (default port 8888); ends with the "
    "recording.",
)
def command(
    data: tuple[str, ...],
    listen: tuple[str, int],
    speed: float,
    record_length: int,
    stations: int,
    ring: int | None,
    faults: tuple[str, ...],
    shake_udp: tuple[str, int] | None,
) -> None:
    """Serve recorded miniSEED as a SeedLink (3.1 and 4.0) and DataLink server: a virtual digitizer.

    DATA are miniSEED files and folders. All channels are merged in order of the records' ends. A record is available
    when its last sample is past on the replay clock, which starts with the first client. Ctrl-C stops the server.
    """
    from seisedge.runtime.replay import Digitizer  # imported here: `--help` needs no decoder

    if "-" in data:
        raise InputError("replay cannot serve standard input; give files or folders")
    if shake_udp is not None:
        _send_as_shake(data, shake_udp, speed, faults)
        return
    _end_on_signals()
    log = OutputStream(sys.stdout, "standard output")  # a reader that has stopped must not hold up the clients
    digitizer = Digitizer(data, listen, speed, record_length, stations, faults=faults, ring=ring, on_client=log.post)
    recording = digitizer.recording
    names = ", ".join(station.id for station in recording.stations[:4])
    if len(recording.stations) > 4:
        names += f" and {len(recording.stations) - 4} more"
    with digitizer:
        log.post(
            f"{digitizer.url}  {names}  {iso_from_ns(recording.starttime_ns)[:19]}Z to "
            f"{iso_from_ns(recording.endtime_ns)[:19]}Z, {recording.n_records} records of {record_length} bytes, "
            f"{f'{speed:g} times real time' if speed else 'as fast as clients read'}"
        )
        try:
            _wait_for_the_end(digitizer)
            log.post("end of the recording; no more data; clients stay connected")
            threading.Event().wait()
        except KeyboardInterrupt:
            log.post("stopped")
    log.close(0.0)


def _wait_for_the_end(digitizer: Digitizer) -> None:
    """Wait until the last record is available; at speed 0, where each client reads at its own pace, without end."""
    while True:
        end_ns = digitizer.released_ns(digitizer.recording.endtime_ns) if digitizer.speed else None
        left_s = POLL_S if end_ns is None else (end_ns - time.monotonic_ns()) / 1e9
        if left_s <= 0:
            return
        time.sleep(min(left_s, POLL_S))


def _end_on_signals() -> None:
    """Make SIGTERM, and Ctrl-C also in a background job of a script, raise KeyboardInterrupt."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _send_as_shake(data: tuple[str, ...], to: tuple[str, int], speed: float, faults: tuple[str, ...]) -> None:
    from seisedge.runtime.replay.shake import ShakeSender

    _end_on_signals()
    sender = ShakeSender(data, to, speed, faults=faults)
    click.echo(f"sending {sender.recording.stations[0].id} to {to[0]} UDP port {to[1]} at {speed:g} times real time")
    with contextlib.suppress(KeyboardInterrupt):
        sender.run()
    click.echo(f"{sender.n_sent} packets sent")
