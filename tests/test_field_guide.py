"""The field guide names commands that exist."""

import re

from tests.paths import ROOT

from seisedge.cli import main
from seisedge.runtime.launcher.command import parser

TEXT = (ROOT / "docs/field-guide.md").read_text(encoding="utf-8")


def test_commands_of_the_launcher() -> None:
    commands = re.findall(r"flash\.pyz ([a-z]+)((?: (?:--)?[^ `\n]+)*)", TEXT)
    assert {"bootstrap", "install", "status"} <= {name for name, _ in commands}
    for name, arguments in commands:
        parser().parse_args([name, *arguments.split()])  # exits for an unknown command or option


def test_commands_of_the_workstation() -> None:
    import click

    flash = main.get_command(click.Context(main), "flash")
    assert isinstance(flash, click.Group)
    named = re.findall(r"seisedge flash ([a-z]+)", TEXT)
    assert named and set(named) <= set(flash.commands)
