"""Checkpoints of a training: when they are saved, how many are kept, which is the best."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.checkpoint.manifest import checkpoints_in
from mmvisionllama.checkpoint.run_identity import POINTER, checkpoint_folder, write_record
from mmvisionllama.checkpoint.saving import remove_own, remove_strays, write_durably
from mmvisionllama.errors import ArgumentError, CheckpointError
from mmvisionllama.fault_tolerance.process_state import capture_process, without_common_buffers
from mmvisionllama.host_internals import watch_first_metric
from mmvisionllama.registry import HOOKS

_KEPT = "kept_checkpoints"
_IN_LOG = {"in_log_alone": True}


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which removes nothing before its successor is on disk, verified and named.

    It takes the same arguments and one more; at least two checkpoints are kept. A periodic checkpoint that
    cannot be written (a full disk) or that holds NaN is reported as an error, and training goes on; the first
    one of a run, and the last one, must succeed. The loops of a ``ResumableRunner`` say when a step or an
    epoch is over; a new best checkpoint is saved in the validation that finds it.

    Args:
        keep_every: Besides the newest ``max_keep_ckpts``, keep those at its multiples, in the unit of
            ``interval``, e.g. to evaluate a training at 100k, 200k, ... steps; None: no others.

    Raises: ArgumentError: for a storage that has no rename, e.g. ``backend_args`` of an object store; for a
        ``keep_every`` at which nothing is saved; for what no resume could go on from.
    """

    @checked
    def __init__(self, *args: Any, keep_every: Positive | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep_every, self.configured_out_dir = keep_every, self.out_dir
        if keep_every is not None and (self.interval < 1 or keep_every % self.interval):
            raise ArgumentError(
                f"keep_every must be a multiple of interval={self.interval}, got {keep_every}"
            )
        if self.backend_args or self.file_client_args:
            raise ArgumentError(
                f"backend_args={self.backend_args or self.file_client_args}: checkpoints are renamed when "
                "they are whole, so they need a file system; leave it out"
            )
        for name in ("save_optimizer", "save_param_scheduler"):
            if not getattr(self, name):
                raise ArgumentError(
                    f"{name}=False: nothing could go on from such a checkpoint; leave it out, and save room "
                    "by max_keep_ckpts"
                )
        name = self.filename_tmpl
        if not name.endswith(".pth") or Path(name).name != name or name.format(1) == name.format(2):
            raise ArgumentError(
                f"filename_tmpl={name!r}: a resume finds files that end in .pth, so give a name with {{}} "
                "for the number, e.g. 'iter_{}.pth', and no folder (out_dir is for that)"
            )
        if self.max_keep_ckpts > 0:
            self.max_keep_ckpts = max(self.max_keep_ckpts, 2)
        self._saved_once = False
        self._last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed save left behind, besides what the host prepares."""
        super().before_train(runner)
        self.out_dir = str(checkpoint_folder(runner.work_dir, self.configured_out_dir))
        # Only beside a last checkpoint does the host save a new best record; a resumed run has one already.
        self.last_ckpt = runner.message_hub.get_info("last_ckpt")
        if is_main_process():
            for path in remove_strays(Path(self.out_dir)):
                runner.logger.info(f"Removed {path}, which a save that did not end had left")
        barrier()

    def take_up(self, runner: Runner, *, is_fork: bool) -> None:
        """Keep of a resumed history what names checkpoints of this run, each by name in its own folder.

        A fork has none yet: the best one, the last one and those to remove are the other run's.
        """
        hub, folder = runner.message_hub, checkpoint_folder(runner.work_dir, self.configured_out_dir)
        there = {path.name: str(path) for path in ([] if is_fork else checkpoints_in(folder))}
        named = [x for x in hub.runtime_info if x == "last_ckpt" or x.startswith("best_ckpt")]
        for key in named:
            path = there.get(Path(str(hub.pop_info(key))).name)
            if path is not None:
                hub.update_info(key, path)
        kept = hub.get_info(_KEPT, [])
        hub.update_info(_KEPT, [x for x in kept if x in there] if isinstance(kept, list) else [])
        gone = [
            x for x in hub.runtime_info if x == "keep_ckpt_ids" or (is_fork and x.startswith("best_score"))
        ]
        for key in gone:
            hub.pop_info(key)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save in a loop that is none of ours; ours ask when all hooks have acted."""
        if not hasattr(runner.train_loop, "place"):
            self.save_after_step(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save in a loop that is none of ours."""
        if not hasattr(runner.train_loop, "place"):
            self.save_after_epoch(runner, runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        """Publish what the config asks for; a disk that refuses it does not undo the training."""
        with runner.disk_faults.survived("published_keys"):
            super().after_train(runner)

    def save_after_step(self, runner: Runner, step: int) -> None:
        """Save after so many iterations, if the config counts iterations and this one is due."""
        last = self.save_last and step == runner.max_iters
        if not self.by_epoch and (self._is_due(step) or last):
            runner.logger.info(f"Saving checkpoint at {step} iterations", extra=_IN_LOG)
            self._save_regular(runner, step, {"epoch": runner.epoch, "iter": step})

    def save_after_epoch(self, runner: Runner, epoch: int) -> None:
        """Save after so many epochs, if the config counts epochs and this one is due."""
        last = self.save_last and epoch == runner.max_epochs
        if self.by_epoch and (self._is_due(epoch) or last):
            runner.logger.info(f"Saving checkpoint at {epoch} epochs", extra=_IN_LOG)
            self._save_regular(runner, epoch, {"epoch": epoch, "iter": runner.iter})

    def save_here(self, runner: Runner, step: int) -> Path:
        """Save where a training is being stopped after so many iterations, unless it was just saved there."""
        meta = {"epoch": runner.epoch, "iter": step}
        if self._last == (meta, _place(runner, meta)):
            return Path(self.last_ckpt)
        return self.save(runner, f"iter_{step}.pth", meta, must=True)

    def save(
        self,
        runner: Runner,
        name: str,
        meta: dict[str, Any],
        *,
        must: bool = False,
        validated: int | None = None,
    ) -> Path:
        """Save a checkpoint to resume from, by all processes together.

        Args:
            name: Its file name; of a sharded training it becomes that of a folder.
            meta: ``epoch`` and ``iter`` that the resumed run begins with.
            must: Fail where it cannot be saved.
            validated: Iterations behind the last validation; None: what the loop knows.
        Raises: CheckpointError: if ``must``, or if this is the first one of the run.
        """
        count = meta["epoch" if self.by_epoch else "iter"]
        regular = name == self.filename_tmpl.format(count)  # not one that a signal left inside an epoch
        lasting = regular and self.keep_every is not None and count % self.keep_every == 0
        name = runner.checkpoint_name(name)
        hub, path = runner.message_hub, Path(self.out_dir, name)
        before = hub.get_info(_KEPT, []), hub.get_info("last_ckpt")
        kept = [*(x for x in before[0] if x != name), *(() if lasting else (name,))]
        surplus = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        hub.update_info(_KEPT, kept[len(surplus) :])
        hub.update_info("last_ckpt", str(path))
        place = _place(runner, meta, validated)
        processes = without_common_buffers(runner.collectives.gathered(capture_process(runner)))
        saved = runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            exact={**place, "processes": processes},
        )
        problem = runner.collectives.of_first(saved.problem)
        if problem is not None:
            hub.update_info(_KEPT, before[0])
            hub.update_info("last_ckpt", before[1])
            if must or not self._saved_once:
                raise CheckpointError(problem)
            runner.logger.error(problem)
            return path
        self._saved_once, self.last_ckpt, self._last = True, str(path), (dict(meta), place)
        if is_main_process():
            with runner.disk_faults.survived(POINTER):
                write_record(runner.work_dir, runner.run)  # the folder may have vanished since
                write_durably(Path(runner.work_dir, POINTER), str(path))
            for old in surplus:
                remove_own(Path(self.out_dir), old, runner.run)
        return path

    def _is_due(self, count: int) -> bool:
        return (
            self.interval > 0 and count >= self.save_begin and (count - self.save_begin) % self.interval == 0
        )

    def _save_regular(self, runner: Runner, count: int, meta: dict[str, Any]) -> None:
        self.save(runner, self.filename_tmpl.format(count), meta, must=meta["iter"] >= runner.max_iters)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save the last checkpoint again, for its record of a new best one."""
        must = meta["iter"] >= runner.max_iters
        self.save(runner, self.filename_tmpl.format(step), meta, must=must, validated=runner.iter)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Save one for every watched metric that is better than ever, then let its predecessor go."""
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            watch_first_metric(self, metrics)
        count = runner.epoch if self.by_epoch else runner.iter
        meta = {"epoch": runner.epoch, "iter": runner.iter}
        pairs = zip(self.key_indicators, self.rules, strict=True)
        improved = [self._save_if_best(runner, *pair, metrics, count, meta) for pair in pairs]
        # The checkpoint of this step does not know the new best one, which a resumed run must know to remove.
        if any(improved) and self.last_ckpt is not None:
            self._save_checkpoint_with_step(runner, count, meta)

    def _save_if_best(
        self,
        runner: Runner,
        watched: str,
        rule: str,
        metrics: dict[str, Any],
        count: int,
        meta: dict[str, Any],
    ) -> bool:
        """Save if a metric is better than ever; if that fails, the best one before stays the best."""
        suffix = f"_{watched}" if len(self.key_indicators) > 1 else ""
        hub, score = runner.message_hub, metrics[watched]
        before = {name: hub.get_info(name + suffix) for name in ("best_score", "best_ckpt")}
        best = self.init_value_map[rule] if before["best_score"] is None else before["best_score"]
        if score is None or not self.is_better_than[watched](score, best):
            return False
        name = f"best_{watched}_{self.filename_tmpl.format(count)}".replace("/", "_")
        path = Path(self.out_dir, name)
        hub.update_info(f"best_score{suffix}", score)
        hub.update_info(f"best_ckpt{suffix}", str(path))
        saved = runner.save_checkpoint(
            self.out_dir, name, save_optimizer=False, save_param_scheduler=False, meta=meta, by_epoch=False
        )
        problem = runner.collectives.of_first(saved.problem)
        if problem is not None:
            for key, value in before.items():
                hub.pop_info(key + suffix)
                if value is not None:
                    hub.update_info(key + suffix, value)
            runner.logger.error(problem)
            return False
        self._note_best(watched, str(path))
        unit = "epoch" if self.by_epoch else "iter"
        text = f"The best checkpoint with {score:0.4f} {watched} at {count} {unit} is saved to {name}."
        runner.logger.info(text)
        former = Path(before["best_ckpt"] or path).name
        if is_main_process() and former != name and remove_own(Path(self.out_dir), former, runner.run):
            runner.logger.info(f"The previous best checkpoint {former} is removed")
        return True

    def _note_best(self, watched: str, path: str) -> None:
        """Tell the host's ``after_train``, which publishes the best ones if it is asked to."""
        if len(self.key_indicators) > 1:
            self.best_ckpt_path_dict[watched] = path
        else:
            self.best_ckpt_path = path


def _place(runner: Runner, meta: dict[str, Any], validated: int | None = None) -> dict[str, int]:
    """Return the place of a checkpoint as the loop tells it; a loop that is none of ours cannot."""
    return runner.train_loop.place(meta, validated) if hasattr(runner.train_loop, "place") else {}


def require_resumable(cfg: Mapping[str, Any]) -> None:
    """Require that a training by this config can be resumed, before any work is done.

    Raises: ArgumentError: for arguments of its CheckpointHook that forbid it.
    """
    hook = {**((cfg.get("default_hooks") or {}).get("checkpoint") or {})}
    if str(hook.pop("type", "")).rpartition(".")[2] in ("CheckpointHook", SafeCheckpointHook.__name__):
        hook.pop("priority", None)
        SafeCheckpointHook(**hook)
