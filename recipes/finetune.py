"""Fine-tune an image classifier on chest X-rays: ViT, ConvNeXt or any other of transformers and timm.

    accelerate launch recipes/finetune.py                              a small model on the synthetic sample, CPU
    accelerate launch recipes/finetune.py --help                       every setting
    accelerate launch recipes/finetune.py --dataset DIR --model convnext-tiny --output-dir runs/convnext-tiny
    accelerate launch --config_file recipes/launch/eight-gpus.yaml recipes/finetune.py …      the same on eight GPUs

The best epoch is chosen on validation, which is some patients of `train`. The test set is read once, at the end;
`--test false` leaves it unread. Then `output_dir` holds a Transformers checkpoint, `all_results.json`, `settings.yaml`,
`images.parquet`, `epochs.csv` and `results.png`.
A run may be killed at any moment. The same command then goes on from its last checkpoint, to the same weights.
"""

import json
from pathlib import Path

from chestxray.machine import sleep_while_waiting
from chestxray.stopping import errors_in_one_line, stop_in_one_line
from chestxray.training.command_line import answer_at_once, parse_settings, presets

if __name__ == "__main__":
    stop_in_one_line("finetune.py")
    answer_at_once("finetune.py")
    sleep_while_waiting()

import torch
from accelerate.utils import set_seed
from tqdm.auto import tqdm

from chestxray import files
from chestxray.models.classifiers import build_model, check_options, load_processor
from chestxray.publishing import hub
from chestxray.reporting import next_command, run_results
from chestxray.reporting.score_options import ScoreOptions
from chestxray.reporting.score_report import report_scores, screen_text
from chestxray.training import device, losses, optimisation
from chestxray.training.box_loss import BoxLoss
from chestxray.training.evaluation import evaluate_datasets, validate
from chestxray.training.finished import refuse_other_data, save_model
from chestxray.training.gradients import step_seed
from chestxray.training.loss_check import LossCheck
from chestxray.training.new_head import start_head
from chestxray.training.probe import freeze_body
from chestxray.training.run import Run
from chestxray.training.run_data import open_data
from chestxray.training.settings_files import refuse_other_settings
from chestxray.training.state import epoch_figures, kept_layout, refuse_other_run, restore_state, save_state
from chestxray.training.stopwatch import Stopwatch


def main(argv=None):
    settings = parse_settings(argv)
    output = Path(settings.output_dir)
    precision, trackers = settings.mixed_precision, settings.trackers
    accelerator = device.start_accelerator(settings.output_dir, precision, settings.compile, trackers)
    if (output / "all_results.json").exists():
        return show_finished(settings, accelerator, output)
    if accelerator.is_main_process:
        _claim = files.claim_folder(output)  # until this function ends
        files.refuse_closed_folder(output)
    set_seed(settings.seed)

    # Data and model. The first process reads and downloads, the others find the files there.
    with accelerator.main_process_first():
        check_options(settings.source, settings.pretrained, settings.drop_path, settings.pooling, settings.stages)
    data = open_data(settings, accelerator)
    with accelerator.main_process_first():
        model, processor = build_model(settings.source, data.findings, presets=presets(), **settings.architecture)
    box_loss = BoxLoss(model, data.boxes, accelerator, settings.classes) if data.boxes else None
    data.read_images(processor, settings, accelerator)
    start_head(model, data, settings, accelerator.print)
    accelerator.print(data.counts())
    refuse_other_run(settings, data.digests)

    # Optimiser: each group of parameters has its share of the rate and its weight decay
    channels_last = choose_layout(settings, accelerator.device, model)
    device.fit_to_device(model, accelerator.device, settings.gradient_checkpointing, channels_last)
    learner = model
    if settings.freeze:
        learner = freeze_body(model, data, processor, settings, accelerator, channels_last)
    layer_decay, blocks = settings.layer_decay, settings.layer_decay_blocks
    groups = optimisation.parameter_groups(learner, settings.weight_decay, layer_decay, blocks)
    fused = accelerator.device.type == "cuda" or None
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=fused)
    learner, optimizer = accelerator.prepare(learner, optimizer)

    # Training; then the best model, on validation again and on test once
    frozen = model if settings.freeze else None
    run = Run(settings, accelerator, data, processor, learner, optimizer, frozen, box_loss, channels_last)
    state = train(run)
    results = {"best_epoch": state.best, "processes": accelerator.num_processes}
    results |= {"device_batch_size": run.device_batch_size, "datasets": data.names}
    results |= evaluate_datasets(run)
    save(run, results, state, output)
    accelerator.print(run_results.results_text(results))
    accelerator.print(f"Checkpoint, all_results.json and results.png are in {output}")
    name_next_step(settings, accelerator, output, data)
    push(settings, accelerator, output)
    accelerator.end_training()


def choose_layout(settings, kind, model):
    """Whether weights and images are channels last: as asked, as the run began, or as is faster. kind: the device."""
    asked = settings.channels_last
    if asked is None:
        asked = kept_layout(settings.output_dir, kind)
    return device.uses_channels_last(asked, kind, model)


def train(run):
    """Train to the last step, or until patience ends. The best weights are then in the model. Returns the `State`."""
    settings, accelerator, order, steps = run.settings, run.accelerator, run.order, len(run.order)
    state = restore_state(run)  # of a run that was stopped, or a new one
    if state.step:
        accelerator.print(f"Going on from step {state.step:,} of {steps:,}")
    order.begin = steps if state.is_out_of_patience(settings.patience, order.per_epoch) else state.step
    if note := run.parts_note():
        accelerator.print(note)
    run.start_trackers()

    run.model.train()
    loader = run.train.training_loader(order, run.workers, pin_memory=run.on_gpu)
    watch, loss_check, silent = Stopwatch(), LossCheck(state.losses), not accelerator.is_main_process
    progress = tqdm(total=steps, initial=order.begin, desc="Training", unit="step", disable=silent)
    for step, batch in enumerate(watch.time_waiting(loader), order.begin):
        rate = run.schedule.rate(step)
        loss = take_step(run, batch, step, rate)
        # Check the previous step's loss here, so that the GPU never waits.
        loss_check.add(loss, step, rate, lambda index=batch["index"]: run.train.names(index))
        progress.update()
        state.step = step + 1
        epoch_ends = state.step % order.per_epoch == 0
        if epoch_ends or state.step % settings.checkpoint_steps == 0:
            loss_check.finish()  # write no checkpoint after a loss that is not finite
            if epoch_ends:
                end_epoch(run, state, rate, watch)
            save_state(run, state)
        if epoch_ends and state.is_out_of_patience(settings.patience, order.per_epoch):
            break
    progress.close()
    if state.step < steps:
        accelerator.print(f"No better validation AUROC in {settings.patience} epochs: stopping")
    if state.best:
        run.checkpoints.load_best(state.best)
    else:  # no epoch has a validation AUROC
        run.average.replace_model()
    return state


def take_step(run, batch, step, rate):
    """One step of the optimiser. Returns the loss of this process's share of the batch, a scalar on the device."""
    settings, accelerator, epoch = run.settings, run.accelerator, step // run.order.per_epoch
    pixels = batch["pixels"].to(accelerator.device, non_blocking=True)  # (n, 1, size, size) uint8, or features
    targets = batch["targets"].to(accelerator.device, non_blocking=True)  # (n, k) float32, NaN where unknown

    def part_loss(rows):  # forward pass and loss of as many rows as fit into memory
        images = run.augment(pixels[rows], batch["draw"][rows], epoch)  # (m, 3, side, side) float32
        wanted = targets[rows]  # (m, k)
        if settings.mixup:
            images, wanted = losses.mix(images, wanted, settings.mixup)
        with run.record_maps() as found:
            outputs = run.model(pixel_values=images).logits.float()  # (m, k), or (m, 3 k) with three classes
        loss = run.loss(outputs, wanted)  # summed over all known targets
        if run.box_loss:
            matrices = run.draw_changes(batch["draw"][rows], epoch).matrices
            loss = loss + settings.box_weight * run.box_loss.compute(found, batch["index"][rows], matrices)
        return loss

    count = run.order.batch_size * len(run.data.findings)  # targets of the whole step; the loss is divided by it
    seed = step_seed(settings.seed, step, accelerator.process_index)  # of dropout and mixup
    loss = run.gradients.compute(part_loss, len(targets), count, seed, run.largest_share)
    if settings.clip:
        accelerator.clip_grad_norm_(run.model.parameters(), settings.clip)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["share"]
    run.optimizer.step()
    run.optimizer.zero_grad()
    device.share_buffers(run.model, accelerator)
    run.average.update(step)
    return loss


def end_epoch(run, state, rate, watch):
    """Score the epoch on validation, note its figures, and keep its weights if they are the best yet."""
    with run.average.in_model():
        auroc = validate(run)
    run.model.train()
    figures = epoch_figures(run, state, auroc, rate, watch)
    run.accelerator.log(figures, step=state.step)
    if state.end_epoch(figures):
        run.checkpoints.save_best(state.best)
    if run.accelerator.is_main_process:
        tqdm.write(state.epoch_line())


def save(run, results, state, output):
    """Write everything beside `output`, then move it in. `all_results.json`, the sign of a finished run, comes last."""
    weights = run.weights()  # every process takes part
    if not run.accelerator.is_main_process:
        return
    with files.whole_folder(output, last="all_results.json") as folder:
        save_model(run, weights, folder)
        run_results.write_epochs(state.scores, folder / "epochs.csv")
        run_results.plot_results(results, folder / "results.png")
        run_results.write_results(results, folder / "all_results.json")


def name_next_step(settings, accelerator, output, data):
    """Print the command that scores the checkpoint, unless there is no test, or `push` scores it now."""
    has_test = any("test" in dataset.splits for dataset in data.datasets)  # `--test false` leaves it out there
    if settings.push_to_hub or settings.test and not has_test:
        return
    what = "a report and a model card" if settings.test else "if test is to be read: a report and a model card"
    command = next_command.command_line(Path(__file__).with_name("score.py"), str(output))
    accelerator.print(f"Next, {what}:\n{command}")


def push(settings, accelerator, output):
    """If the settings name a repository: score the checkpoint, which writes its model card, and upload both."""
    if not settings.push_to_hub:
        return
    accelerator.wait_for_everyone()  # until the checkpoint is written
    report = report_scores(ScoreOptions(models=[str(output)]))
    if accelerator.is_main_process:
        print(screen_text(report))
        print(f"Uploaded to {hub.push_model(output, settings.push_to_hub, settings.public)}")


def show_finished(settings, accelerator, output):
    """Print the results of a finished run again. Raises ValueError if settings, images or labels differ now."""
    refuse_other_settings(output, settings)
    data = open_data(settings, accelerator)
    data.read_images(load_processor(output), settings, accelerator)
    compared = refuse_other_data(output, data.digests)
    accelerator.print(run_results.results_text(json.loads((output / "all_results.json").read_text())))
    if not compared:
        accelerator.print("Its images were not compared with today's, because they are read in another way now.")
    accelerator.print(f"{output} holds this finished run. To train again, give another --output-dir.")
    name_next_step(settings, accelerator, output, data)
    push(settings, accelerator, output)


if __name__ == "__main__":
    with errors_in_one_line("finetune.py", FloatingPointError):
        main()
