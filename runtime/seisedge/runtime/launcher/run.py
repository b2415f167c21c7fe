"""From the switch to the verdict: starts of a version, the health window, commit, and rollback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from seisedge.runtime.errors import FailedError, SeisedgeError
from seisedge.runtime.launcher.device import station_ids
from seisedge.runtime.launcher.health import DOWN, Limits, Reading, Window, address_of, read_health
from seisedge.runtime.launcher.install import Launcher, disk_errors, locked, replace_launcher
from seisedge.runtime.launcher.slots import changed_files, collect, manifest_of, point_current, slot_of
from seisedge.runtime.launcher.state import State, Version, read_state
from seisedge.runtime.launcher.timebound import clock_is_synchronised
from seisedge.runtime.launcher.trusted import current_trust

MAX_STARTS = 3  # of a version that does not come up
POLL_S = 2.0
LOCK_WAIT_S = 5.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic seconds, the wall clock as ISO 8601 UTC, and a pause; replaced in tests."""

    now_s: Callable[[], float]
    now: Callable[[], str]
    sleep: Callable[[float], None]


def boot_id() -> str:
    """Identifies the time since the kernel was started."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def start(launcher: Launcher, boot: str, now: str) -> State:
    """Called before each start of a station: count starts of an unconfirmed version, and leave a broken one.

    At most one automatic rollback; then safe mode. A start in another boot is the first one: a loss of power is no
    failure of the version. Never raises: a station that can be started is started.
    """
    try:
        with _locked_soon(launcher.root):
            state, reason = _counted(launcher, boot)
        if state.active is None:
            return state
        # without the lock: it takes seconds, and neither an installation nor another station has to wait for it
        reason = reason or launcher.programs.probe(slot_of(launcher.root, state.active))
        back = ""
        if reason and state.previous is not None and not state.automatic:
            back = launcher.programs.probe(slot_of(launcher.root, state.previous))
        with _locked_soon(launcher.root):
            if _active_slot(read_state(launcher.root)) == state.active.slot:
                state = _left(launcher, reason, back, now)
            else:
                state = read_state(launcher.root)
            point_current(launcher.disk, launcher.root, state)
    except (SeisedgeError, OSError):  # an installation holds the lock, or the disk cannot be written
        try:
            return read_state(launcher.root)
        except FailedError as error:
            return State(safe_mode=str(error))
    if state.pending:
        launcher.programs.watch()
    return state


def _counted(launcher: Launcher, boot: str) -> tuple[State, str]:
    """Count a start of an unconfirmed version; the state, and why the version does not come up, or ''."""
    state = read_state(launcher.root)
    if state.active is None:
        return replace(state, safe_mode="no version is installed; run 'flash.pyz bootstrap'"), ""
    if not state.pending:
        return state, ""
    starts = state.starts + 1 if state.boot == boot else 1
    state = launcher.save(replace(state, starts=starts, boot=boot))
    most = MAX_STARTS * len(station_ids(launcher.place))
    return state, f"it was started {MAX_STARTS} times and did not come up" if starts > most else ""


def _left(launcher: Launcher, reason: str, back: str, now: str) -> State:
    """Go back from a broken version, once; else safe mode.

    reason, back: why it and the version before are broken; '' where they are not.
    """
    state = read_state(launcher.root)
    if not reason:
        return launcher.save(replace(state, safe_mode="")) if state.safe_mode else state
    if state.previous is not None and not state.automatic:
        if not back:
            return launcher.save(state.rolled_back(now, reason, automatic=True))
        reason = f"{reason}; the version before is broken as well: {back}"
    if state.safe_mode:
        return state
    return launcher.save(replace(state, safe_mode=reason).noted(now, "safe mode", state.active, reason))


def _active_slot(state: State) -> str:
    return state.active.slot if state.active is not None else ""


@contextlib.contextmanager
def _locked_soon(root: Path) -> Iterator[None]:
    """The lock, within a few seconds. Raises FailedError."""
    until_s = time.monotonic() + LOCK_WAIT_S
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(root))
                break
            except FailedError:
                if time.monotonic() >= until_s:
                    raise
                time.sleep(0.2)
        yield


def readings_of(launcher: Launcher, version: Version, stations: tuple[str, ...]) -> dict[str, Reading]:
    """One reading of each station of a version."""
    slot = slot_of(launcher.root, version)
    found = {}
    for index, station in enumerate(stations):
        try:
            found[station] = read_health(address_of(slot, station, index), station)
        except (SeisedgeError, OSError, ValueError, KeyError) as error:
            found[station] = Reading(DOWN, detail=str(error))
    return found


def baseline_of(launcher: Launcher) -> dict[str, str]:
    """The health of the stations before a change, by id; {} where no version is active."""
    state = read_state(launcher.root)
    if state.active is None:
        return {}
    return {
        station: reading.word
        for station, reading in readings_of(launcher, state.active, station_ids(launcher.place)).items()
    }


def watch(launcher: Launcher, clock: Clock, window_s: float, up_s: float) -> State:
    """Watch an unconfirmed version to its verdict: commit, or go back and restart the stations.

    Returns the state after it; it is unconfirmed still where the verdict is `undecided`. Raises FailedError.
    """
    root = launcher.root
    state = read_state(root)
    if not state.pending or state.active is None:
        return state
    stations, slot = station_ids(launcher.place), state.active.slot
    limits = Limits(manifest_of(slot_of(root, state.active)).hardware.memory_mib, window_s, up_s)
    window = Window(slot, state.baseline, limits, clock.now_s())
    reset = False
    while True:
        state = read_state(root)
        if not state.pending or state.active is None or state.active.slot != slot:
            return state  # a start went back, or an operator
        found = window.add(readings_of(launcher, state.active, stations), clock.now_s())
        if found is not None:
            return _judged(launcher, slot, found, clock.now())
        if window.up_s is not None and not reset:
            _reset_starts(launcher, slot)
            reset = True
        clock.sleep(POLL_S)


def _judged(launcher: Launcher, slot: str, verdict: tuple[str, str], now: str) -> State:
    word, reason = verdict
    if word == "good":
        different = _golden_differs(launcher, slot)
        if different:
            word, reason = "bad", different
    if word == "good":
        return commit(launcher, slot, now, reason)
    if word == "bad":
        return roll_back(launcher, now, reason, automatic=True, slot=slot)
    with locked(launcher.root), disk_errors(launcher.root, "store the verdict"):
        state = read_state(launcher.root)
        if state.active is not None and state.active.slot == slot and state.pending:
            state = launcher.save(replace(state, verdict="undecided").noted(now, "undecided", state.active, reason))
        return state


def _reset_starts(launcher: Launcher, slot: str) -> None:
    """The version has come up: later starts are not failures of it."""
    with contextlib.suppress(SeisedgeError), locked(launcher.root), disk_errors(launcher.root, "store the start"):
        state = read_state(launcher.root)
        if state.active is not None and state.active.slot == slot and state.starts:
            launcher.save(replace(state, starts=0))


def _golden_differs(launcher: Launcher, slot: str) -> str:
    """Why the models do not give what they gave in the self-test before the switch; '' where they do."""
    state = read_state(launcher.root)
    if state.active is None or state.active.slot != slot:
        return ""
    folder = slot_of(launcher.root, state.active)
    try:
        proof = launcher.programs.self_test(folder, manifest_of(folder), station_ids(launcher.place))
    except SeisedgeError as error:
        return str(error)
    return "" if proof.golden == state.active.golden else "the models no longer give what they gave in the self-test"


def commit(launcher: Launcher, slot: str, now: str, reason: str) -> State:
    """The unconfirmed version in `slot` is good: the lowest serial rises, and the third version is removed.

    Raises FailedError.
    """
    with locked(launcher.root), disk_errors(launcher.root, "confirm the version"):
        state = read_state(launcher.root)
        if state.active is None or state.active.slot != slot or not state.pending:
            return state
        trust = current_trust(launcher.root, state)
        if state.trust_version != trust.version:
            state = state.with_trust(trust.version, trust.lowest_serial)
        if clock_is_synchronised():
            state = replace(state, latest=max(state.latest, now))
        state = launcher.save(state.committed(now, reason))
        collect(launcher.disk, launcher.root, state)
        assert state.active is not None
        replace_launcher(launcher, state.active)
        return state


def roll_back(launcher: Launcher, now: str, reason: str, *, automatic: bool, slot: str = "") -> State:
    """Make the version before active and restart the stations.

    slot: only if this one is active and unconfirmed. Raises FailedError where there is no complete version before.
    """
    root = launcher.root
    with locked(root), disk_errors(root, "go back"):
        state = read_state(root)
        if slot and (state.active is None or state.active.slot != slot or not state.pending):
            return state
        if state.previous is None:
            if automatic and state.active is not None:
                launcher.save(replace(state, verdict="bad").noted(now, "bad", state.active, reason))
                raise FailedError(f"{state.active.slot} is bad ({reason}), and no version before it is installed")
            raise FailedError(f"{root}: no previous version is installed; install another bundle")
        changed = changed_files(slot_of(root, state.previous), state.previous.listing)
        if changed:
            raise FailedError(
                f"{slot_of(root, state.previous) / changed[0]}: the previous version is damaged; install a bundle"
            )
        state = launcher.save(state.rolled_back(now, reason, automatic=automatic))
    launcher.programs.restart(station_ids(launcher.place))
    return state
