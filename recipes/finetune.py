"""Fine-tune an image classifier on chest X-rays: ViT, ConvNeXt or any other of transformers and timm.

    accelerate launch recipes/finetune.py                              a small model on the synthetic sample, CPU
    accelerate launch recipes/finetune.py --help                       every setting
    accelerate launch recipes/finetune.py --dataset DIR --model convnext-tiny --output-dir runs/convnext-tiny
    accelerate launch --num_processes 8 recipes/finetune.py …          the same on eight GPUs

The model is chosen on validation, patients cut from `train`; `test` is read once, at the end. `output_dir` then
holds a Transformers checkpoint, `all_results.json`, `settings.yaml` and `results.png`.
"""

import json
import math
import shutil
from datetime import timedelta
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import InitProcessGroupKwargs, set_seed
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from chestxray import augment, batches, models, pixels, report, sources
from chestxray.scoring.anchors import is_official
from chestxray.settings import parse_settings, refuse_others, write_settings
from multilabel_auroc.multilabel_auroc import auroc_report


def main(argv=None):
    settings = parse_settings(argv)
    output = Path(settings.output_dir)
    accelerator = Accelerator(
        # batch_size is the whole job's, however many processes share it
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        # the other processes wait while the first one decodes the archive, which can take hours
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],
    )
    if (output / "all_results.json").exists():
        refuse_others(output, settings)
        accelerator.print(report.table(json.loads((output / "all_results.json").read_text())))
        accelerator.print(f"{output} holds this finished run; to train anew, give another --output-dir.")
        return
    set_seed(settings.seed)

    # Model
    with accelerator.main_process_first():
        dataset = sources.load(settings.dataset, settings.allow_missing, settings.num_proc or pixels.processes())
        findings = sources.findings(dataset)
        model, processor = models.build_model(settings.model, findings, settings.image_size, settings.pretrained)

    # Data: every image decoded and shrunk once, by the first process
    side = processor.size["height"]
    with accelerator.main_process_first():
        dataset = sources.with_validation(dataset)
        shrunk = {
            split: pixels.shrink(dataset[split], findings, side, settings.num_proc or pixels.processes())
            for split in ("train", "validation", "test")
        }
    loaders = {
        split: batches.loader(rows, side, settings.batch_size, shuffle=split == "train", seed=settings.seed)
        for split, rows in shrunk.items()
    }

    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in shrunk.items())
    accelerator.print(f"{sum(map(len, shrunk.values())):,} images: {sizes}")

    # Optimiser
    optimizer = torch.optim.AdamW(models.decay_groups(model, settings.weight_decay), lr=settings.learning_rate)
    steps = settings.epochs * len(loaders["train"])
    scheduler = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    loaders = {split: accelerator.prepare(loader) for split, loader in loaders.items()}

    # Training
    best = {"auroc": -math.inf, "epoch": settings.epochs, "weights": None}  # the last one, if none can be ranked
    progress = tqdm(total=steps, unit="step", desc="Training", disable=not accelerator.is_main_process)
    for epoch in range(settings.epochs):
        model.train()
        for batch in loaders["train"]:
            images = prepare_images(batch, processor, settings, epoch)
            loss = F.binary_cross_entropy_with_logits(model(pixel_values=images).logits.float(), batch["targets"])
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            progress.update()
        scores = evaluate(model, loaders["validation"], shrunk["validation"], findings, processor, accelerator)
        progress.set_postfix(loss=f"{loss.item():.3f}", validation_auroc=f"{scores['auroc']:.3f}")
        if scores["auroc"] > best["auroc"]:
            weights = {
                name: tensor.detach().cpu().clone() for name, tensor in accelerator.get_state_dict(model).items()
            }
            best = {"auroc": scores["auroc"], "epoch": epoch + 1, "weights": weights}
    progress.close()

    # The best model, on validation again and on test once
    if best["weights"]:
        accelerator.unwrap_model(model).load_state_dict(best["weights"])
    results = {
        "synthetic": sources.is_synthetic(dataset, settings.dataset),
        "official_test": is_official(dataset["test"]["image_file_path"]),
        "best_epoch": best["epoch"],
        "processes": accelerator.num_processes,
    }
    for split in ("validation", "test"):
        scores = evaluate(model, loaders[split], shrunk[split], findings, processor, accelerator)
        results |= {f"{split}_{name}": value for name, value in scores.items()}
    if accelerator.is_main_process:
        save(accelerator.unwrap_model(model), processor, settings, results, output)
        print(report.table(results))
        print(f"Checkpoint, all_results.json and results.png are in {output}")
    accelerator.end_training()


def prepare_images(batch, processor, settings=None, epoch=0):
    """A batch as the model sees it: (n, 3, side, side) float32; augmented where `settings` are given."""
    images = batch["pixels"].float() / 255
    if settings:
        drawn = augment.draw(
            batch["index"],
            epoch,
            settings.seed,
            settings.flip,
            settings.rotate,
            settings.scale,
            settings.shift,
            settings.contrast,
        )
        images = augment.augment(images, drawn)
    return models.normalise(images, processor)


@torch.inference_mode()
def evaluate(model, loader, rows, findings, processor, accelerator):
    """AUROC per finding and its mean over every image of a split, counted once; see `auroc_report`."""
    model.eval()
    parts = []
    for batch in loader:
        logits = model(pixel_values=prepare_images(batch, processor)).logits.float()
        parts.append(accelerator.gather_for_metrics((batch["index"], logits, batch["targets"])))
    index, logits, targets = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    if sorted(index) != list(range(len(rows))):
        raise RuntimeError(f"{len(rows)} images went in and {len(set(index))} different ones came out of {len(index)}")
    patients = [sources.patient(path) for path in rows[index]["image_file_path"]]
    return auroc_report(logits, targets, patients, label_names=findings)


def save(model, processor, settings, results, output):
    """Write everything beside `output`, then move it in, `all_results.json`, the sign of a finished run, last."""
    beside = output.with_name(f"{output.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    model.save_pretrained(beside)
    processor.save_pretrained(beside)
    write_settings(settings, beside)
    report.plot(results, beside / "results.png")
    report.write(results, beside / "all_results.json")
    output.mkdir(parents=True, exist_ok=True)
    for file in sorted(beside.iterdir(), key=lambda file: file.name == "all_results.json"):
        file.replace(output / file.name)
    beside.rmdir()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"finetune.py: {error}") from None
