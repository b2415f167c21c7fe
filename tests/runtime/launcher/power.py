"""A disk that stops before any operation, and one that forgets what was not synchronised when the power fails.

The model: a file, folder or link is an inode. The content of a file is kept once the file was synchronised; before that
it is empty, half there, or there. A name (created, replaced, removed) is kept once its folder was synchronised; a
renaming changes two names at once. What was not synchronised is kept or lost in any combination. `outcomes` chooses:
everything lost, everything kept, each single change lost, each single change kept, each beginning of the changes kept,
and random combinations.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seisedge.runtime.launcher.disk import Disk

Names = dict[str, int]  # in a folder: name → inode


class Stopped(BaseException):
    """The process was killed."""


@dataclass
class Inode:
    """folder: its names on the device. target: of a link. content: of a file; synchronised: it is on the device."""

    folder: Names | None = None
    target: str = ""
    content: bytes = b""
    synchronised: bool = True


@dataclass
class Change:
    """Names of one folder that change at once; None: removed."""

    folder: int
    names: dict[str, int | None]


@dataclass
class Outcome:
    """What is on the device after a power cut: the names of each folder, and how much of unsynchronised files."""

    folders: dict[int, Names]
    share: Callable[[int], float]


@dataclass
class RecordingDisk(Disk):
    """Performs the operations in `root` and keeps what of them would survive a power cut.

    stop_before: number of the operation that is no longer performed, nor any after it; None: all are. A file is written
    in two operations. skip: number of the synchronisation that does nothing, to see that the tests notice.
    """

    root: Path
    stop_before: int | None = None
    skip: int | None = None
    operations: list[str] = field(default_factory=list)
    synchronisations: list[str] = field(default_factory=list)
    inodes: list[Inode] = field(default_factory=list)
    now: dict[int, Names] = field(default_factory=dict)  # names of each folder as the process sees them
    pending: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loaded(self.root)

    def _loaded(self, path: Path) -> int:
        """All that exists at the start is on the device."""
        number = len(self.inodes)
        if path.is_symlink():
            self.inodes.append(Inode(target=str(path.readlink())))
        elif path.is_file():
            self.inodes.append(Inode(content=path.read_bytes()))
        else:
            self.inodes.append(Inode(folder={}))
            names = {entry.name: self._loaded(entry) for entry in sorted(path.iterdir())}
            self.inodes[number].folder = dict(names)
            self.now[number] = names
        return number

    def _number(self, path: Path) -> int:
        number = 0
        for part in path.relative_to(self.root).parts:
            number = self.now[number][part]
        return number

    def _operation(self, name: str, path: Path) -> None:
        if self.stop_before is not None and len(self.operations) >= self.stop_before:
            raise Stopped
        self.operations.append(f"{name} {path.relative_to(self.root)}")

    def _changed(self, folder: Path, names: dict[str, int | None]) -> None:
        number = self._number(folder)
        self.pending.append(Change(number, names))
        _apply(self.now[number], names)

    def _created(self, path: Path, inode: Inode) -> int:
        self.inodes.append(inode)
        self._changed(path.parent, {path.name: len(self.inodes) - 1})
        return len(self.inodes) - 1

    def make_folder(self, path: Path) -> None:
        self._operation("make folder", path)
        super().make_folder(path)
        self.now[self._created(path, Inode(folder={}))] = {}

    def write(self, path: Path, pieces: Iterable[bytes], mode: int = 0o644) -> None:
        self._operation("create", path)
        super().write(path, [], mode)
        number = self._created(path, Inode(synchronised=False))
        content = b"".join(pieces)
        self._operation("write", path)
        path.write_bytes(content[: len(content) // 2])
        self.inodes[number].content = content
        self._operation("write the rest of", path)
        path.write_bytes(content)

    def link(self, path: Path, target: str) -> None:
        self._operation("link", path)
        super().link(path, target)
        self._created(path, Inode(target=target))

    def rename(self, old: Path, new: Path) -> None:
        self._operation("rename to", new)
        assert old.parent == new.parent
        super().rename(old, new)
        self._changed(new.parent, {new.name: self.now[self._number(old.parent)][old.name], old.name: None})

    def unlink(self, path: Path) -> None:
        self._operation("unlink", path)
        super().unlink(path)
        self._changed(path.parent, {path.name: None})

    def remove_folder(self, path: Path) -> None:
        self._operation("remove folder", path)
        super().remove_folder(path)
        self._changed(path.parent, {path.name: None})

    def _synchronises(self, name: str, path: Path) -> bool:
        self._operation(name, path)
        self.synchronisations.append(self.operations[-1])
        return self.skip != len(self.synchronisations) - 1

    def sync_file(self, path: Path) -> None:
        if self._synchronises("sync file", path):
            super().sync_file(path)
            self.inodes[self._number(path)].synchronised = True

    def sync_folder(self, path: Path) -> None:
        if self._synchronises("sync folder", path):
            super().sync_folder(path)
            number = self._number(path)
            folder = self.inodes[number].folder
            assert folder is not None
            for change in self.pending:
                if change.folder == number:
                    _apply(folder, change.names)
            self.pending = [change for change in self.pending if change.folder != number]

    def sync_all(self, path: Path) -> None:
        if self._synchronises("sync all", path):
            for number, names in self.now.items():
                self.inodes[number].folder = dict(names)
            for inode in self.inodes:
                inode.synchronised = True
            self.pending = []

    def outcomes(self, draws: int, seed: int = 0) -> Iterator[Outcome]:
        """What may be on the device after a power cut now; `draws` random combinations among them."""
        count = len(self.pending)
        everything = set(range(count))
        shares: list[Callable[[int], float]] = [lambda _: 1.0, lambda _: 0.0, lambda _: 0.5]
        chosen = [(kept, share) for kept in (set[int](), everything) for share in shares]
        chosen += [(everything - {k}, shares[k % 3]) for k in range(count)]
        chosen += [({k}, shares[k % 3]) for k in range(count)]
        chosen += [(set(range(k)), shares[k % 3]) for k in range(1, count)]
        draw = random.Random(seed)
        for _ in range(draws):
            some = {number: draw.choice((0.0, 0.5, 1.0)) for number in range(len(self.inodes))}
            chosen.append(({k for k in everything if draw.random() < 0.5}, some.__getitem__))
        for kept, share in chosen:
            folders = {n: dict(inode.folder) for n, inode in enumerate(self.inodes) if inode.folder is not None}
            for k in sorted(kept):
                _apply(folders[self.pending[k].folder], self.pending[k].names)
            yield Outcome(folders, share)

    def described(self, outcome: Outcome, number: int = 0) -> tuple[object, ...]:
        """Equal for equal outcomes."""
        inode = self.inodes[number]
        if number in outcome.folders:
            names = outcome.folders[number]
            return tuple((name, self.described(outcome, names[name])) for name in sorted(names))
        return (inode.target, inode.content, 1.0 if inode.synchronised else outcome.share(number))

    def write_outcome(self, outcome: Outcome, target: Path) -> None:
        """Make a folder as it is found after the power cut."""
        shutil.rmtree(target, ignore_errors=True)
        self._written(0, outcome, target)

    def _written(self, number: int, outcome: Outcome, path: Path) -> None:
        inode = self.inodes[number]
        if number in outcome.folders:
            path.mkdir()
            for name, inner in outcome.folders[number].items():
                self._written(inner, outcome, path / name)
        elif inode.target:
            path.symlink_to(inode.target)
        else:
            size = len(inode.content)
            kept = size if inode.synchronised else round(outcome.share(number) * size)
            path.write_bytes(inode.content[:kept])


def _apply(folder: Names, names: dict[str, int | None]) -> None:
    for name, number in names.items():
        if number is None:
            folder.pop(name, None)
        else:
            folder[name] = number
