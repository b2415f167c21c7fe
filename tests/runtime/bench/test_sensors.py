"""Power and disturbances, read from made sysfs trees of each board."""

from pathlib import Path
from typing import Any

import pytest

from seisedge.runtime.bench.disturbance import Sampler, power_mode, summarise
from seisedge.runtime.bench.model import energy_of
from seisedge.runtime.bench.power import open_meter

RAILS = {  # of an INA3221: label, mV, mA
    "NVIDIA Jetson Orin Nano Developer Kit": [
        ("VDD_IN", 5000, 1000),
        ("VDD_CPU_GPU_CV", 5000, 400),
        ("VDD_SOC", 5000, 300),
    ],
    "NVIDIA Orin NX Developer Kit": [("VDD_IN", 19000, 500), ("VDD_CPU_GPU_CV", 19000, 200), ("VDD_SOC", 19000, 100)],
    "NVIDIA Jetson AGX Orin Developer Kit": [
        ("VDD_GPU_SOC", 20000, 200),
        ("VDD_CPU_CV", 20000, 100),
        ("VIN_SYS_5V0", 5000, 600),
    ],
    "NVIDIA Jetson AGX Thor Developer Kit": [
        ("VDD_GPU", 12000, 900),
        ("VDD_CPU_SOC_MSS", 12000, 500),
        ("VIN_SYS_5V0", 5000, 700),
    ],
}
TOTAL_W = {"Orin Nano": 5.0, "Orin NX": 9.5, "AGX Orin": 9.0, "Thor": 31.0}


def _write(root: Path, files: dict[str, object]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")


def _board(root: Path, name: str) -> None:
    folder = "sys/class/hwmon/hwmon3"
    _write(root, {f"{folder}/name": "ina3221", f"{folder}/in7_label": "sum of shunt voltages"})
    for k, (label, volts, amperes) in enumerate(RAILS[name], 1):
        _write(
            root, {f"{folder}/in{k}_label": label, f"{folder}/in{k}_input": volts, f"{folder}/curr{k}_input": amperes}
        )
    if "Thor" in name:
        other = "sys/class/hwmon/hwmon4"
        _write(root, {f"{other}/name": "ina238", f"{other}/power1_input": 31_000_000, f"{other}/in1_input": 19000})


@pytest.mark.parametrize("name", RAILS)
def test_total_power_of_each_jetson(tmp_path: Path, name: str) -> None:
    _board(tmp_path, name)
    meter = open_meter(name, tmp_path)
    watts = next(value for word, value in TOTAL_W.items() if word in name)
    assert meter.reason == "" and meter.sample(10.0) == 0.0
    assert meter.sample(70.0) == pytest.approx(60 * watts)
    assert meter.source == ("INA238" if "Thor" in name else "INA3221")


def test_energy_is_integrated_over_the_samples(tmp_path: Path) -> None:
    name = "NVIDIA Jetson Orin Nano Developer Kit"
    _board(tmp_path, name)
    meter = open_meter(name, tmp_path)
    meter.sample(0.0)
    _write(tmp_path, {"sys/class/hwmon/hwmon3/curr1_input": 3000})  # from 5 W to 15 W
    assert meter.sample(2.0) == pytest.approx(20.0)
    (tmp_path / "sys/class/hwmon/hwmon3/curr1_input").unlink()
    assert meter.sample(3.0) is None and "cannot be read any more" in meter.reason


def test_older_jetpack_with_iio(tmp_path: Path) -> None:
    folder = "sys/bus/iio/devices/iio:device0"
    _write(
        tmp_path, {f"{folder}/name": "ina3221x", f"{folder}/rail_name_0": "VDD_IN", f"{folder}/in_power0_input": 4200}
    )
    meter = open_meter("NVIDIA Jetson Orin NX", tmp_path)
    meter.sample(0.0)
    assert meter.sample(1.0) == pytest.approx(4.2)


def test_rapl_wraps_around(tmp_path: Path) -> None:
    for k, name in enumerate(("package-0", "package-1", "psys")):
        folder = f"sys/class/powercap/intel-rapl:{k}"
        _write(
            tmp_path, {f"{folder}/name": name, f"{folder}/energy_uj": 900_000, f"{folder}/max_energy_range_uj": 999_999}
        )
    meter = open_meter(None, tmp_path)
    assert meter.rails == ("package-0", "package-1") and meter.sample(0.0) == 0.0
    _write(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": 400_000})  # after 1,000,000 counts from 0 again
    assert meter.sample(1.0) == pytest.approx(0.5)


def test_unknown_energy_has_a_reason_and_is_never_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = open_meter(None, tmp_path)
    assert meter.sample(0.0) is None and "no power sensor" in meter.reason
    _board(tmp_path, "NVIDIA Jetson Orin Nano Developer Kit")
    assert "is not known" in open_meter("Another board", tmp_path).reason
    (tmp_path / "sys/class/hwmon/hwmon3/in1_label").unlink()
    assert "VDD_IN" in open_meter("NVIDIA Jetson Orin Nano", tmp_path).reason
    folder = tmp_path / "x/sys/class/powercap/intel-rapl:0"
    _write(folder, {"name": "package-0", "energy_uj": 1, "max_energy_range_uj": 9})
    read_text = Path.read_text

    def refuse(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "root only" in open_meter(None, tmp_path / "x").reason


CALM: dict[str, object] = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 2_000_000,
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 800_000,
    "sys/class/thermal/thermal_zone0/temp": 45_000,
    "sys/class/thermal/thermal_zone1/temp": -256_000,
    "sys/class/hwmon/hwmon2/oc1_event_cnt": 3,
    "var/lib/nvpmodel/status": "pmode:0001 fmode:quiet",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=15W >",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0 total=0",
    "proc/pressure/memory": "some avg10=0.00 total=0",
    "proc/stat": "cpu  100 0 50 850 0 0 0 0 0 0\ncpu0 1 2 3",
    "proc/self/cgroup": "0::/box",
    "sys/fs/cgroup/box/cpu.stat": "usage_usec 5\nthrottled_usec 0",
}


def test_a_calm_round_has_no_marks(tmp_path: Path) -> None:
    _write(tmp_path, CALM)
    sampler = Sampler(tmp_path)
    first = sampler.read()
    facts = summarise([first, first | {"s": first["s"] + 1.0}])
    assert facts["marks"] == [] and facts["power_mode"] == "15W"
    assert facts["clock_mhz"] == [2000, 2000, 2000] and facts["temperature_c"] == [45, 45, 45]
    assert facts["io_pressure"] is None and facts["processor_pressure"] == 0.0 and facts["joules"] is None


@pytest.mark.parametrize(
    ("file", "text", "mark"),
    [
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1_200_000, "clock_drop"),
        ("sys/class/hwmon/hwmon2/oc1_event_cnt", 4, "throttle_events"),
        ("var/lib/nvpmodel/status", "pmode:0000", "power_mode_changes"),
        ("proc/pressure/cpu", "some avg10=0.00 total=501000", "processor_pressure"),
        ("proc/stat", "cpu  100 0 50 890 0 0 0 60", "steal"),
        ("sys/fs/cgroup/box/cpu.stat", "throttled_usec 20000", "cgroup_throttled_s"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "0x50004", "throttled"),
    ],
)
def test_a_disturbance_in_the_middle_is_marked(tmp_path: Path, file: str, text: object, mark: str) -> None:
    """Also one that is over at the end: clocks and modes are sampled while the round runs."""
    _write(tmp_path, CALM)
    sampler = Sampler(tmp_path)
    before = sampler.read()
    _write(tmp_path, {file: text})
    middle = sampler.read() | {"s": before["s"] + 1.0}
    if mark in ("clock_drop", "power_mode_changes"):
        _write(tmp_path, {file: CALM[file]})
    samples = [before, middle, sampler.read() | {"s": before["s"] + 2.0}]
    if mark == "clock_drop":
        samples.insert(0, before)
    assert [words.split()[0] for words in summarise(samples)["marks"]] == [mark]


def test_the_sampler_runs_while_the_round_does() -> None:
    with Sampler() as sampler:
        pass
    assert sampler.summary["seconds"] > 0 and sampler.summary["steal"] is not None


def test_power_mode_without_nvpmodel(tmp_path: Path) -> None:
    assert power_mode(tmp_path) is None
    _write(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil"})
    assert power_mode(tmp_path) == "schedutil"


@pytest.mark.parametrize("name", [*RAILS, "x86 with RAPL"])
def test_a_run_on_each_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """60 s of idling and 60 s of 3,000 inferences at twice the power, with throttling in the middle of the second."""
    rapl = tmp_path / "sys/class/powercap/intel-rapl:0"
    _write(tmp_path, CALM)
    if name in RAILS:
        _board(tmp_path, name)
    else:
        _write(rapl, {"name": "package-0", "energy_uj": 990_000_000, "max_energy_range_uj": 999_999_999})
    watts = next((value for word, value in TOTAL_W.items() if word in name), 20.0)
    now_s = [0.0]
    monkeypatch.setattr("seisedge.runtime.bench.disturbance.time.monotonic", lambda: now_s[0])
    sampler = Sampler(tmp_path, name)

    def run(power_w: float, throttled_at_s: float | None = None) -> dict[str, Any]:
        samples = [sampler.read()]
        for _ in range(60):
            now_s[0] += 1.0
            if name not in RAILS:
                energy_uj = int((rapl / "energy_uj").read_text()) + round(power_w * 1e6)
                _write(rapl, {"energy_uj": energy_uj % 1_000_000_000})
            if now_s[0] == throttled_at_s:
                _write(tmp_path, {"sys/class/hwmon/hwmon2/oc1_event_cnt": 5})
            samples.append(sampler.read())
        return summarise(samples)

    idle = run(watts)
    assert idle["joules"] == pytest.approx(60 * watts) and idle["marks"] == [] and idle["power_mode"] == "15W"
    for path in (tmp_path / "sys/class/hwmon").glob("*/curr*_input"):
        path.write_text(str(2 * int(path.read_text())), encoding="utf-8")
    for path in (tmp_path / "sys/class/hwmon").glob("*/power1_input"):
        path.write_text(str(2 * int(path.read_text())), encoding="utf-8")
    sampler.read()
    busy = run(2 * watts, throttled_at_s=90.0)
    assert [mark.split()[0] for mark in busy["marks"]] == ["throttle_events"]
    meter = sampler.meter
    energy = energy_of(busy, 3000, idle["joules"] / idle["seconds"], meter.source, list(meter.rails))
    assert energy.gross_mj == pytest.approx(60 * 2 * watts / 3000 * 1e3)
    assert energy.above_idle_mj == pytest.approx(60 * watts / 3000 * 1e3)
    assert energy.source == ("RAPL" if name not in RAILS else "INA238" if "Thor" in name else "INA3221")
