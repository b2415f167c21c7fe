"""Build a serialized engine from an ONNX file, with TensorRT 10.3 to 11 and TensorRT-RTX.

Networks are strongly typed: the engine uses the types of the ONNX file. The file sets the precision (fp16 casts, int8
Q/DQ), never a builder flag. TF32 is off, since it would round the fp32 front end to 10 bits. No calibrator is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seisedge.runtime.engines._library import Library, load_library, make_logger, no_collection
from seisedge.runtime.engines._model_file import read_model
from seisedge.runtime.engines._progress import Progress
from seisedge.runtime.engines._sidecar import ANY_CAPABILITY
from seisedge.runtime.errors import EngineError, InputError

if TYPE_CHECKING:
    import tensorrt as trt  # the stubs; at run time the module is the library's, which may be TensorRT-RTX

INPUTS = {"waveform", "valid"}
OUTPUTS = {"probabilities"}
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build. compute_capability: for example `sm86`; None for this machine's GPU, or any GPU if supported.

    Batches from 1 to max_batch; optimised for 1, the batch size of a station.
    """

    library: str
    compute_capability: str | None = None
    max_batch: int = 1
    workspace_mb: int = 256


def plan_from_target(target: str, max_batch: int, workspace_mb: int) -> Plan:
    """The plan for a target `tensorrt`, `tensorrt-rtx` or `tensorrt-rtx:smNN`.

    Raises InputError for an unsupported target, EngineError if the library is unavailable.
    """
    name, colon, capability = target.partition(":")
    if name not in ("tensorrt", "tensorrt-rtx"):
        raise InputError(f"--target {target}: must be tensorrt, tensorrt-rtx or tensorrt-rtx:smNN")
    if not colon:
        return Plan(name, None, max_batch, workspace_mb)
    if name == "tensorrt":
        raise InputError(
            f"--target {target}: TensorRT builds for the GPU it runs on; give --target tensorrt on the station itself"
        )
    library = load_library(name)
    if capability not in library.capabilities:
        raise InputError(
            f"--target {target}: {name} {library.version} builds for {', '.join(library.capabilities)}, "
            f"not for '{capability}'"
        )
    return Plan(name, capability, max_batch, workspace_mb)


def build_engine(
    model: Path, plan: Plan, progress: Callable[[float, str], None], timing_cache: Path | None = None
) -> tuple[bytes, str]:
    """The serialized engine, and its compute capability.

    progress: called with the completed share and the phase. timing_cache: read and updated if the library times its
    kernels. Raises EngineError with the library's message.
    """
    library = load_library(plan.library)
    api: Any = library.module
    logger, log = make_logger(library)
    try:
        with no_collection():
            builder: trt.Builder = api.Builder(logger)
    except (TypeError, RuntimeError) as error:  # pybind's "factory function returned nullptr": no driver, no GPU
        raise EngineError(f"{plan.library} cannot create a builder on this machine: {log.reason()}") from error
    network = parsed_network(library, builder, logger, model)
    config: trt.IBuilderConfig = builder.create_builder_config()
    capability = _aim(library, config, plan)
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, plan.workspace_mb * MIB)
    if hasattr(api.BuilderFlag, "TF32"):
        config.clear_flag(api.BuilderFlag.TF32)
    _add_profile(builder, network, config, plan.max_batch)
    cache = _attach_timing_cache(config, timing_cache)
    if hasattr(api, "IProgressMonitor"):
        config.progress_monitor = _monitor(api, Progress(progress))
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        raise EngineError(f"{model}: {plan.library} {library.version} cannot build it: {log.reason()}")
    if cache is not None and timing_cache is not None:
        _save_timing_cache(config, timing_cache)
    return bytes(memory), capability


def parsed_network(library: Library, builder: trt.Builder, logger: Any, model: Path) -> trt.INetworkDefinition:
    """The ONNX file as a strongly typed network of the library. Raises EngineError with the node it cannot parse."""
    api: Any = library.module
    typed = getattr(api.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    # newer versions have no such flag: all networks are strongly typed
    network: trt.INetworkDefinition = builder.create_network(0 if typed is None else 1 << int(typed))
    parser: trt.OnnxParser = api.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        faults = [parser.get_error(i) for i in range(parser.num_errors)]
        reason = f"{faults[0].desc()} (node {faults[0].node()})" if faults else "no reason given"
        raise EngineError(f"{model}: {library.name} {library.version} cannot parse it: {' '.join(reason.split())}")
    _fix_window(network, model)
    inputs = {network.get_input(i).name for i in range(network.num_inputs)}
    outputs = {network.get_output(i).name for i in range(network.num_outputs)}
    if inputs != INPUTS or outputs != OUTPUTS:
        raise EngineError(f"{model}: the network has {', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}")
    for tensor in (*(network.get_input(i) for i in range(2)), network.get_output(0)):
        if tensor.dtype != api.DataType.FLOAT:
            raise EngineError(f"{model}: {tensor.name} must be float32; got {tensor.dtype}")
    return network


def _fix_window(network: trt.INetworkDefinition, model: Path) -> None:
    """An engine takes one window: set a free number of samples to that of the card."""
    free = [t for t in (network.get_input(i) for i in range(network.num_inputs)) if tuple(t.shape)[-1] < 0]
    for tensor in free:
        window: Any = (*tuple(tensor.shape)[:-1], read_model(model)[1].n_samples)  # tuples are accepted for Dims
        tensor.shape = window


def _aim(library: Library, config: trt.IBuilderConfig, plan: Plan) -> str:
    """Set the GPU to build for; returns its name as in the sidecar."""
    api: Any = library.module
    if plan.compute_capability is not None:
        aimed: Any = config  # these two attributes exist only in TensorRT-RTX, the type stubs are of TensorRT
        aimed.num_compute_capabilities = 1
        chosen = getattr(api.ComputeCapability, plan.compute_capability.upper(), None)
        if chosen is None or not aimed.set_compute_capability(chosen, 0):
            raise EngineError(f"{library.name} {library.version} does not build for {plan.compute_capability}")
        return plan.compute_capability
    if library.builds_for_others:
        return ANY_CAPABILITY
    from seisedge.runtime.engines._cuda import open_device

    return open_device().compute_capability


def _add_profile(
    builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig, max_batch: int
) -> None:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        window = tuple(tensor.shape)[1:]
        low, best, high = ((n, *window) for n in (1, 1, max_batch))
        profile.set_shape(tensor.name, low, best, high)  # type: ignore[arg-type,unused-ignore]  # tuples are accepted for Dims
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"the network does not support batches from 1 to {max_batch}; choose a smaller --max-batch")


def _attach_timing_cache(config: trt.IBuilderConfig, path: Path | None) -> Any:
    """The timing cache, with the contents of the file if they fit; None if `path` is None."""
    if path is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TensorRT-RTX has no timing cache and warns
        try:
            stored = path.read_bytes()
        except OSError:
            stored = b""  # the first build on this machine
        cache: Any = config.create_timing_cache(stored)
        # the file is of another GPU or version, or damaged: start a new cache
        if (cache is None or not config.set_timing_cache(cache, False)) and stored:
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
    return cache


def _save_timing_cache(config: trt.IBuilderConfig, path: Path) -> None:
    from seisedge.runtime.engines._sidecar import write_whole

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        write_whole(path, bytes(config.get_timing_cache().serialize()))


def _monitor(api: Any, progress: Progress) -> Any:
    """An IProgressMonitor that updates `progress`."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc]  # the class is known only after the library is loaded
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step)
            return True  # False would cancel the build

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
