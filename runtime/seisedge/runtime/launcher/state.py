"""Which version a device runs: one small file, replaced as a whole.

```
        install               verdict good
 active ───────► unconfirmed ──────────────► active
                     │ verdict bad, or it does not come up
                     └─────────────────────► the version before it is active again; the slot is bad
```
The replacement of this file is the switch: before it the old version runs, after it the new one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from seisedge.runtime.bundle.canonical import fields_of, json_bytes, tree_from_json
from seisedge.runtime.errors import FailedError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.launcher.disk import Disk

SCHEMA = 1
FILE_NAME = "state.json"
MAX_BYTES = 256 * 1024
MAX_BAD = 20
MAX_HISTORY = 50
MAX_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Version:
    """An installed version. slot: the name of its folder. listing: SHA-256 of its list of installed files.

    golden: SHA-256 of what its models gave for the golden windows in the self-test on this device. since: when it
    became active, ISO 8601 UTC. memory_mib, latency_ms: measured in the self-test.
    """

    slot: str
    serial: int
    version: str
    built: str
    listing: str
    golden: str = ""
    since: str = ""
    memory_mib: float = 0.0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """active, previous: versions that can be started. older: the previous one of `previous`, until the commit.

    pending: the active version is not confirmed yet. starts: of it, in the boot `boot`. bad: slot → why it was left.
    trust_version, floor: the lowest serial that may be installed under that version of the trusted keys.
    latest: the highest time ever trusted, ISO 8601 UTC. automatic: the active version was reached by an automatic
    rollback; there is no second one. safe_mode: why no version is started; '': one is. verdict: of the last health
    window. baseline: health of the stations before the change, by id; 'data', 'silent', 'behind' or 'down'.
    """

    active: Version | None = None
    previous: Version | None = None
    older: Version | None = None
    pending: bool = False
    starts: int = 0
    boot: str = ""
    bad: dict[str, str] = field(default_factory=dict)
    trust_version: int = 0
    floor: int = 0
    latest: str = ""
    automatic: bool = False
    safe_mode: str = ""
    verdict: str = ""
    baseline: dict[str, str] = field(default_factory=dict)
    history: tuple[dict[str, str], ...] = ()

    @property
    def slots(self) -> set[str]:
        """Names of the slots that are in use."""
        return {version.slot for version in (self.active, self.previous, self.older) if version is not None}

    def noted(self, now: str, what: str, version: Version | None, reason: str = "") -> State:
        """The state with one more line of history."""
        entry = {"time": now, "what": what, "slot": version.slot if version else "", "reason": reason[:MAX_REASON]}
        return replace(self, history=(*self.history, entry)[-MAX_HISTORY:])

    def switched_to(self, new: Version, baseline: dict[str, str], now: str) -> State:
        """The state in which `new` is tried. An unconfirmed version that it replaces is given up."""
        state = replace(
            self,
            active=replace(new, since=now),
            previous=self.previous if self.pending else self.active,
            older=self.older if self.pending else self.previous,
            pending=True,
            starts=0,
            boot="",
            automatic=False,
            safe_mode="",
            verdict="",
            baseline=self.baseline if self.pending else baseline,
            bad={slot: why for slot, why in self.bad.items() if slot != new.slot},
        )
        return state.noted(now, "installed", new)

    def committed(self, now: str, reason: str) -> State:
        """The pending version is good: bundles of a lower serial are refused from now on."""
        assert self.active is not None
        floor = max(self.floor, self.active.serial)
        state = replace(self, pending=False, starts=0, boot="", floor=floor, older=None, verdict="good")
        return state.noted(now, "confirmed", self.active, reason)

    def rolled_back(self, now: str, reason: str, *, automatic: bool) -> State:
        """The version before is active again. An unconfirmed version is removed, as is a broken one.

        automatic: the version that is left has failed. An operator's decision is no failure of it.
        """
        assert self.active is not None and self.previous is not None
        left = self.pending or automatic
        bad = dict(self.bad)
        if automatic:
            bad.pop(self.active.slot, None)
            bad[self.active.slot] = reason[:MAX_REASON]
            bad = dict(list(bad.items())[-MAX_BAD:])
        state = replace(
            self,
            active=replace(self.previous, since=now),
            previous=self.older if left else self.active,
            older=None,
            pending=False,
            starts=0,
            boot="",
            bad=bad,
            automatic=automatic,
            safe_mode="",
            verdict="bad" if automatic else self.verdict,
        )
        return state.noted(now, "rolled back automatically" if automatic else "rolled back", self.active, reason)

    def with_trust(self, version: int, lowest_serial: int) -> State:
        """A new trust statement sets the lowest serial anew."""
        return replace(self, trust_version=version, floor=lowest_serial)


KINDS: dict[str, type | tuple[type, ...]] = {
    "schema": int, "active": (dict, type(None)), "previous": (dict, type(None)), "older": (dict, type(None)),
    "pending": bool, "starts": int, "boot": str, "bad": dict, "trust_version": int, "floor": int, "latest": str,
    "automatic": bool, "safe_mode": str, "verdict": str, "baseline": dict, "history": list,
}  # fmt: skip
VERSION_KINDS: dict[str, type | tuple[type, ...]] = {
    "slot": str, "serial": int, "version": str, "built": str, "listing": str, "golden": str, "since": str,
    "memory_mib": (int, float), "latency_ms": (int, float),
}  # fmt: skip


def read_state(root: Path) -> State:
    """The state of a device; that of a bare one where the file is missing. Raises FailedError."""
    path = root / FILE_NAME
    try:
        tree = fields_of(tree_from_json(read_up_to(path, MAX_BYTES)), KINDS, "the state")
        if tree.pop("schema") != SCHEMA:
            raise ValueError("it is of another version of the launcher")
        versions = {key: _version(tree[key]) for key in ("active", "previous", "older")}
    except FileNotFoundError:
        return State()
    except (OSError, ValueError) as error:
        raise FailedError(
            f"{path}: cannot read which version is active: {error}; install a bundle again with 'bootstrap'"
        ) from error
    return State(**{**tree, **versions, "history": tuple(tree["history"])})


def write_state(disk: Disk, root: Path, state: State) -> None:
    """Replace the state. Raises OSError; then the state on disk is the old one or the new one."""
    disk.replace_file(root / FILE_NAME, [json_bytes({"schema": SCHEMA, **asdict(state)})])


def _version(tree: Any) -> Version | None:
    return None if tree is None else Version(**fields_of(tree, VERSION_KINDS, "a version"))
