"""Stop a training on a signal: all processes at the same step, with everything on disk."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import distributed as dist

from mmvisionllama.engine.process_state import inside_accumulation
from mmvisionllama.engine.random_state import capture_random_state, restore_random_state

STOPPED_STATUS = 75  # EX_TEMPFAIL: the same command with --resume goes on
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# A launcher passes on what a terminal or SLURM has sent to everyone already.
_SAME_EVENT_SECONDS = 2.0


class Ending(Exception):
    """A training that ends early by intention; its log says why."""


class Stopped(Ending):
    """A training that ended on a signal, before its end."""


class StopRequest:
    """Whether this process was asked to stop. A handler does nothing but note it."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._first: dict[int, float] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note the signals in this block. The same one again, 2 s later or more, has its usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to the main thread alone
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
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
        self.signal = self.signal or signal.Signals(number)


class Agreement:
    """What the processes of a run tell each other beside the training, through their CPUs alone.

    Args:
        timeout: Seconds after which one that does not answer is an error.
    """

    def __init__(self, timeout: float) -> None:
        self._group = None
        if get_world_size() > 1:
            self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self._pending: tuple[Any, torch.Tensor] | None = None

    def highest(self, number: int) -> int:
        """Return the highest number of any process, at once."""
        if self._group is None:
            return number
        value = torch.tensor(number)
        dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group)
        return int(value)

    def highest_of_last(self, number: int) -> int:
        """Return the highest of the numbers that the processes gave to the previous call.

        It travels while the next step is computed, so nobody waits for it.
        """
        if self._group is None:
            return number
        last = 0
        if self._pending is not None:
            work, value = self._pending
            work.wait()
            last = int(value)
        value = torch.tensor(number)
        work = dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._pending = work, value
        return last

    def gathered(self, thing: Any) -> list[Any]:
        """Return what every process has, by rank; complete on the first one alone."""
        if self._group is None:
            return [thing]
        found = [None] * get_world_size() if get_rank() == 0 else None
        dist.gather_object(thing, found, dst=0, group=self._group)
        return found or [thing]

    def of_first(self, thing: Any) -> Any:
        """Return what the first process has."""
        if self._group is None:
            return thing
        holder = [thing]
        dist.broadcast_object_list(holder, src=0, group=self._group)
        return holder[0]


class StopHook(Hook):
    """Save and raise ``Stopped`` at the first step after a signal at which all processes can.

    That is the end of an optimizer step. A validation is left at once: it changes nothing, and the resumed
    run makes it anew from its beginning.
    """

    priority = "LOWEST"

    def __init__(self, request: StopRequest, agreement: Agreement) -> None:
        self._request = request
        self._agreement = agreement
        self._asked = 0

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self._is_agreed() and not inside_accumulation(runner.optim_wrapper):
            self._stop(runner, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Remember the randomness that the validation begins with."""
        self._before_val = capture_random_state()
        self._next_val_iter = 0
        # Beyond the shortest loader, not all processes would join.
        self._common_val_iters = -self._agreement.highest(-len(runner.val_loop.dataloader))

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        if batch_idx != self._next_val_iter:
            return  # the second round of mmpretrain's EMAHook, for the weights without average
        self._next_val_iter += 1
        if batch_idx >= self._common_val_iters or not self._is_agreed():
            return
        restore_random_state(self._before_val)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and getattr(hook, "evaluate_on_ema", True):
                hook._swap_ema_parameters()  # the averages are in the place of the weights
        self._stop(runner, runner.iter)

    def _is_agreed(self) -> bool:
        if not self._asked:
            self._asked = self._agreement.highest_of_last(int(self._request.signal or 0))
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
