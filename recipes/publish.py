"""Turn NIH's raw archive into a Hub dataset repository that every release of `datasets` loads.

    python recipes/publish.py ARCHIVE OUT                              Parquet, the official split, and thumbnails
    python recipes/publish.py ARCHIVE OUT --sizes 256                  256 × 256 pixels only: 3.5 GB, not 46
    python recipes/publish.py ARCHIVE OUT --sizes full 512 thumbnail   several; each image is decoded once
    python recipes/publish.py ARCHIVE OUT --format webdataset          tar shards of KEY.png and KEY.json
    python recipes/publish.py ARCHIVE OUT --patients 8400 --seed 42    some of the patients, cut 70/10/20
    python recipes/publish.py ARCHIVE OUT --push someone/NIH-Chest-X-ray-dataset

ARCHIVE is a folder in any layout the builder reads. OUT is then a complete repository: `load_dataset("OUT")`.
After an interruption, start the same command again: finished shards stay as they are. With more --sizes it adds them.

Thumbnails are JPEGs of 224 pixels with one column per finding, 1 GB for the whole release. The Hub's viewer filters and
sorts only the first 5 GB of a config, so people look through these. They are no training data.
"""

from chestxray.flags import Parser
from chestxray.machine import cores
from chestxray.publishing.sizes import SIZES
from chestxray.stopping import errors_in_one_line, stop_in_one_line


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("archive", help="the folder with NIH's files")
    add("out", help="the folder to write")
    add("--allow-missing", action="store_true", help="accept fewer images than the official lists name")
    sizes = "sides in pixels; smaller images are enlarged (default: full thumbnail, with webdataset: full)"
    add("--sizes", nargs="+", action="extend", choices=SIZES, help=sizes)
    add("--format", choices=("parquet", "webdataset"), default="parquet")
    add("--patients", type=int, help="choose that many at random, cut 70/10/20, in place of the official split")
    add("--seed", type=int, default=42, help="of the random choice of --patients")
    add("--num-proc", type=int, default=cores(), help="processes; one per core by default")
    add("--push", metavar="REPO_ID", help="upload; the token comes from HF_TOKEN or `hf auth login`")
    add("--public", action="store_true", help="let everybody see the repository if it is new (default: private)")
    add("--dry-run", action="store_true", help="print what would be written and uploaded, and do nothing")
    arguments = parser.parse_args(argv)
    if arguments.public and not arguments.push:
        parser.error("--public says who sees the repository of --push: give --push as well")
    return arguments


if __name__ == "__main__":
    stop_in_one_line("publish.py")
    parse(None)  # --help and a wrong flag are answered before the imports below, which take seconds

from functools import partial
from pathlib import Path

from chestxray import files
from chestxray.data import archive, registry
from chestxray.publishing import dataset_card, hub, pool, shards, sizes, subset


def main(argv=None):
    arguments = parse(argv)
    out = Path(arguments.out)
    wanted = sizes.in_order(arguments.sizes, arguments.format)
    with pool.workers(arguments.num_proc) as workers:
        # The archive, and which image belongs to which split
        registry.refuse_restricted(arguments.archive)
        builder = archive.builder_of(arguments.archive, arguments.allow_missing)
        source = archive.open_archive(builder, workers.executor.map)
        splits, draw = source.splits, None
        if arguments.patients:
            draw = subset.Draw(arguments.patients, arguments.seed)
            splits = subset.draw_splits(sorted(source.records), draw)

        # Which files are needed, and which of them are not written yet
        planned = shards.plan_shards(source, splits, arguments.format, wanted)
        if arguments.dry_run:
            return print_plan(planned, arguments.push)
        _claim = files.claim_folder(out)  # until this function ends
        jobs = shards.group_shards(missing_shards(out, planned))
        # A tar.gz is read from its beginning, so each process takes neighbours; other jobs go to any free process
        chunk = -(-len(jobs) // arguments.num_proc) if source.compressed else 1
        if jobs:
            pool.run_jobs(workers, partial(shards.write_shards, out), jobs, shards.count_images(jobs), chunk)

    # The card
    features = {columns: shards.features_of(columns) for columns in {shard.columns for shard in planned}}
    description = builder.info.description
    written = dataset_card.write_card(out, planned, features, source, splits, description, draw, arguments.push)
    print(f'{out} is complete: load_dataset("{out}")')

    if arguments.push:
        hub.push_dataset(out, arguments.push, [*(shard.file for shard in planned), *written], arguments.public)
        print(f'load_dataset("{arguments.push}")')


def missing_shards(out, planned):
    """The planned shards that no earlier run has finished. Raises ValueError if `out` holds other shards."""
    files.remove_unfinished(out)
    shards.refuse_strangers(out, planned)
    missing = [shard for shard in planned if not shards.is_finished(out, shard)]
    if len(missing) < len(planned):
        print(f"{len(planned) - len(missing)} of {len(planned)} shards are finished already.")
    return missing


def print_plan(planned, repository):
    """Print what would go where."""
    main, script = (f"{repository}@{revision}: " if repository else "" for revision in ("main", hub.REVISION))
    for shard in planned:
        print(f"{main}{shard.file}  {len(shard.images):,} rows")
    print(f"{main}README.md")
    if repository:
        print(f"{script}{hub.script_name(repository)}")


if __name__ == "__main__":
    with errors_in_one_line("publish.py"):
        main()
