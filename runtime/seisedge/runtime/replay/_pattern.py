"""Regular expressions of clients, matched in a time that is linear in the name.

Python's `re` backtracks: `(a+)+$` takes hours for a name of 60 characters. Here a pattern becomes a nondeterministic
automaton, of which all states are followed at once (Thompson 1968, https://swtch.com/~rsc/regexp/regexp1.html).

Supported: characters, `.`, classes `[A-Z]` `[^A-Z]`, `\\d` `\\w` `\\s` and their negations, groups `( )` `(?: )`, `|`,
`^` `$`, and the repetitions `*` `+` `?` `{m}` `{m,}` `{m,n}`, also with `?` behind them. Anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MAX_DEPTH = 50  # of groups within groups
MAX_REPEAT = 255
MAX_STATES = 70_000  # of the automaton; a pattern of MAX_PATTERN_BYTES without repetitions has fewer
MAX_VISITS = 500_000  # of states, for all names together: some tenths of a second

_ALL = frozenset(range(128)) - {10}
_DIGIT = frozenset(b"0123456789")
_WORD = _DIGIT | frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_SPACE = frozenset(b" \t\n\r\f\v")
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE, "D": _ALL - _DIGIT, "W": _ALL - _WORD, "S": _ALL - _SPACE}
_REPEAT = re.compile(r"\{(\d{1,6})(,(\d{0,6}))?\}")


class PatternError(ValueError):
    """A pattern that is invalid, not supported or too complex; the message is for the client."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a pattern. kind: set, sequence, choice, repeat, begin, end."""

    kind: str
    parts: tuple[_Node, ...] = ()
    characters: frozenset[int] = frozenset()
    at_least: int = 0
    at_most: int | None = 0


class Pattern:
    """A pattern to search in names. Raises PatternError."""

    def __init__(self, text: str) -> None:
        if len(text) >= MAX_STATES:
            raise PatternError("the pattern is too long")
        automaton = _Automaton()
        self._begin = automaton.add_node(_Parser(text).parsed(), automaton.MATCH)
        self._states = automaton.states
        self._visits = 0
        self._found: dict[str, bool] = {}
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._anywhere = self._closure([self._begin], at_begin=False)
        self._first = self._closure([self._begin], at_begin=True)

    def search(self, name: str) -> bool:
        """True if the pattern occurs in `name`. Raises PatternError if that takes more than MAX_VISITS in total."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._search(name)
        return found

    def _search(self, name: str) -> bool:
        current = self._first
        for character in name:
            if _Automaton.MATCH in current:
                return True
            key = (current, character)
            following = self._next.get(key)
            if following is None:
                following = self._next[key] = self._step(current, ord(character))
            current = following
        at_end = self._closure(current, at_begin=not name, at_end=True)
        return _Automaton.MATCH in at_end

    def _step(self, current: frozenset[int], code: int) -> frozenset[int]:
        self._visit(len(current))
        moved = [state.then[0] for k in current if code in (state := self._states[k]).characters]
        return self._closure(moved, at_begin=False) | self._anywhere

    def _closure(self, places: Iterable[int], *, at_begin: bool, at_end: bool = False) -> frozenset[int]:
        """All states that are reached without a character."""
        seen = set(places)
        waiting = list(seen)
        while waiting:
            state = self._states[waiting.pop()]
            if state.is_free(at_begin, at_end):
                new = [k for k in state.then if k not in seen]
                seen.update(new)
                waiting += new
        self._visit(len(seen))
        return frozenset(seen)

    def _visit(self, count: int) -> None:
        self._visits += count
        if self._visits > MAX_VISITS:
            raise PatternError("the pattern is too complex")


@dataclass(frozen=True, slots=True)
class _State:
    """A state of the automaton: a character leads from it to `then`, or nothing is needed (split, begin, end)."""

    then: tuple[int, ...] = ()
    characters: frozenset[int] = frozenset()
    needs: str = ""  # 'begin' or 'end' of the name

    def is_free(self, at_begin: bool, at_end: bool) -> bool:
        if self.characters:
            return False
        return not self.needs or (self.needs == "begin" and at_begin) or (self.needs == "end" and at_end)


@dataclass(slots=True)
class _Automaton:
    """States of a pattern, added from its end to its beginning."""

    MATCH = 0
    states: list[_State] = field(default_factory=lambda: [_State()])
    work: int = 0

    def add_node(self, node: _Node, then: int) -> int:
        """Add a part that continues at `then`; returns its first state. Raises PatternError."""
        self.work += 1
        if self.work > MAX_STATES:
            raise PatternError("the pattern is too long")
        if node.kind == "sequence":
            for part in reversed(node.parts):
                then = self.add_node(part, then)
            return then
        if node.kind == "choice":
            return self._add(_State(tuple(self.add_node(part, then) for part in node.parts)))
        if node.kind == "repeat":
            return self._add_repeat(node, then)
        if node.kind == "set":
            return self._add(_State((then,), node.characters))
        return self._add(_State((then,), needs=node.kind))

    def _add_repeat(self, node: _Node, then: int) -> int:
        (part,) = node.parts
        first = then
        if node.at_most is None:
            first = self._add(_State())  # a loop: its body continues at this state
            self.states[first] = _State((self.add_node(part, first), then))
        else:
            for _ in range(node.at_most - node.at_least):
                first = self._add(_State((self.add_node(part, first), then)))
        for _ in range(node.at_least):
            first = self.add_node(part, first)
        return first

    def _add(self, state: _State) -> int:
        self.states.append(state)
        return len(self.states) - 1


class _Parser:
    """Parses a pattern by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parsed(self) -> _Node:
        """The whole pattern. Raises PatternError."""
        node = self._choice()
        if self._at < len(self._text):
            raise self._error("')' without '('")
        return node

    def _error(self, what: str) -> PatternError:
        return PatternError(f"{what} at character {self._at + 1}")

    def _peek(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise self._error("the pattern ends too early")
        self._at += 1
        return character

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Node("choice", tuple(parts))

    def _sequence(self) -> _Node:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._single()))
        return _Node("sequence", tuple(parts))

    def _single(self) -> _Node:
        character = self._take()
        parse: dict[str, Callable[[], _Node]] = {"(": self._group, "[": self._class, "\\": self._escaped}
        if character in parse:
            return parse[character]()
        if character in "*+?{":
            self._at -= 1
            raise self._error(f"'{character}' repeats nothing")
        fixed = {"^": _Node("begin"), "$": _Node("end"), ".": _Node("set", characters=_ALL)}
        return fixed.get(character) or _character(character)

    def _group(self) -> _Node:
        if self._peek() == "?":
            if self._peek(2) != "?:":
                raise self._error("groups other than ( ) and (?: ) are not supported")
            self._at += 2
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} groups within groups")
        node = self._choice()
        if self._take() != ")":
            raise self._error("')' is missing")
        self._depth -= 1
        return node

    def _repeated(self, node: _Node) -> _Node:
        character = self._peek()
        if character == "{":
            match = _REPEAT.match(self._text, self._at)
            if match is None:
                raise self._error("'{' must begin {m}, {m,} or {m,n}")
            at_least = int(match[1])
            at_most = at_least if match[2] is None else int(match[3]) if match[3] else None
            if at_least > MAX_REPEAT or (at_most is not None and not at_least <= at_most <= MAX_REPEAT):
                raise self._error(f"a repetition must be from 0 to {MAX_REPEAT}")
            self._at = match.end()
        elif character and character in "*+?":
            at_least, at_most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
            self._at += 1
        else:
            return node
        if self._peek() == "?":  # shortest first: the same names match
            self._at += 1
        if self._peek() and self._peek() in "*+?{":
            raise self._error(f"'{self._peek()}' behind a repetition is not supported")
        return _Node("repeat", (node,), at_least=at_least, at_most=at_most)

    def _escaped(self) -> _Node:
        return _Node("set", characters=self._escaped_set())

    def _escaped_set(self) -> frozenset[int]:
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        if character.isalnum():
            raise self._error(f"'\\{character}' is not supported")
        return _character(character).characters

    def _class(self) -> _Node:
        negative = self._peek() == "^"
        self._at += negative
        found: set[int] = set()
        first = True
        while first or self._peek() != "]":
            first = False
            found |= self._range()
        self._at += 1
        return _Node("set", characters=_ALL - found if negative else frozenset(found))

    def _range(self) -> frozenset[int]:
        character = self._take()
        if character == "\\":
            return self._escaped_set()
        if self._peek() != "-" or self._peek(2) in ("-", "-]"):
            return _character(character).characters
        self._at += 1
        end = self._take()
        if end == "\\":
            end = self._take()
        if ord(end) < ord(character):
            raise self._error(f"the range {character}-{end} is empty")
        return frozenset(range(ord(character), ord(end) + 1))


def _character(character: str) -> _Node:
    return _Node("set", characters=frozenset({ord(character)}))
