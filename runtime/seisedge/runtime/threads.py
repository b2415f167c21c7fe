"""Threads: every thread of a station starts here, so that none ends unnoticed.

A worker runs until its target returns. If the target raises, whatever it raises, the failure is logged and counted,
`/healthz` reports it, and the target is called again after a growing pause. A task is short and runs once; who starts
it must handle its failure.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 60.0
STEADY_S = 60.0  # a worker that ran for so long starts again with the shortest pause

_lock = threading.Lock()
_workers: list[Worker] = []


class Worker:
    """A thread that runs as long as the station does.

    name: for messages and metrics. failures: how often its target has raised. error: the last failure.
    failed_s: time of the last failure on the monotonic clock, or None. up: its target is running.
    """

    def __init__(self, name: str, target: Callable[[], None]) -> None:
        self.name = name
        self.failures = 0
        self.error = ""
        self.failed_s: float | None = None
        self.up = True
        self._target = target
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def ident(self) -> int | None:
        """Identifier of the thread; None before it has started."""
        return self._thread.ident

    @property
    def alive(self) -> bool:
        """False once the target has returned, or after `stop` during a pause."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Do not call the target again; the target itself must be ended by its owner."""
        self._stopped.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        pause_s = RESTART_FIRST_S
        try:
            while not self._stopped.is_set():
                began_s = time.monotonic()
                try:
                    self.up = True
                    self._target()
                    return
                except BaseException as error:
                    now_s = time.monotonic()
                    self._note(error, now_s)
                    pause_s = RESTART_FIRST_S if now_s - began_s > STEADY_S else min(2 * pause_s, RESTART_MAX_S)
                self._stopped.wait(pause_s)
        finally:
            self.up = False
            with _lock:
                if self in _workers:
                    _workers.remove(self)

    def _note(self, error: BaseException, now_s: float) -> None:
        self.up = False
        self.failures += 1
        self.failed_s, self.error = now_s, f"{type(error).__name__}: {error}"
        level = logging.ERROR if self.failures == 1 else logging.DEBUG
        logger.log(level, "%s: the thread has failed and is restarted", self.name, exc_info=error)


def start_worker(name: str, target: Callable[[], None]) -> Worker:
    """Run `target` in a thread until it returns; restart it if it raises.

    Raises RuntimeError if no thread can be started.
    """
    worker = Worker(name, target)
    with _lock:
        _workers.append(worker)
    try:
        worker._start()
    except RuntimeError:
        with _lock:
            _workers.remove(worker)
        raise
    return worker


def start_task(name: str, target: Callable[[], None], on_failure: Callable[[BaseException], None]) -> threading.Thread:
    """Run `target` once in a thread.

    on_failure: called if it raises, in that thread, or if no thread can be started, in the thread of the caller.
    """

    def run() -> None:
        try:
            target()
        except BaseException as error:
            on_failure(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # out of memory or of threads
        on_failure(error)
    return thread


def workers() -> list[Worker]:
    """All workers whose target has not returned."""
    with _lock:
        return list(_workers)
