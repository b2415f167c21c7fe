"""A model file before a library opens it: its size, and what its graph consists of.

A model is code from elsewhere. The file is read here as far as needed to count its parts, and refused for what no
model of seisedge has: sub-graphs (which may loop for ever), functions, sparse tensors (small in the file, large in
memory) and references to other files. What is left runs from the first node to the last; `_first_open` tries how much
memory and time that takes.

The format is Protocol Buffers (https://protobuf.dev/programming-guides/encoding); the numbers of the fields are those
of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seisedge.runtime.card import CARD_KEY, MAX_CARD_BYTES, ModelCard, card_from_json
from seisedge.runtime.errors import CardError, InputError
from seisedge.runtime.files import MIB, read_up_to

MAX_MODEL_BYTES = 256 * MIB  # nine times the largest model of the recipes
MAX_NODES = 10_000  # the bundled models have 373 at most, the largest of the recipes about 1,500
MAX_TENSORS = 10_000

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # wire types
MODEL_GRAPH, MODEL_METADATA, MODEL_TRAINING, MODEL_FUNCTION = 7, 14, 20, 25
GRAPH_NODE, GRAPH_TENSOR, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS = 5, 10
ATTRIBUTE_REFUSED = {6: "a sub-graph", 11: "a sub-graph", 22: "a sparse tensor", 23: "a sparse tensor"}
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14

Fields = Iterator[tuple[int, memoryview]]


def read_model(path: Path) -> tuple[bytes, ModelCard]:
    """The content of a model file, and its card.

    Raises InputError if it cannot be read or is too large, CardError for its parts and for its card.
    """
    if path.exists() and not path.is_file():  # a FIFO without a writer would never end
        raise InputError(f"{path}: the model file cannot be read: it is not a regular file")
    try:
        data = read_up_to(path, MAX_MODEL_BYTES)
    except OSError as error:
        raise InputError(f"{path}: the model file cannot be read: {error.strerror}") from error
    try:
        card = _check(memoryview(data))
    except ValueError as error:
        raise CardError(f"{path}: not an ONNX model that can be used: {error}") from None
    return data, card_from_json(card, str(path))


def _check(model: memoryview) -> str | None:
    """The text of the card, None without one. Raises ValueError with the first part that is refused, as a clause."""
    card = None
    for field, value in _fields(model):
        if field == MODEL_GRAPH:
            _check_graph(value)
        elif field == MODEL_METADATA:
            entry = dict(_fields(value))
            if bytes(entry.get(1, b"")) == CARD_KEY.encode():
                if len(entry.get(2, b"")) > MAX_CARD_BYTES:
                    raise ValueError(f"its card is larger than {MAX_CARD_BYTES // MIB} MiB")
                card = bytes(entry.get(2, b"")).decode("utf-8")
        elif field in (MODEL_TRAINING, MODEL_FUNCTION):
            raise ValueError("it contains functions or training steps; export it with seisedge")
    return card


def _check_graph(graph: memoryview) -> None:
    nodes = tensors = 0
    for field, value in _fields(graph):
        if field == GRAPH_NODE:
            nodes += 1
            if nodes > MAX_NODES:
                raise ValueError(f"its graph has more than {MAX_NODES} nodes")
            for part, attribute in _fields(value):
                if part == NODE_ATTRIBUTE:
                    _check_attribute(attribute)
        elif field == GRAPH_TENSOR:
            tensors += 1
            if tensors > MAX_TENSORS:
                raise ValueError(f"its graph has more than {MAX_TENSORS} tensors of weights")
            _check_tensor(value)
        elif field == GRAPH_SPARSE:
            raise ValueError("it contains a sparse tensor; export it with seisedge")


def _check_attribute(attribute: memoryview) -> None:
    for field, value in _fields(attribute):
        if field in ATTRIBUTE_REFUSED:
            raise ValueError(f"it contains {ATTRIBUTE_REFUSED[field]}; export it with seisedge")
        if field in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
            _check_tensor(value)


def _check_tensor(tensor: memoryview) -> None:
    for field, value in _fields(tensor):
        if field == TENSOR_EXTERNAL or (field == TENSOR_LOCATION and bytes(value).strip(b"\0")):
            raise ValueError("its weights are in another file; export it with seisedge")


def _fields(message: memoryview) -> Fields:
    """Number and content of each field of a message; of numbers the encoded bytes. Raises ValueError for no message."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        begin = at
        if wire == VARINT:
            _, at = _varint(message, at)
        elif wire == BYTES:
            size, begin = _varint(message, at)
            at = begin + size
        elif wire in (FIXED_64, FIXED_32):
            at += 8 if wire == FIXED_64 else 4
        else:
            raise ValueError("the file is damaged")
        if at > end:
            raise ValueError("the file is damaged or truncated")
        yield field, message[begin:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and the place behind it."""
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("the file is damaged or truncated")
