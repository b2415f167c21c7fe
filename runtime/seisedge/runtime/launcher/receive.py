"""Receiving a bundle over a connection that may break: only the files that the device lacks, resumed where they ended.

```
ROOT/incoming/files/SHA256       a complete file; SHA256.part: its beginning
ROOT/incoming/push-SLOT.seisedge the bundle, rebuilt from these files and those of installed versions
ROOT/incoming/jobs/SLOT/         an installation that runs apart from the connection: lock, log, result, pushes
```
Files here are a cache: whatever is wrong with one is found by its SHA-256 when the bundle is rebuilt, and the rebuilt
bundle is verified as any other. A bundle is a tar archive of one form only: the rebuilt one has the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from seisedge.runtime.bundle.container import BLOCK, CHUNK, open_bundle, write_bundle
from seisedge.runtime.bundle.envelope import MAX_ENVELOPE, envelope_from_bytes
from seisedge.runtime.bundle.manifest import MAX_BUNDLE, MAX_FILES, PAYLOAD_TYPE, File, Manifest, manifest_from_bytes
from seisedge.runtime.errors import FailedError, InputError, SeisedgeError
from seisedge.runtime.launcher.slots import FILES, INCOMING, MANIFEST, SLOTS, WHEELS, slot_name
from seisedge.runtime.text import quoted

DIGEST = re.compile(r"[0-9a-f]{64}")
HEADER = re.compile(r"([0-9a-f]{64}) ([0-9]{1,12}) ([0-9]{1,12})\n")
SLOT = re.compile(r"[0-9]{1,16}-[0-9a-f]{12}")
PUSH_ID = re.compile(r"[0-9a-f]{16}")
LOCK_WAIT_S = 20.0  # for the receiver of a connection that has just broken
START_WAIT_S = 30.0
POLL_S = 0.1
KEPT_JOBS = 5
SYSTEMD = Path("/run/systemd/system")  # exists where systemd is the init system
RESERVE = 32 * 2**20  # bytes that stay free


def have(root: Path, wanted: Sequence[str]) -> Iterator[str]:
    """For each SHA-256 that the device has, `SHA256 complete`, or `SHA256 BYTES` for the beginning of a file.

    Files of installed versions are hashed again: one that was changed is sent once more. Raises InputError.
    """
    if len(wanted) > MAX_FILES or not all(DIGEST.fullmatch(digest) for digest in wanted):
        raise InputError(f"expected at most {MAX_FILES} lines of 64 hexadecimal digits")
    for digest in dict.fromkeys(wanted):
        if _place_of(root, digest) is not None:
            yield f"{digest} complete"
        else:
            with contextlib.suppress(FileNotFoundError):
                yield f"{digest} {_part(root, digest).stat().st_size}"


def receive(root: Path, stream: BinaryIO) -> int:
    """Store files from a stream of `SHA256 SIZE OFFSET` lines, each followed by SIZE - OFFSET bytes.

    Returns the number of complete files. A stream that ends early leaves the beginning of the file. Raises InputError
    for a damaged stream, FailedError where a file cannot be stored.
    """
    folder = root / INCOMING / "files"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = 0
    with _locked(folder / "lock", LOCK_WAIT_S, "another push sends files to this device; wait until it ends"):
        while header := stream.readline(160):
            match = HEADER.fullmatch(header.decode("ascii", "replace"))
            if match is None:
                raise InputError(f"no header of a file: {quoted(header[:80])}")
            digest, size, offset = match[1], int(match[2]), int(match[3])
            if size > MAX_BUNDLE:
                raise InputError(f"{digest[:12]}: it is larger than {MAX_BUNDLE // 2**30} GiB")
            _check_space(root, size - offset)
            if not _receive_one(root, stream, digest, size, offset):
                break
            count += 1
    return count


def _receive_one(root: Path, stream: BinaryIO, digest: str, size: int, offset: int) -> bool:
    """False where the stream ends inside the file."""
    part = _part(root, digest)
    with part.open("ab", buffering=0) as file:
        if file.tell() != offset:
            raise FailedError(f"{digest[:12]}: {file.tell()} bytes are here, the sender begins at {offset}; push again")
        left = size - offset
        while left:
            piece = stream.read1(min(CHUNK, left)) if hasattr(stream, "read1") else stream.read(min(CHUNK, left))
            if not piece:
                return False
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
            left -= len(piece)
    if _sha256(part) != digest:
        part.unlink()
        raise FailedError(f"{digest[:12]}: it was damaged on the way; push again")
    part.rename(_cached(root, digest))
    return True


def assemble(root: Path, data: bytes) -> str:
    """Rebuild the bundle of a signed manifest; returns the name of its slot.

    What earlier pushes left and this bundle does not need is removed. Raises InputError for no manifest, FailedError
    for a file that is missing on the device.
    """
    try:
        envelope = envelope_from_bytes(data, PAYLOAD_TYPE)
        manifest = manifest_from_bytes(envelope.payload)
    except ValueError as error:
        raise InputError(f"no manifest of a bundle: {error}") from error
    name, incoming = slot_name(envelope, manifest), root / INCOMING
    _prune(incoming, manifest, name)
    _check_space(root, sum(entry.size + 2 * BLOCK for entry in manifest.files))
    places = {entry.path: _place_of(root, entry.sha256) for entry in manifest.files}
    missing = [path for path, place in places.items() if place is None]
    if missing:
        raise FailedError(f"{len(missing)} files are missing on the device, such as {missing[0]}; push again")
    bundle = bundle_path(root, name)
    part = bundle.with_suffix(".part")
    with part.open("wb") as file:
        write_bundle(file, envelope, ((e, _pieces(places[e.path], e)) for e in manifest.files))
    part.rename(bundle)
    return name


def bundle_path(root: Path, name: str) -> Path:
    """Where `assemble` puts the bundle of a slot. Raises InputError for no name of a slot."""
    if not SLOT.fullmatch(name):
        raise InputError(f"{quoted(name)} is no name of a slot")
    return root / INCOMING / f"push-{name}.seisedge"


class Job:
    """The installation of a rebuilt bundle, in a process that goes on when the connection ends."""

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self.bundle = bundle_path(root, name)
        self.folder = root / INCOMING / "jobs" / name

    def attach(self, push_id: str, command: Sequence[str], out: BinaryIO) -> int:
        """Start the job, or attach to the one that runs; copy its log to `out` and return its exit status.

        push_id: of one push, which may connect several times: a job that ended in between is reported, not repeated.
        command: starts the job. Raises FailedError where it does not start or ends without a result.
        """
        if not PUSH_ID.fullmatch(push_id):
            raise InputError(f"{quoted(push_id)} is no identifier of a push")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pushes = self.folder / "pushes"
        lines = pushes.read_text().splitlines() if pushes.exists() else []
        seen = {line[:16]: line[17:] for line in lines}
        before = seen.get(push_id)
        if before is None:
            before = self._run_id() or "-"
            with pushes.open("a") as file:
                file.write(f"{push_id} {before}\n")
        if (self._run_id() or "-") == before and not self.running:
            _start_apart(self._name, command)
        until_s = time.monotonic() + START_WAIT_S
        while (self._run_id() or "-") == before and not self.running:
            if time.monotonic() > until_s:
                raise FailedError("the installation did not start within 30 s; see the log of the device")
            time.sleep(POLL_S)
        return self._follow(before, out)

    @property
    def running(self) -> bool:
        """Does a process run this job?"""
        try:
            with (self.folder / "lock").open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def run(self, command: Sequence[str]) -> int:
        """Run the installation and store its exit status; in the process apart. 0 where another one runs it."""
        with (self.folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            with (self.folder / "log").open("wb") as log:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd="/", check=False
                )
            part = self.folder / "result.part"
            part.write_text(json.dumps({"run": secrets.token_hex(8), "status": done.returncode}))
            part.rename(self.folder / "result")
            if done.returncode == 0:
                self._tidy()
        return done.returncode

    def _tidy(self) -> None:
        keep_wheels(self._root, self.bundle, self._name)
        with contextlib.suppress(OSError):
            self.bundle.unlink()

    def _follow(self, before: str, out: BinaryIO) -> int:
        at = 0
        while True:
            running = self.running  # before the log is read: what it wrote last is not missed
            with contextlib.suppress(FileNotFoundError), (self.folder / "log").open("rb") as log:
                log.seek(at)
                while piece := log.read(CHUNK):
                    out.write(piece)
                    out.flush()
                    at += len(piece)
            if not running:
                break
            time.sleep(POLL_S)
        if (self._run_id() or "-") == before:
            raise FailedError("the installation ended without a result, as after a restart of the device; push again")
        return int(json.loads((self.folder / "result").read_text())["status"])

    def _run_id(self) -> str | None:
        """Identifier of the last run that ended; None if there is none."""
        try:
            return str(json.loads((self.folder / "result").read_text())["run"])
        except (OSError, ValueError, KeyError):
            return None


def keep_wheels(root: Path, path: Path, slot: str) -> None:
    """After an installation: keep the wheels of its bundle, and nothing else that was received, for the next push.

    slot: the name of the installed one; another bundle, on a medium that was changed in the meantime, is ignored.
    Versions keep the other files of their bundles, and no wheels. Where a wheel cannot be kept, a push sends it again.
    """
    folder = root / INCOMING / "files"
    with contextlib.suppress(OSError, SeisedgeError):
        bundle = open_bundle(path)
        with bundle.file:
            if slot_name(bundle.envelope, bundle.manifest) != slot:
                return
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            wheels = {entry.sha256: entry for entry in bundle.manifest.files if entry.path.startswith(WHEELS)}
            for old in folder.iterdir():
                if old.name not in wheels and old.name != "lock":
                    old.unlink()
            for digest, entry in wheels.items():
                if _cached(root, digest).exists():
                    continue
                _check_space(root, entry.size)
                part = _part(root, digest)
                with part.open("wb") as file:
                    for piece in bundle.chunks(entry):
                        file.write(piece)
                part.rename(_cached(root, digest))


def _start_apart(name: str, command: Sequence[str]) -> None:
    """Start a process that neither the end of the connection nor that of the session ends. Raises FailedError."""
    if SYSTEMD.is_dir():
        unit = ["systemd-run", "--quiet", "--collect", f"--unit=seisedge-push-{name}", "--", *command]
        done = subprocess.run(unit, capture_output=True, text=True, check=False)
        if done.returncode and "already" not in done.stderr:  # of a push that started it at the same time
            raise FailedError(f"systemd-run: {done.stderr.strip()[:300]}")
        return
    nothing = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, cwd="/")


def _place_of(root: Path, digest: str) -> Path | None:
    """A file with this SHA-256: received, or of an installed version; None without one. A damaged one is removed."""
    cached = _cached(root, digest)
    if cached.is_file():
        if _sha256(cached) == digest:
            return cached
        cached.unlink()
    for slot in sorted((root / SLOTS).glob("*")):
        with contextlib.suppress(OSError, ValueError):
            envelope = envelope_from_bytes((slot / MANIFEST).read_bytes(), PAYLOAD_TYPE)
            for entry in manifest_from_bytes(envelope.payload).files:
                path = slot / FILES / entry.path
                if entry.sha256 == digest and path.is_file() and _sha256(path) == digest:
                    return path
    return None


def _prune(incoming: Path, manifest: Manifest, name: str) -> None:
    needed = {entry.sha256 for entry in manifest.files}
    for path in (incoming / "files").glob("*"):
        if path.name.removesuffix(".part") not in needed and path.name != "lock":
            path.unlink()
    for path in incoming.glob("push-*"):
        if path != bundle_path(incoming.parent, name):
            path.unlink()
    jobs = sorted((incoming / "jobs").glob("*"), key=lambda path: path.stat().st_mtime)
    for path in jobs[: -KEPT_JOBS or None]:
        if path.name != name:
            shutil.rmtree(path)


def _pieces(path: Path | None, entry: File) -> Iterator[bytes]:
    assert path is not None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != entry.sha256:
        raise FailedError(f"{entry.path}: it has changed while it was read; push again")


@contextlib.contextmanager
def _locked(path: Path, within_s: float, message: str) -> Iterator[None]:
    until_s = time.monotonic() + within_s
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise FailedError(message) from None
                time.sleep(POLL_S)
        yield


def _check_space(root: Path, size: int) -> None:
    free = shutil.disk_usage(root).free
    if free < size + RESERVE:
        mib = (size + RESERVE) // 2**20
        raise FailedError(f"{root}: {free // 2**20} MiB are free, {mib} MiB are needed; free some space and push again")


def _cached(root: Path, digest: str) -> Path:
    return root / INCOMING / "files" / digest


def _part(root: Path, digest: str) -> Path:
    return root / INCOMING / "files" / f"{digest}.part"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def add_commands(add: Callable[..., Any], installs: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands of a push. add: name, function, text and parents → parser. installs: options of `install`."""
    add("have", _have, "For a push: print which files, by SHA-256 on standard input, this device has.")
    add("receive", _receive, "For a push: store files from standard input.")
    add("assemble", _assemble, "For a push: rebuild the bundle of the manifest on standard input.")
    job = add("job", _job, "For a push: install a rebuilt bundle apart from the connection.", *installs)
    job.add_argument("name")
    job.add_argument("--push", required=True, metavar="ID")
    add("run-job", _run_job, "For a push: the installation itself.", *installs).add_argument("name")


def _have(_launcher: object, given: argparse.Namespace) -> int:
    wanted = sys.stdin.buffer.read(MAX_FILES * 65 + 1).decode("ascii", "replace").split()
    for line in have(given.root, wanted):
        print(line)
    return 0


def _receive(_launcher: object, given: argparse.Namespace) -> int:
    print(f"received {receive(given.root, sys.stdin.buffer)} files")
    return 0


def _assemble(_launcher: object, given: argparse.Namespace) -> int:
    data = sys.stdin.buffer.read(MAX_ENVELOPE + 1)
    print(assemble(given.root, data))
    return 0


def _job(_launcher: object, given: argparse.Namespace) -> int:
    command = _of_this_launcher("run-job", given, given.name)
    return Job(given.root, given.name).attach(given.push, command, sys.stdout.buffer)


def _run_job(_launcher: object, given: argparse.Namespace) -> int:
    job = Job(given.root, given.name)
    return job.run(_of_this_launcher("install", given, str(job.bundle)))


def _of_this_launcher(command: str, given: argparse.Namespace, argument: str) -> list[str]:
    """A command of this launcher with the options of the present one."""
    options: list[str] = []
    for name, value in vars(given).items():
        if name in ("call", "name", "push") or value is None or value is False:
            continue
        option = f"--{name.replace('_', '-')}"
        options += [option] if value is True else [f"{option}={value}"]
    return [sys.executable, os.path.realpath(sys.argv[0]), command, argument, *options]
