"""`seisedge flash`"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from seisedge.runtime.bundle.container import open_bundle, write_bundle
from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.keys import PublicKey
from seisedge.runtime.bundle.trust import Trust, statement_from_bytes, succeed, trust_from_bytes
from seisedge.runtime.commands._flash_fleet import print_fleet_status, push
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB, file_written_whole, read_up_to, write_atomically

EPILOG = """\b
Examples:
  seisedge flash keygen release.key --comment "release key 1"
  seisedge flash wheels --hardware jetson-orin-nano --seisedge dist/seisedge-0.1.0-py3-none-any.whl -o wheels
  seisedge flash build --hardware jetson-orin-nano --stations stations --models models --wheels wheels \\
      --serial 7 --version 2026.11 -o fleet.seisedge
  seisedge flash sign fleet.seisedge --key release.key
  seisedge flash verify fleet.seisedge --trust trust.json
  seisedge flash push fleet.seisedge --fleet fleet.toml --wave 1,10,rest
  seisedge flash status --fleet fleet.toml
"""
MAX_TRUST_BYTES = MIB


class _Existing(click.Path):
    def __init__(self) -> None:
        super().__init__(path_type=Path)


@click.group(epilog=EPILOG)
def command() -> None:
    """Make, sign, compare and install bundles: everything that stations of a fleet need, in one file."""


@command.command("keygen", short_help="Make a pair of signing keys.")
@click.argument("key", type=_Existing())
@click.option("--comment", default="", help="Who has the key; it is part of the public key file.")
def keygen(key: Path, comment: str) -> None:
    """Make a pair of Ed25519 keys: the private one in KEY, the public one in KEY.pub.

    The private key is encrypted with the passphrase that is asked for, or that of SEISEDGE_SIGNING_PASSPHRASE. It
    never belongs on a station. Keep a copy apart: stations that trust only this key accept no other.
    """
    from seisedge.runtime.flash.signing import PASSPHRASE_VARIABLE, new_key

    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    if passphrase is None:
        passphrase = _asked("Passphrase (empty: not encrypted)", again=True)
    with _faults_named():
        public = new_key(key, passphrase, comment)
    click.echo(f"wrote {key} and {key}.pub, key {public.shown}")
    if not passphrase:
        click.echo("the private key is not encrypted: whoever can read the file can sign for your stations", err=True)


@command.command("trust", short_help="Say whose signatures stations accept.")
@click.argument("statement", type=_Existing())
@click.option("--key", "keys", multiple=True, type=_Existing(), help="A public key that is trusted; may be repeated.")
@click.option("--threshold", default=1, show_default=True, help="How many of the keys have to sign.")
@click.option("--after", type=_Existing(), help="The statement that is replaced; also its keys have to sign.")
@click.option("--lowest-serial", default=0, show_default=True, help="Stations refuse bundles of a lower serial.")
def trust(statement: Path, keys: tuple[Path, ...], threshold: int, after: Path | None, lowest_serial: int) -> None:
    """Write a trust statement to STATEMENT, to be signed with 'seisedge flash sign'; without --key check and print it.

    The first one is put on a station by hand. Each later version replaces it only if a threshold of the old keys and a
    threshold of the new ones have signed it; that is what --after without --key checks.
    """
    from seisedge.runtime.flash.signing import public_key

    old = None if after is None else trust_from_bytes(_read(after), str(after))[0]
    if not keys:
        data = _read(statement)
        if old is not None:
            succeed(old, data, str(statement))
        _print_trust(*trust_from_bytes(data, str(statement)))
        return
    if statement.exists():
        raise InputError(f"{statement}: the file exists; choose another name")
    version = 1 if old is None else old.version + 1
    with _faults_named():
        new = Trust(version, tuple(public_key(path) for path in keys), threshold, lowest_serial)
    write_atomically(statement, new.envelope().to_bytes())
    click.echo(f"wrote {statement}, version {version}, not signed; next: seisedge flash sign {statement} --key KEY")


@command.command("golden", short_help="Compute the golden windows of models.")
@click.argument("models", nargs=-1, required=True, type=_Existing())
def golden(models: tuple[Path, ...]) -> None:
    """Write NAME.golden.npz beside each model file: real windows and the probabilities of the model for them.

    A station computes them again before it uses a new version. Do this once for a model file, when it is released.
    """
    from seisedge.runtime.flash.golden import make_golden

    for model in models:
        click.echo(f"wrote {make_golden(model)}")


@command.command("wheels", short_help="Download the packages for an offline installation.")
@click.option("--hardware", required=True, metavar="PROFILE", help="A hardware profile by name, or its TOML file.")
@click.option("--seisedge", "wheel", required=True, type=_Existing(), help="The wheel of seisedge.")
@click.option("-o", "--out", required=True, type=_Existing(), help="A new folder.")
def wheels(hardware: str, wheel: Path, out: Path) -> None:
    """Fill a folder with the wheels that a station needs, in versions resolved for its hardware and Python.

    Needs uv and a package index; later commands need no network.
    """
    from seisedge.runtime.flash.profile import load_profile
    from seisedge.runtime.flash.wheels import make_wheels

    _, profile = load_profile(hardware)
    names = make_wheels(profile, out, wheel)
    click.echo(f"wrote {len(names)} wheels to {out}, {_mib(sum((out / name).stat().st_size for name in names))}")


@command.command("build", short_help="Make a bundle.")
@click.option("--hardware", required=True, metavar="PROFILE", help="A hardware profile by name, or its TOML file.")
@click.option("--stations", required=True, type=_Existing(), help="Folder of the station files of all stations.")
@click.option("--models", required=True, type=_Existing(), help="Folder of model files with their golden windows.")
@click.option("--wheels", required=True, type=_Existing(), help="Folder of 'seisedge flash wheels'.")
@click.option("--serial", required=True, type=click.IntRange(1), help="Orders the bundles of a fleet; ascending.")
@click.option("--version", required=True, help="For people, as 2026.11.")
@click.option("--not-after", default="", help="No installation after this time, as 2027-06-30T00:00:00Z.")
@click.option("--launcher", type=_Existing(), help="File of 'seisedge flash launcher' [default: made now].")
@click.option("-o", "--out", required=True, type=_Existing(), help="The bundle, as fleet.seisedge.")
def build(  # noqa: PLR0913 - one parameter for each option of the command
    hardware: str,
    stations: Path,
    models: Path,
    wheels: Path,
    serial: int,
    version: str,
    not_after: str,
    launcher: Path | None,
    out: Path,
) -> None:
    """Make one file with models, station files, unit files and packages for the stations of one kind of hardware.

    The same inputs give the same bytes, on any machine. Its time is SOURCE_DATE_EPOCH, or the newest date of a model.
    """
    from seisedge.runtime.flash.build import Inputs
    from seisedge.runtime.flash.build import build as build_bundle

    inputs = Inputs(hardware, stations, models, wheels, serial, version, not_after, launcher=launcher)
    manifest = build_bundle(inputs, out)
    click.echo(
        f"wrote {out}, {_mib(out.stat().st_size)}: {len(manifest.stations)} stations, {manifest.hardware.profile}, "
        f"Python {', '.join(manifest.hardware.python)}, not signed; next: seisedge flash sign {out} --key KEY"
    )


@command.command("launcher", short_help="Make the file that installs bundles on a device.")
@click.option("-o", "--out", required=True, type=_Existing(), help="The launcher, as flash.pyz.")
def launcher(out: Path) -> None:
    """Write the launcher, one file that a device runs with python3 3.11 or newer; it needs no package.

    Copy it to a new device with a bundle and a trust statement: python3 flash.pyz bootstrap --help
    """
    from seisedge.runtime.flash.launcher_file import launcher_bytes

    data = launcher_bytes()
    write_atomically(out, data)
    click.echo(f"wrote {out}, {len(data) / 1000:.0f} kB; next: python3 {out} bootstrap --help")


@command.command("sign", short_help="Sign a bundle or a trust statement.")
@click.argument("file", type=_Existing())
@click.option("--key", type=_Existing(), help="A private key [default: the PEM in SEISEDGE_SIGNING_KEY].")
def sign(file: Path, key: Path | None) -> None:
    """Add a signature to a bundle or a trust statement. The file is replaced when the signature is complete."""
    from seisedge.runtime.flash import signing

    pem, place = signing.private_key(key)
    passphrase = os.environ.get(signing.PASSPHRASE_VARIABLE)
    if passphrase is None:
        passphrase = _asked(f"Passphrase of {place}") if b"ENCRYPTED" in pem else ""
    if _is_statement(file):
        _, envelope = statement_from_bytes(_read(file), str(file))
        envelope, public = signing.sign(envelope, pem, passphrase, place)
        write_atomically(file, envelope.to_bytes())
    else:
        bundle = open_bundle(file)
        with bundle.file:
            bundle.check_contents()
            envelope, public = signing.sign(bundle.envelope, pem, passphrase, place)
            with file_written_whole(file) as signed:
                write_bundle(signed, envelope, ((e, bundle.chunks(e)) for e in bundle.manifest.files))
    click.echo(f"{file}: signed with key {public.shown}; signatures: {len(envelope.signatures)}")


@command.command("verify", short_help="Check the signatures and every file of a bundle.")
@click.argument("bundle", type=_Existing())
@click.option("--trust", "statement", type=_Existing(), help="The trust statement that the stations have.")
@click.option(
    "--key", "keys", multiple=True, type=_Existing(), help="Instead: public keys, all of which have to have signed."
)
def verify(bundle: Path, statement: Path | None, keys: tuple[Path, ...]) -> None:
    """Check that trusted keys have signed BUNDLE and that each file has the bytes that the manifest lists.

    Exit status: 0 a station with this trust accepts it, 2 it does not.
    """
    trusted = _trusted(statement, keys)
    opened = open_bundle(bundle)
    with opened.file:
        signers = opened.envelope.signers(trusted.keys)
        if len(signers) < trusted.threshold:
            raise InputError(
                f"{bundle}: signed by {len(signers)} of the trusted keys, {trusted.threshold} needed; "
                "sign it with 'seisedge flash sign'"
            )
        if opened.manifest.serial < trusted.lowest_serial:
            raise InputError(
                f"{bundle}: serial {opened.manifest.serial} is below {trusted.lowest_serial}, the lowest of the trust "
                "statement; build it with a higher one"
            )
        opened.check_contents()
    names = ", ".join(sorted(key.shown for key in signers))
    click.echo(
        f"{bundle}: serial {opened.manifest.serial}, {len(opened.manifest.files)} files intact, signed by {names}"
    )


@command.command("inspect", short_help="Print what a bundle contains.")
@click.argument("bundle", type=_Existing())
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(bundle: Path, as_json: bool) -> None:
    """Print what BUNDLE is for and contains. Signatures are counted, not checked: see 'seisedge flash verify'."""
    opened = open_bundle(bundle)
    with opened.file:
        manifest = opened.manifest
        if as_json:
            click.echo(opened.envelope.payload.decode())
            return
        hardware = manifest.hardware
        click.echo(
            f"serial {manifest.serial}, version {manifest.version}, seisedge {manifest.seisedge}, "
            f"built {manifest.built}"
        )
        click.echo(
            f"signatures: {len(opened.envelope.signatures)}, not checked; not after: {manifest.not_after or '–'}"
        )
        click.echo(
            f"hardware: {hardware.profile}, {hardware.machine}, Python {', '.join(hardware.python)}, {hardware.engine} "
            f"{hardware.precision}; at most {hardware.memory_mib} MiB of memory, {hardware.disk_mib} MiB of disk"
        )
        click.echo(f"stations: {', '.join(sorted(manifest.stations))}")
        for file in manifest.files:
            click.echo(f"{file.size:>12,}  {file.sha256[:12]}  {file.path}")
        click.echo(
            f"{sum(file.size for file in manifest.files):>12,}  in all; installed {_mib(manifest.installed_bytes)}"
        )


@command.command("diff", short_help="Print what changes at a station from one bundle to another.")
@click.argument("old", type=_Existing())
@click.argument("new", type=_Existing())
def diff(old: Path, new: Path) -> None:
    """Print what changes from OLD to NEW: settings of each station, models, packages, hardware. Exit status 0."""
    from seisedge.runtime.flash.difference import differences

    before, after = open_bundle(old), open_bundle(new)
    with before.file, after.file:
        rows = differences(before, after)
    if not rows:
        click.echo("no difference")
        return
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        click.echo(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:{widths[2]}} → {row[3]}")


def _on_device(name: str, text: str) -> None:
    """Add a command that this machine runs as a device: the same functions as those of `flash.pyz`."""

    @command.command(name, short_help=text, context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def on_device(arguments: tuple[str, ...]) -> None:
        from seisedge.runtime.launcher.command import main

        click.get_current_context().exit(main([name, *arguments]))

    on_device.help = f"{text}\n\nFor a device: the command of the same name of flash.pyz; --help lists its options."


for _name, _text in (
    ("bootstrap", "Set up this device and install a bundle."),
    ("install", "Install a bundle on this device, watch it, and go back if it fails."),
    ("rollback", "Go back to the previous version on this device."),
    ("history", "Print what was installed, confirmed and left on this device."),
    ("gc", "Remove the versions on this device that are not in use."),
):
    _on_device(_name, _text)


@command.command(
    "status",
    short_help="Print what is installed, here or on the devices of a fleet.",
    context_settings={"ignore_unknown_options": True},
)
@click.option("--fleet", type=_Existing(), metavar="FLEET.toml", help="Print a table of these devices, over SSH.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
def status(fleet: Path | None, as_json: bool, arguments: tuple[str, ...]) -> None:
    """Print which version is installed on this device and how its stations are; with --fleet, on each of its devices.

    Without --fleet: the command of the same name of flash.pyz, with its options, such as --root.
    """
    if fleet is not None:
        if arguments:
            raise InputError(f"--fleet takes no further options; got {' '.join(arguments)}")
        print_fleet_status(fleet, as_json=as_json)
        return
    from seisedge.runtime.launcher.command import main

    click.get_current_context().exit(main(["status", *arguments, *(["--json"] if as_json else [])]))


command.add_command(push)


def _trusted(statement: Path | None, keys: tuple[Path, ...]) -> Trust:
    from seisedge.runtime.flash.signing import public_key

    if (statement is None) == (not keys):
        raise InputError("give either --trust or --key: whose signature is required")
    if statement is not None:
        return trust_from_bytes(_read(statement), str(statement))[0]
    with _faults_named():
        return Trust(1, tuple(public_key(path) for path in keys), len(keys))


@contextlib.contextmanager
def _faults_named() -> Iterator[None]:
    """Values from options that a key or a statement cannot have."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def _asked(what: str, *, again: bool = False) -> str:
    answer: str = click.prompt(what, default="", hide_input=True, confirmation_prompt=again, show_default=False)
    return answer


def _print_trust(trust: Trust, envelope: Envelope) -> None:
    click.echo(
        f"version {trust.version}, {trust.threshold} of {len(trust.keys)} keys, lowest serial {trust.lowest_serial}"
    )
    signers: set[PublicKey] = envelope.signers(trust.keys)
    for key in trust.keys:
        click.echo(f"  {key.line()}{', has signed' if key in signers else ''}")


def _read(path: Path) -> bytes:
    try:
        return read_up_to(path, MAX_TRUST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror}") from error


def _is_statement(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror}") from error


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
