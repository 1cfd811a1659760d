"""Stopping on a signal: all processes after the same step, with everything on disk."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmvisionllama.errors import Stopped
from mmvisionllama.fault_tolerance.collectives import CPUCollectives
from mmvisionllama.fault_tolerance.process_state import inside_accumulation
from mmvisionllama.fault_tolerance.random_state import capture_random_state, restore_random_state
from mmvisionllama.host_internals import swap_averages

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
# A launcher passes on what a terminal or SLURM has sent to everyone already.
_SAME_EVENT_SECONDS = 2.0


class StopRequest:
    """Whether this process was asked to stop. A handler does nothing but note it."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._first: dict[int, float] = {}
        self._terminals: list[int] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note the signals in this block. The same one again, 2 s later or more, has its usual effect.

        A SIGHUP that is ignored, as under ``nohup``, stays so.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to the main thread alone
            return
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        heard = [x for x in SIGNALS if x != signal.SIGHUP or not ignored]
        self._terminals = [x for x in (1, 2) if os.isatty(x)]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._first.setdefault(number, now) >= _SAME_EVENT_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if number == signal.SIGHUP:
            self._leave_terminal()
        self.signal = self.signal or signal.Signals(number)

    def _leave_terminal(self) -> None:
        """Write no more to a terminal that is gone; Python would end with a status of its own for that."""
        for descriptor in self._terminals:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


class StopHook(Hook):
    """Save and raise ``Stopped`` at the first moment after a signal at which all processes can.

    That is the end of an optimizer step, where the training loop asks. A validation is left at once: it
    changes nothing, and the resumed run makes it anew from its beginning.
    """

    def __init__(self, request: StopRequest, collectives: CPUCollectives) -> None:
        self._request = request
        self._collectives = collectives
        self._asked = 0

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop in a loop that is none of ours; ours ask when a due checkpoint is saved."""
        if not hasattr(runner.train_loop, "place"):
            self.stop_if_asked(runner, runner.iter + 1)

    def stop_if_asked(self, runner: Runner, step: int) -> None:
        """Stop after so many iterations, unless gradients wait for more.

        Raises: Stopped: when everything is saved.
        """
        if self._is_agreed() and not inside_accumulation(runner.optim_wrapper):
            self._stop(runner, step)

    def before_val(self, runner: Runner) -> None:
        """Remember the randomness that the validation begins with."""
        self._before_val = capture_random_state()
        self._next_val_iter = 0
        # Beyond the shortest loader, not all processes would join.
        self._common_val_iters = -self._collectives.highest(-len(runner.val_loop.dataloader))

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        if batch_idx != self._next_val_iter:
            return  # the second round of mmpretrain's EMAHook, for the weights without average
        self._next_val_iter += 1
        if batch_idx >= self._common_val_iters or not self._is_agreed():
            return
        restore_random_state(self._before_val)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and getattr(hook, "evaluate_on_ema", True):
                swap_averages(hook)  # the averages are in the place of the weights
        self._stop(runner, runner.iter)

    def _is_agreed(self) -> bool:
        if not self._asked:
            self._asked = self._collectives.highest_of_last(int(self._request.signal or 0))
        return bool(self._asked)

    def _stop(self, runner: Runner, step: int) -> None:
        saved = runner.save_to_stop(step)
        name = signal.Signals(self._asked).name
        runner.logger.info(
            f"Stopped by {name} after step {step} of {runner.max_iters}. "
            + (
                f"Everything is in {saved}; the same command with --resume goes on there"
                if saved
                else "Nothing was saved, since the config has no CheckpointHook"
            )
        )
        raise Stopped(f"{name} after step {step} of {runner.max_iters}")
