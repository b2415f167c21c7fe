"""From the switch to the verdict: starts, health windows, automatic rollback, safe mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import CODE, DEVICE, NOW, FakePrograms, bare_device, bundle, contents_of, launcher_at

from seisedge.runtime.errors import FailedError
from seisedge.runtime.launcher import command, run
from seisedge.runtime.launcher.command import status_lines, status_of
from seisedge.runtime.launcher.health import (
    BEHIND,
    DATA,
    DOWN,
    SILENT,
    Limits,
    Reading,
    Window,
    parsed_address,
    reading_from,
)
from seisedge.runtime.launcher.install import Launcher, install, locked
from seisedge.runtime.launcher.slots import slot_of
from seisedge.runtime.launcher.state import State, read_state, write_state

BOOT = "boot 1"


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    """A device with version 1, confirmed, and version 2, unconfirmed; the stations had data before."""
    root = tmp_path / "opt"
    bare_device(root, Pair(1))
    launcher = launcher_at(root)
    run.commit(launcher, _installed(launcher, 1), NOW, "")
    _installed(launcher, 2)
    return launcher


def _installed(launcher: Launcher, serial: int, **changes: bytes) -> str:
    path = launcher.root.parent / "medium.seisedge"
    path.write_bytes(bundle(serial, Pair(1), contents=contents_of(serial) | changes))
    return install(launcher, path, DEVICE, {"XX.STA": DATA}, NOW).slot


def _programs(launcher: Launcher) -> FakePrograms:
    assert isinstance(launcher.programs, FakePrograms)
    return launcher.programs


def _serial(state: State) -> int:
    return state.active.serial if state.active is not None else 0


def _break(launcher: Launcher, serial: int) -> None:
    slot = next(launcher.root.glob(f"slots/{serial}-*"))
    (slot / CODE).write_text("", encoding="utf-8")


def test_a_version_that_does_not_come_up_is_left_by_the_next_start(launcher: Launcher) -> None:
    for k in range(run.MAX_STARTS):
        state = run.start(launcher, BOOT, NOW)
        assert (_serial(state), state.starts, state.pending) == (2, k + 1, True)
    state = run.start(launcher, BOOT, NOW)
    assert (_serial(state), state.pending, state.automatic, state.previous) == (1, False, True, None)
    assert list(state.bad.values()) == ["it was started 3 times and did not come up"]
    assert state == read_state(launcher.root)
    for _ in range(10):  # the version that had proved itself is not counted
        assert run.start(launcher, BOOT, NOW) == state


def test_a_power_cut_is_no_failure_of_the_version(launcher: Launcher) -> None:
    for k in range(4 * run.MAX_STARTS):
        assert _serial(run.start(launcher, f"boot {k}", NOW)) == 2


def test_starts_after_the_version_has_come_up_are_not_counted(launcher: Launcher) -> None:
    for _ in range(run.MAX_STARTS):
        run.start(launcher, BOOT, NOW)
    state = read_state(launcher.root)
    assert state.active is not None
    run._reset_starts(launcher, state.active.slot)
    assert _serial(run.start(launcher, BOOT, NOW)) == 2


def test_broken_packages_are_left_at_once(launcher: Launcher) -> None:
    _break(launcher, 2)
    state = run.start(launcher, BOOT, NOW)
    assert (_serial(state), state.bad[state.history[-1]["slot"]]) == (1, "the packages cannot be imported")
    assert _programs(launcher).restarts == 0  # it is what this start starts


def test_no_ping_pong_between_two_broken_versions(launcher: Launcher) -> None:
    run.start(launcher, BOOT, NOW)
    _break(launcher, 2)
    _break(launcher, 1)
    state = run.start(launcher, BOOT, NOW)
    assert _serial(state) == 2 and "the version before is broken as well" in state.safe_mode
    history = state.history
    for _ in range(3):
        assert run.start(launcher, BOOT, NOW).history == history  # neither a switch nor a longer history
    (next(launcher.root.glob("slots/2-*")) / CODE).write_text("version = 2\n", encoding="utf-8")
    assert run.start(launcher, "boot 2", NOW).safe_mode == ""


def test_one_automatic_rollback_at_most(launcher: Launcher) -> None:
    _programs(launcher).broken[_slot(launcher, 2)] = "broken"
    assert _serial(run.start(launcher, BOOT, NOW)) == 1
    run_before = read_state(launcher.root)
    write_state(launcher.disk, launcher.root, replace(run_before, previous=replace(_active(launcher), slot="x")))
    _break(launcher, 1)
    state = run.start(launcher, BOOT, NOW)
    assert _serial(state) == 1 and state.safe_mode == "the packages cannot be imported"


def test_a_confirmed_version_that_is_damaged_later_is_left(launcher: Launcher) -> None:
    run.commit(launcher, _slot(launcher, 2), NOW, "")
    _break(launcher, 2)
    state = run.start(launcher, BOOT, NOW)
    assert (_serial(state), state.automatic, state.floor) == (1, True, 2)


def test_start_while_an_installation_runs(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOCK_WAIT_S", 0.0)
    before = read_state(launcher.root)
    with locked(launcher.root):
        assert run.start(launcher, BOOT, NOW) == before


def test_an_installation_does_not_wait_for_a_start(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import of all packages takes seconds; a start holds the lock only to write."""
    tried: list[str] = []

    def probe(slot: Path) -> str:
        with locked(launcher.root):
            tried.append(slot.name)
        return ""

    monkeypatch.setattr(launcher.programs, "probe", probe)
    run.start(launcher, BOOT, NOW)
    assert tried == [_slot(launcher, 2)]


def test_starts_are_counted_for_each_station(launcher: Launcher) -> None:
    (launcher.place.settings / "station").write_text("XX.STA\nXX.STB\n", encoding="utf-8")
    for _ in range(2 * run.MAX_STARTS):
        assert _serial(run.start(launcher, BOOT, NOW)) == 2
    assert _serial(run.start(launcher, BOOT, NOW)) == 1


def test_start_without_a_readable_state(launcher: Launcher) -> None:
    (launcher.root / "state.json").write_text("{", encoding="utf-8")
    assert "cannot read which version is active" in run.start(launcher, BOOT, NOW).safe_mode


def _slot(launcher: Launcher, serial: int) -> str:
    return next(launcher.root.glob(f"slots/{serial}-*")).name


def _active(launcher: Launcher):  # type: ignore[no-untyped-def]
    active = read_state(launcher.root).active
    assert active is not None
    return active


# Health windows: (seconds, word of each reading) until the verdict

NEW = "2-new"
UP = Reading(DATA, slot=NEW)
LIMITS = Limits(256.0, window_s=30.0, up_s=60.0)


def _verdict(before: str, readings: Callable[[float], Reading]) -> tuple[float, str, str]:
    window = Window(NEW, {"XX.STA": before} if before else {}, LIMITS, 0.0)
    for now_s in range(0, 1000, 2):
        found = window.add({"XX.STA": readings(now_s)}, now_s)
        if found is not None:
            return now_s, *found
    raise AssertionError("no verdict")


@pytest.mark.parametrize(
    ("before", "readings", "at_s", "word", "reason"),
    [
        (DATA, lambda t: UP, 30, "good", "data are analysed"),
        ("", lambda t: UP, 30, "good", "data are analysed"),
        (DOWN, lambda t: UP, 30, "good", "data are analysed"),
        (DATA, lambda t: Reading(DOWN), 62, "bad", "did not come up within 60 s"),
        (DATA, lambda t: Reading(DATA, slot="1-old"), 62, "bad", "did not come up"),  # the old process
        (DATA, lambda t: Reading(DOWN) if t < 50 else UP, 80, "good", ""),  # slow to start
        (DATA, lambda t: UP if t < 4 else Reading(DOWN), 30, "bad", "no longer answers"),
        (DATA, lambda t: Reading(DOWN) if 20 < t < 34 else UP, 34, "good", ""),  # one restart
        (DATA, lambda t: replace(UP, word=SILENT), 30, "bad", "before had data: the station has given no reason yet"),
        (DATA, lambda t: replace(UP, word=SILENT, detail="no packet"), 30, "bad", "before had data: no packet"),
        (SILENT, lambda t: replace(UP, word=SILENT), 30, "undecided", "as before"),  # the digitizer was dead before
        (DOWN, lambda t: replace(UP, word=SILENT), 30, "undecided", "as before"),
        ("", lambda t: replace(UP, word=SILENT), 30, "undecided", "no version before"),
        (DATA, lambda t: replace(UP, word=BEHIND), 30, "bad", "falls behind"),
        (BEHIND, lambda t: replace(UP, word=BEHIND), 30, "undecided", "as before"),
        (DATA, lambda t: replace(UP, memory_mib=257.0), 0, "bad", "257 MiB of memory, the hardware profile allows 256"),
        (DATA, lambda t: replace(UP, safe_mode=True, detail="no key"), 0, "bad", "it runs in safe mode: no key"),
    ],
)  # fmt: skip
def test_verdict(before: str, readings: Callable[[float], Reading], at_s: int, word: str, reason: str) -> None:
    found = _verdict(before, readings)
    assert found[:2] == (at_s, word) and reason in found[2]


def test_one_bad_station_of_two_is_bad() -> None:
    window = Window(NEW, {"XX.A": DATA, "XX.B": DATA}, LIMITS, 0.0)
    readings = {"XX.A": UP, "XX.B": replace(UP, word=SILENT)}
    assert window.add(readings, 0.0) is None
    reason = "no data are analysed, the version before had data: the station has given no reason yet"
    assert window.add(readings, 30.0) == ("bad", f"XX.B: {reason}")


def _clock() -> run.Clock:
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    return run.Clock(lambda: passed[0], lambda: NOW, sleep)


def _watched(launcher: Launcher, monkeypatch: pytest.MonkeyPatch, word: str) -> State:
    monkeypatch.setattr(
        run, "readings_of", lambda _, version, stations: {s: Reading(word, slot=version.slot) for s in stations}
    )
    return run.watch(launcher, _clock(), 30.0, 60.0)


def test_watch_to_a_good_verdict(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    state = _watched(launcher, monkeypatch, DATA)
    assert (_serial(state), state.pending, state.floor, state.verdict) == (2, False, 2, "good")
    assert (launcher.root / "flash.pyz").read_bytes() == b"launcher 2"


def test_watch_to_a_bad_verdict(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    state = _watched(launcher, monkeypatch, SILENT)
    assert (_serial(state), state.pending, state.floor, state.verdict) == (1, False, 1, "bad")
    assert _programs(launcher).restarts == 1
    assert (launcher.root / "flash.pyz").read_bytes() == b"launcher 1"


def test_watch_without_a_verdict(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(launcher.disk, launcher.root, replace(read_state(launcher.root), baseline={"XX.STA": SILENT}))
    state = _watched(launcher, monkeypatch, SILENT)
    assert (_serial(state), state.pending, state.floor, state.verdict) == (2, True, 1, "undecided")
    assert not _watched(launcher, monkeypatch, DATA).pending  # when data come the next window confirms it


def test_models_that_give_something_else_than_in_the_self_test(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _programs(launcher).golden = "other"
    state = _watched(launcher, monkeypatch, DATA)
    assert _serial(state) == 1 and "no longer give what they gave" in state.history[-1]["reason"]


def test_bad_first_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare_device(tmp_path / "opt", Pair(1))
    launcher = launcher_at(tmp_path / "opt")
    _installed(launcher, 1)
    with pytest.raises(FailedError, match="no version before it is installed"):
        _watched(launcher, monkeypatch, DOWN)
    assert read_state(launcher.root).verdict == "bad"


def test_watch_ends_when_a_start_has_gone_back(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        run.start(launcher, BOOT, NOW)

    monkeypatch.setattr(run, "readings_of", lambda *_: {"XX.STA": Reading(DOWN)})
    assert _serial(run.watch(launcher, replace(clock, sleep=sleep), 30.0, 1000.0)) == 1


def test_rollback_by_hand_while_an_installation_watches(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the watch, and says nothing against the bundle: the bundle may be installed again without --again."""

    def by_hand(*_: object) -> dict[str, Reading]:
        run.roll_back(launcher, NOW, "by an operator", automatic=False)
        return {"XX.STA": Reading(DATA)}

    monkeypatch.setattr(run, "readings_of", by_hand)
    monkeypatch.setattr(command, "CLOCK", _clock())
    why = r"^version 2026\.2 was replaced before its verdict, version 2026\.1 is active again: by an operator$"
    with pytest.raises(FailedError, match=why):
        command.watched(launcher, 30.0, 1000.0, print)
    state = read_state(launcher.root)
    assert _serial(state) == 1 and state.bad == {} and state.verdict == ""
    _installed(launcher, 2)
    assert _serial(read_state(launcher.root)) == 2


def test_rollback_to_a_damaged_version_is_refused(launcher: Launcher) -> None:
    _break(launcher, 1)
    with pytest.raises(FailedError, match=r"__init__\.py: the previous version is damaged; install a bundle"):
        run.roll_back(launcher, NOW, "", automatic=False)
    assert _serial(read_state(launcher.root)) == 2


def test_installation_over_an_unconfirmed_version(launcher: Launcher) -> None:
    """The version that had proved itself stays the one to go back to."""
    _installed(launcher, 3)
    state = read_state(launcher.root)
    assert _serial(state) == 3 and state.previous is not None and state.previous.serial == 1
    assert _serial(run.roll_back(launcher, NOW, "", automatic=True)) == 1


def test_status(launcher: Launcher) -> None:
    found = status_of(launcher)
    assert (found["state"], found["serial"], found["changed_files"]) == ("pending", 2, [])
    assert found["stations"][0]["health"] == DOWN
    slot = slot_of(launcher.root, _active(launcher))
    (slot / "files/models/a.onnx").write_bytes(b"graph 7")
    assert status_of(launcher)["changed_files"] == ["files/models/a.onnx"]
    assert "changed file: files/models/a.onnx" in status_lines(status_of(launcher))
    run.roll_back(launcher, NOW, "no data", automatic=True)
    found = status_of(launcher)
    assert (found["state"], found["reason"], list(found["failed"].values())) == ("rolled back", "no data", ["no data"])


def test_reading_of_a_document() -> None:
    station = {"usable_age_s": 1.0, "data_age_s": 4.0}
    tree = {"status": "ok", "reasons": [], "slot": NEW, "resident_mib": 80.5, "stations": {"XX.STA": station}}
    assert reading_from(tree, "XX.STA") == Reading(DATA, NEW, 80.5, "", "ok", 4.0)
    assert reading_from(tree | {"dropping": True}, "XX.STA").word == BEHIND
    assert reading_from(tree, "XX.OTHER").word == SILENT
    station["usable_age_s"] = 100.0
    assert reading_from(tree, "XX.STA").word == SILENT


def test_addresses() -> None:
    assert parsed_address("0.0.0.0:9108", 0) == ("127.0.0.1", 9108)
    assert parsed_address("[::1]:9108", 0) == ("::1", 9108)
    assert parsed_address(None, 1) == ("127.0.0.1", 8918)
