"""Fine-tune an image classifier on chest X-rays: ViT, ConvNeXt or any other of transformers and timm.

    accelerate launch recipes/finetune.py                              a small model on the synthetic sample, CPU
    accelerate launch recipes/finetune.py --help                       every setting
    accelerate launch recipes/finetune.py --dataset DIR --model convnext-tiny --output-dir runs/convnext-tiny
    accelerate launch --config_file recipes/launch/eight-gpus.yaml recipes/finetune.py …      the same on eight GPUs

The model is chosen on validation, patients cut from `train`; `test` is read once, at the end. `output_dir` then
holds a Transformers checkpoint, `all_results.json`, `settings.yaml`, `images.parquet`, `epochs.csv` and `results.png`.
Killed at any moment and started again with the same command, a run goes on from its last checkpoint and ends with the
same weights.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from tqdm.auto import tqdm

from chestxray import files
from chestxray.data import exposure, labels, opening, sources
from chestxray.data.official_test import is_official
from chestxray.images import batches, splits, streaming
from chestxray.models import classifiers
from chestxray.places import public_settings
from chestxray.publishing import hub
from chestxray.reporting import run_results
from chestxray.reporting.score_options import ScoreOptions
from chestxray.reporting.score_report import report_scores, screen_text
from chestxray.training import loop, optimisation
from chestxray.training.averaging import Average
from chestxray.training.checkpoints import Checkpoints, whole_weights
from chestxray.training.settings import differing, parse_settings, presets, refuse_others, settings_of, write_settings
from multilabel_auroc import auroc_report


def main(argv=None):
    settings = parse_settings(argv)
    output = Path(settings.output_dir)
    accelerator = loop.start(settings)
    finished = (output / "all_results.json").exists()
    if finished:
        refuse_others(output, settings)
    output.mkdir(parents=True, exist_ok=True)
    set_seed(settings.seed)
    base = Path(settings.model) if settings.pretrained else None

    # Data and model: the first process reads the archives, the others find them read
    with accelerator.main_process_first():
        datasets = [opening.open_dataset(source, settings) for source in settings.dataset]
        opening.refuse_leaks(datasets)
        opening.refuse_seen(datasets, base and exposure.read(base), settings.model)
        names = sources.names_of([opened.splits for opened in datasets], settings.dataset)
        findings = labels.findings(settings.findings, [opened.splits["train"] for opened in datasets])
        if finished:
            model, processor = None, classifiers.load_processor(output)
        else:
            model, processor = classifiers.build_model(
                settings.model,
                findings,
                settings.image_size,
                settings.pretrained,
                resize=settings.resize,
                drop_path=settings.drop_path,
                pooling=settings.pooling,
                classes=settings.classes,
                presets=presets(),
            )
    with accelerator.main_process_first():  # every image decoded and shrunk once, unless it is streamed
        side, _ = classifiers.sides(processor)
        parts = [
            streaming.make(opened.splits, opened.streams, findings, side, settings)
            if settings.streaming
            else splits.make(opened.splits, findings, side, settings, accelerator.print)
            for opened in datasets
        ]
    digests = splits.digests_of(parts, accelerator)
    if finished:
        return show(settings, accelerator, output, digests)
    for name, part in zip(names, parts, strict=True):
        accelerator.print(f"{name}: {', '.join(f'{len(rows):,} {split}' for split, rows in part.items())} images")

    together = splits.joined([part["train"] for part in parts], settings.dataset_weights)
    splits.refuse_unlabelled(together, findings)

    # Training
    loop.fit_to_device(model, settings, accelerator.device)
    optimizer = torch.optim.AdamW(
        optimisation.parameter_groups(model, settings),
        lr=settings.learning_rate,
        fused=accelerator.device.type == "cuda" or None,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    run = loop.Run(settings, accelerator, findings, processor, model, together)
    state = train(run, [part["validation"] for part in parts], optimizer, digests, output)

    # The best model, on validation again and on test once
    results = {"best_epoch": state["best"], "processes": accelerator.num_processes, "datasets": names}
    for name, opened, part in zip(names, datasets, parts, strict=True):
        scores = {
            "synthetic": opened.synthetic,
            "official_test": is_official(part["test"].rows["image_file_path"]) if "test" in part else None,
        }
        for split in ("validation", "test"):
            if split in part:
                scores |= {f"{split}_{key}": value for key, value in evaluate(run, part[split]).items()}
        results |= scores if len(names) == 1 else {f"{name}/{key}": value for key, value in scores.items()}
    save(run, results, state["scores"], datasets, digests, output)
    accelerator.print(run_results.results_text(results))
    accelerator.print(f"Checkpoint, all_results.json and results.png are in {output}")
    push(settings, accelerator, output)
    accelerator.end_training()


def show(settings, accelerator, output, digests):
    """The results of a finished run again. Raises ValueError where its images or labels have changed since."""
    seen = exposure.read(output)
    if seen and not all(map(exposure.same_data, digests, seen.digests)):
        raise ValueError(f"{output} holds a finished run on other images or labels. Give another --output-dir.")
    accelerator.print(run_results.results_text(json.loads((output / "all_results.json").read_text())))
    if not seen or not all(map(exposure.is_checked, digests, seen.digests)):
        accelerator.print("Whether its images are still the same was not checked: they are read in another way now.")
    accelerator.print(f"{output} holds this finished run; to train anew, give another --output-dir.")
    push(settings, accelerator, output)


def train(run, validations, optimizer, digests, output):
    """Leave the best weights in the run's model; its `best` epoch (0: none could be ranked), the `scores` of all."""
    settings, accelerator = run.settings, run.accelerator
    order = batches.Order(
        len(run.train),
        settings.batch_size,
        settings.epochs,
        settings.seed,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
        weights=run.train.weights,
    )
    steps, warmup = len(order), optimisation.warmup_steps(settings, order.per_epoch)
    share = math.ceil(order.batch_size / accelerator.num_processes)
    fits = settings.device_batch_size or (share if run.on_gpu else loop.CPU_BATCH)
    gradients = optimisation.Gradients(run.model, accelerator, fits)
    average = Average(run.model, settings.ema)

    # Where it stopped, if it did
    checkpoints = Checkpoints(output / "checkpoints", accelerator, run.model, optimizer, average)
    state = {"step": 0, "best": 0, "best_auroc": -math.inf, "losses": [], "scores": []}
    if found := checkpoints.restore():
        if others := differing(settings, settings_of(found["settings"], None, checkpoints.folder)):
            raise ValueError(f"{output} holds an unfinished run with {'; '.join(others)}. Give another --output-dir.")
        if not all(map(exposure.same_data, digests, found["data"])):
            raise ValueError(f"{output} holds an unfinished run on other images or labels. Give another --output-dir.")
        state = {name: found[name] for name in state}
        accelerator.print(f"Going on from step {state['step']:,} of {steps:,}")
    order.begin = steps if out_of_patience(state, settings, order) else state["step"]
    loader = run.train.training_loader(order, run.workers, pin_memory=run.on_gpu)
    shown = public_settings(asdict(settings))  # a tracker may show them to others
    accelerator.init_trackers("chestxray", {name: str(value) for name, value in shown.items()})

    run.model.train()
    watch, pending = loop.Stopwatch(), None
    silent = not accelerator.is_main_process
    progress = tqdm(total=steps, initial=order.begin, desc="Training", unit="step", disable=silent)
    for step, batch in enumerate(watch.waiting(loader), order.begin):
        epoch = step // order.per_epoch
        rate = optimisation.rate(step, steps, warmup, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        loss = gradients.compute(
            run.loss_of(batch, epoch),
            rows=len(batch["index"]),
            count=order.batch_size * len(run.findings),
            seed=loop.seed_of(settings.seed, step, accelerator.process_index),
            most=share,
        )
        if settings.clip:
            accelerator.clip_grad_norm_(run.model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        loop.share_buffers(run.model, accelerator)
        average.update(step)
        progress.update()

        # A GPU is at work on this step still: the loss that is waited for is the last one's.
        names = lambda index=batch["index"]: run.train.names(index)  # noqa: E731
        if pending:
            state["losses"].append(loop.finite(*pending))
        pending, state["step"] = (loss, step, rate, names), step + 1
        ended = state["step"] % order.per_epoch == 0
        if not ended and state["step"] % settings.checkpoint_steps:
            continue
        state["losses"].append(loop.finite(*pending))
        pending = None
        if ended:
            with average.in_place():
                auroc = mean([evaluate(run, validation)["auroc"] for validation in validations])
            note(run, state, auroc, rate, watch, order, progress)
            if auroc > state["best_auroc"]:
                state |= {"best": epoch + 1, "best_auroc": auroc}
                checkpoints.save_best(epoch + 1)
            run.model.train()
        checkpoints.save(state | {"settings": asdict(settings), "data": digests})
        if ended and out_of_patience(state, settings, order):
            accelerator.print(f"No better validation AUROC in {settings.patience} epochs: stopping")
            break
    progress.close()
    if state["best"]:
        checkpoints.load_best(state["best"])
    else:
        average.settle()
    return state


def out_of_patience(state, settings, order):
    """Whether as many epochs have gone by without a better one as the settings wait for."""
    return bool(settings.patience) and state["step"] // order.per_epoch - state["best"] >= settings.patience


def mean(aurocs):
    """Of the datasets whose AUROC is defined; NaN where none is."""
    defined = [auroc for auroc in aurocs if not math.isnan(auroc)]
    return sum(defined) / len(defined) if defined else math.nan


def note(run, state, auroc, rate, watch, order, progress):
    """An epoch's figures: into the state, onto the screen and to the trackers."""
    seconds, waiting = watch.lap()
    losses, state["losses"] = state["losses"], []
    figures = {
        "epoch": state["step"] // order.per_epoch,
        "loss": run.accelerator.reduce(torch.tensor(sum(losses) / len(losses), device=run.accelerator.device)).item(),
        "learning_rate": rate,
        "validation_auroc": auroc,
        "images_per_second": len(losses) * order.batch_size / seconds,
        "waiting_share": waiting,
    }
    state["scores"].append(figures)
    run.accelerator.log(figures, step=state["step"])
    if run.accelerator.is_main_process:
        progress.write(
            f"Epoch {figures['epoch']:>3}: loss {figures['loss']:.4f}, validation AUROC {auroc:.4f}, "
            f"{figures['images_per_second']:,.0f} images/s"
        )


@torch.inference_mode()
def evaluate(run, split):
    """AUROC per finding and its mean over every image of a split, counted once; see `auroc_report`."""
    accelerator, parts = run.accelerator, []
    run.model.eval()
    size, workers = run.evaluation_batch, run.workers
    for batch in split.evaluation_loader(size, accelerator.process_index, accelerator.num_processes, workers):
        logits = run.logits(run.shown(batch["pixels"].to(accelerator.device)))
        parts.append(accelerator.gather((batch["index"].to(accelerator.device), logits)))
    index, logits = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    index, first = np.unique(index, return_index=True)  # some came twice, to give all processes as many
    if len(index) != len(split):
        raise RuntimeError(f"{len(split)} images went in and {len(index)} different ones came out")
    return auroc_report(logits[first], split.targets, split.patients, label_names=run.findings)


def save(run, results, scores, datasets, digests, output):
    """Write everything beside `output`, then move it in, `all_results.json`, the sign of a finished run, last."""
    weights = whole_weights(run.model)
    if not run.accelerator.is_main_process:
        return
    model = run.accelerator.unwrap_model(run.model, keep_torch_compile=False)
    if run.settings.classes > 1:
        model, weights = classifiers.folded(model.config, weights, run.findings)
    with files.whole_folder(output, last="all_results.json") as folder:
        classifiers.write(model, weights, folder)
        run.processor.save_pretrained(folder)
        write_settings(run.settings, folder)
        exposure.write(datasets, digests, folder, Path(run.settings.model) if run.settings.pretrained else None)
        run_results.write_epochs(scores, folder / "epochs.csv")
        run_results.plot_results(results, folder / "results.png")
        run_results.write_results(results, folder / "all_results.json")


def push(settings, accelerator, output):
    """Score the checkpoint, which writes its model card, and upload both, where the settings name a repository."""
    if not settings.push_to_hub:
        return
    accelerator.wait_for_everyone()  # until the checkpoint is written
    report = report_scores(ScoreOptions(models=[str(output)]))
    if accelerator.is_main_process:
        print(screen_text(report))
        print(f"Uploaded to {hub.push_model(output, settings.push_to_hub, settings.public)}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        raise SystemExit(f"finetune.py: {error}") from None
