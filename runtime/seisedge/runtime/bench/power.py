"""Power and energy of the board, from sysfs: which rails are read, and which sum is the board's total.

- Jetson Orin Nano and Orin NX: INA3221, VDD_IN is the total input of the module; the other rails are parts of it.
- Jetson AGX Orin: INA3221, the sum of VDD_GPU_SOC, VDD_CPU_CV and VIN_SYS_5V0 (which is I/O and DRAM, not the total).
- Jetson Thor: INA238 on the carrier, VIN is the total input; the INA3221 rails are parts of it.
- x86: RAPL counters of the packages, which wrap around and are readable by root only since Linux 5.10.

NVML is not used: on Jetson it reports NotSupported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# name in the device tree, rails whose sum is the total; the first that matches
TOTALS = (
    ("AGX Orin", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
    ("Orin Nano", ("VDD_IN",)),
    ("Orin NX", ("VDD_IN",)),
    ("Thor", ("VIN",)),
)
MAX_CHANNELS = 8


@dataclass(slots=True)
class Meter:
    """Energy of the board. rails: what is summed. source: the kind of sensor. reason: why there is none, or ''."""

    source: str = ""
    rails: tuple[str, ...] = ()
    reason: str = ""
    _watts: Callable[[], float] | None = None
    _counters: list[_Counter] = field(default_factory=list)
    _joules: float = 0.0
    _last: tuple[float, float] | None = None  # seconds and watts of the last sample

    def sample(self, now_s: float) -> float | None:
        """Read the sensors once; returns the energy since the first sample in joules, None where it is unknown."""
        if self.reason:
            return None
        try:
            if self._watts is None:
                return sum(counter.joules() for counter in self._counters)
            watts = self._watts()
        except (OSError, ValueError) as error:
            self.reason = f"{self.source} cannot be read any more: {error}"
            return None
        if self._last is not None:
            self._joules += (now_s - self._last[0]) * (watts + self._last[1]) / 2
        self._last = now_s, watts
        return self._joules


class _Counter:
    """A RAPL counter in microjoules, which starts again at 0 after `range_uj`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._path.read_text())
        self._sum_uj = 0

    def joules(self) -> float:
        now_uj = int(self._path.read_text())
        step = now_uj - self._last_uj
        self._sum_uj += step if step >= 0 else step + self._range_uj + 1
        self._last_uj = now_uj
        return self._sum_uj / 1e6


def open_meter(board: str | None, root: Path = Path("/")) -> Meter:
    """The meter of this machine; one with a `reason` where its energy cannot be measured."""
    rails = _rails(root)
    total = next((names for word, names in TOTALS if board is not None and word in board), None)
    if total is not None:
        missing = [name for name in total if name not in rails]
        if missing:
            found = ", ".join(rails) or "none"
            return Meter(
                reason=f"{board}: the rail {missing[0]} is needed for the total, and is missing (found: {found})"
            )
        chosen = [rails[name] for name in total]
        kind = "INA238" if total == ("VIN",) else "INA3221"
        return Meter(source=kind, rails=total, _watts=lambda: sum(read() for read in chosen))
    if rails:
        return Meter(
            reason=f"which of the rails {', '.join(rails)} are the total of {board or 'this board'} is not known"
        )
    return _rapl(root)


def _rapl(root: Path) -> Meter:
    folders = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = []
    for folder in folders:
        try:
            name = (folder / "name").read_text().strip()
            if name.startswith("package"):
                packages.append((name, _Counter(folder)))
        except PermissionError:
            return Meter(reason="the RAPL counters are readable by root only; run the benchmark as root for the energy")
        except (OSError, ValueError):
            continue
    if not packages:
        return Meter(reason="this machine has no power sensor that seisedge can read (INA3221, INA238, RAPL)")
    return Meter(source="RAPL", rails=tuple(name for name, _ in packages), _counters=[c for _, c in packages])


def _rails(root: Path) -> dict[str, Callable[[], float]]:
    """The rails of all INA3221 and INA238, by name; each gives its power in watts."""
    found: dict[str, Callable[[], float]] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        name = _text(folder / "name")
        if name.startswith("ina3221"):
            for k in range(1, MAX_CHANNELS):
                label = _text(folder / f"in{k}_label")
                if label and (folder / f"curr{k}_input").exists():  # in7 is a sum of shunt voltages, without a current
                    found[label] = _product(folder / f"in{k}_input", folder / f"curr{k}_input")
        elif name.startswith("ina238"):
            label = _text(folder / "in1_label") or _text(folder / "power1_label") or "VIN"
            found[label if label != "NC" else "VIN"] = _scaled(folder / "power1_input", 1e-6)
    for folder in sorted((root / "sys/bus/iio/devices").glob("iio:device*")):
        if not _text(folder / "name").startswith("ina3221"):
            continue
        for k in range(MAX_CHANNELS):
            label = _text(folder / f"rail_name_{k}")
            if label:
                found[label] = _scaled(folder / f"in_power{k}_input", 1e-3)
    return found


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: int(volts.read_text()) * int(amperes.read_text()) / 1e6  # mV and mA


def _scaled(path: Path, unit: float) -> Callable[[], float]:
    return lambda: int(path.read_text()) * unit


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return ""
