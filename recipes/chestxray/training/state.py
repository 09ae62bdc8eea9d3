"""How far a run has come, and how it goes on from there."""

import math
from dataclasses import asdict, dataclass, field

import torch
from accelerate.utils import gather_object

from chestxray.data import exposure
from chestxray.training.checkpoints import checkpoints_folder, read_facts
from chestxray.training.run import Run
from chestxray.training.settings import Settings
from chestxray.training.settings_files import differences, settings_from
from chestxray.training.stopwatch import Stopwatch


@dataclass
class State:
    """How far a run has come. A checkpoint has it beside weights and moments.

    Attributes:
        step: steps that are done.
        best: epoch, from 1, of the best weights on validation; 0 before there are any.
        best_auroc: of that epoch.
        losses: of this process's share of each step since the epoch began.
        scores: the figures of each epoch that is done; a row of `epochs.csv` each.
    """

    step: int = 0
    best: int = 0
    best_auroc: float = -math.inf
    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)

    def epoch_line(self) -> str:
        """The last epoch's figures in one line."""
        return (
            "Epoch {epoch:>3}: loss {loss:.4f}, validation AUROC {validation_auroc:.4f}, "
            "{images_per_second:,.0f} images/s"
        ).format(**self.scores[-1])

    def is_out_of_patience(self, patience: int | None, per_epoch: int) -> bool:
        """Whether `patience` epochs have gone by without a better one. per_epoch: steps of an epoch."""
        return patience is not None and self.step // per_epoch - self.best >= patience

    def end_epoch(self, figures: dict[str, float]) -> bool:
        """Keep the figures of an epoch. Returns whether its AUROC is the best yet; NaN never is."""
        self.losses.clear()
        self.scores.append(figures)
        if is_best := figures["validation_auroc"] > self.best_auroc:
            self.best, self.best_auroc = int(figures["epoch"]), figures["validation_auroc"]
        return is_best


def epoch_figures(run: Run, state: State, auroc: float, rate: float, watch: Stopwatch) -> dict[str, float]:
    """A row of `epochs.csv`. Every process must call it.

    Args:
        auroc: on validation; rate: the last step's.
        watch: counts from the epoch's beginning, and begins again here.
    """
    seconds, waiting = watch.lap()
    loss = torch.tensor(sum(state.losses) / len(state.losses), device=run.accelerator.device)
    return {
        "epoch": state.step // run.order.per_epoch,
        "loss": run.accelerator.reduce(loss).item(),  # the sum: each process has a share of the batch
        "learning_rate": rate,
        "validation_auroc": auroc,
        "images_per_second": len(state.losses) * run.order.batch_size / seconds,
        "waiting_share": waiting,
    }


def save_state(run: Run, state: State) -> None:
    """Write a checkpoint, with all that `restore_state` needs. Every process must call it."""
    losses = gather_object([state.losses]) if run.accelerator.num_processes > 1 else state.losses
    facts = {"losses": losses, "settings": asdict(run.settings), "data": run.data.digests}
    run.checkpoints.save(asdict(state) | facts | {"channels_last": run.channels_last})


def restore_state(run: Run) -> State:
    """The state of the last checkpoint, and its weights and moments put into the run; or a new state without one."""
    facts = run.checkpoints.restore()
    if not facts:
        return State()
    state = State(**{name: facts[name] for name in asdict(State())})
    state.losses = own_losses(facts["losses"], run.accelerator.process_index, run.accelerator.num_processes)
    return state


def own_losses(kept: list, process: int, processes: int) -> list[float]:
    """This process's losses out of a checkpoint's, which has a list for each process, or one process's alone."""
    lists = kept if kept and isinstance(kept[0], list) else [kept]
    if len(lists) == processes:
        return lists[process]
    sums = [sum(step) for step in zip(*lists, strict=True)]  # the run goes on with another number of processes
    return sums if process == 0 else [0.0] * len(sums)


def kept_layout(output_dir: str | None, device: torch.device) -> bool | None:
    """Whether the unfinished run in `output_dir` has its images channels last, None without one.

    A run that goes on keeps its layout: another one would round otherwise.
    """
    last = checkpoints_folder(output_dir) / "last.safetensors"
    if not last.exists():
        return None
    facts = read_facts(last)
    asked = facts["settings"].get("channels_last")  # a run of an older version: by default only on a GPU
    return facts.get("channels_last", device.type == "cuda" if asked is None else asked)


def refuse_other_run(settings: Settings, digests: list[dict]) -> None:
    """Raise ValueError if an unfinished run in `output_dir` is of other settings, images or labels.

    digests: see `RunData`.
    """
    folder = checkpoints_folder(settings.output_dir)
    output, last = folder.parent, folder / "last.safetensors"
    if not last.exists():
        return
    facts = read_facts(last)
    if others := differences(settings, settings_from(facts["settings"], None, folder)):
        raise ValueError(f"{output} holds an unfinished run with {'; '.join(others)}. Give another --output-dir.")
    if not all(map(exposure.same_data, digests, facts["data"])):
        raise ValueError(f"{output} holds an unfinished run on other images or labels. Give another --output-dir.")
