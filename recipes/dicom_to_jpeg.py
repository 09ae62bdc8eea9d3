"""Turn MIMIC-CXR's DICOM files into the JPEG tree and the metadata table that MIMIC-CXR-JPG has of them.

    python recipes/dicom_to_jpeg.py SOURCE OUT                              as MIMIC-CXR-JPG, on every core
    python recipes/dicom_to_jpeg.py SOURCE OUT --no-equalize                intensities as in NIH's images
    python recipes/dicom_to_jpeg.py SOURCE OUT --reports mimic-cxr-reports.zip
    python recipes/dicom_to_jpeg.py SOURCE OUT --ray auto                   on a Ray cluster; `local` starts one here

SOURCE is the folder that holds `files/p10/p10000032/s50414267/<dicom_id>.dcm`, or a part of it. OUT then holds
`files/…/<dicom_id>.jpg`, mimic-cxr-2.0.0-metadata.csv.gz, conversion.json with the settings and, with --reports,
reports.parquet; put MIMIC-CXR-JPG's split and label tables beside them. Nothing of a DICOM header but the values listed
in chestxray/dicom/dicom_files.py reaches OUT. Interrupted, start it again with the same words: finished images are not
read again.
On a cluster SOURCE and OUT lie on a disk that all nodes share, at the same path, and `chestxray` is installed on each.
"""

import argparse
import csv
import gzip
import io
import json
import os
import shutil
import zlib
from collections import Counter
from concurrent.futures import as_completed
from contextlib import closing
from functools import partial
from pathlib import Path

import cv2
from tqdm.auto import tqdm

from chestxray.data import radiology_reports
from chestxray.dicom import dicom_files
from chestxray.files import whole_file, write
from chestxray.publishing import pool

TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"
SETTINGS = "conversion.json"
DAMAGED = "damaged.csv"
UNFINISHED = ".unfinished"  # rows of finished shards, and files while they are written; gone when all is done
SHARD = 16  # files: seconds of work


def main(argv=None):
    arguments = parse(argv)
    source, out = arguments.source.resolve(), arguments.out.resolve()
    settings = {"equalize": arguments.equalize, "quality": arguments.quality}

    # What there is, and what of it is still to do
    files = list_files(source)
    claim(out, settings)
    finished = read_rows(out)
    missing = [file for file in files if file not in finished]
    if len(missing) < len(files):
        print(f"{len(files) - len(missing):,} of {len(files):,} images are finished already.")

    # Shards of files, each of which any process can do, twice if need be
    shards = [missing[start : start + SHARD] for start in range(0, len(missing), SHARD)]
    job = partial(convert, source, out, settings)
    run = on_ray(job, shards, arguments.ray) if arguments.ray else on_processes(job, shards, arguments.num_proc)
    damaged, withheld = [], Counter()
    with closing(run) as done, tqdm(total=len(missing), desc="Converting", unit=" images", disable=not missing) as bar:
        for shard in done:
            if shard["damaged"] and not arguments.skip_damaged:
                file, reason = shard["damaged"][0]
                raise ValueError(f"{source / file} {reason} Or go on without such files: --skip-damaged.")
            damaged += shard["damaged"]
            withheld += shard["withheld"]
            bar.update(shard["files"])

    # Tables
    rows = read_rows(out)
    if lost := set(files) - set(rows) - set(dict(damaged)):
        raise ValueError(
            f"{len(lost):,} images have no row, {min(lost)} among them. Is another job at {out}? Start again."
        )
    write(out / TABLE, gzip.compress("".join([line(dicom_files.COLUMNS), *rows.values()]).encode(), mtime=0))
    (out / DAMAGED).unlink(missing_ok=True)
    if damaged:
        write(out / DAMAGED, "".join(map(line, [("file", "reason"), *sorted(damaged)])).encode())
        print(f"{len(damaged):,} files were left out: {out / DAMAGED}")
    for column, count in sorted(withheld.items()):
        print(
            f"{column} was left blank {count:,} times: its value is not among those of chestxray/dicom/dicom_files.py."
        )
    if arguments.reports:
        studies = sorted({tuple(map(int, row.split(",", 3)[1:3])) for row in rows.values()})
        found = radiology_reports.write(out / "reports.parquet", arguments.reports, studies)
        print(f"{found:,} of {len(studies):,} studies have a report in {arguments.reports}.")
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    print(f"{out} is complete: {len(rows):,} images.")


def convert(source, out, settings, files):
    """One shard: what is missing of its JPEGs, and its rows, beside those of other shards.

    Returns:
        {"files": how many; "damaged": [(file, reason)]; "withheld": Counter of the columns whose value was left blank}
    """
    cv2.setNumThreads(1)  # there is a process for every core
    rows, damaged, withheld = [], [], Counter()
    for file in files:
        jpeg = Path(file).with_suffix(".jpg")
        try:
            row = dicom_files.metadata(source / file, withheld)
            if not (out / jpeg).exists():
                store(out, jpeg, dicom_files.to_jpeg(source / file, **settings))
            rows.append(line(row.values()))
        except dicom_files.UnreadableDicom as error:
            damaged.append((file, str(error).removeprefix(f"{source / file} ")))
    store(out, f"{UNFINISHED}/{Path(files[0]).stem}.csv", "".join(rows).encode())
    return {"files": len(files), "damaged": damaged, "withheld": withheld}


def on_processes(job, shards, num_proc):
    """The results of `job(shard)` as they come, from processes that end with this one."""
    with pool.workers(num_proc) as workers:
        futures = [workers.submit(job, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def on_ray(job, shards, address):
    """The same from the nodes of a Ray cluster; a shard whose node is lost is done again by another."""
    try:
        import ray
    except ImportError as error:
        raise ValueError("--ray needs Ray: pip install ray") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address, log_to_driver=False, include_dashboard=False)
    try:
        task = ray.remote(lambda shard: job(shard))
        waiting = [task.remote(shard) for shard in shards]
        while waiting:
            (done,), waiting = ray.wait(waiting)
            yield ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        ray.shutdown()


def list_files(source):
    """Every DICOM's path inside `source`, in order; ValueError for one that is not where MIMIC-CXR has its own."""
    found = []
    for folder, _, names in os.walk(source / "files", followlinks=True):
        inside = Path(folder).relative_to(source).as_posix()
        found += [f"{inside}/{name}" for name in names if name.endswith(".dcm")]
    if not found:
        raise FileNotFoundError(f"{source} holds no files/p10/p10000032/s50414267/<dicom_id>.dcm")
    for file in found:
        if not dicom_files.PLACE.fullmatch(file):
            raise ValueError(f"{source / file} is not named as MIMIC-CXR's DICOMs are. Take it out of the folder.")
    return sorted(found)


def claim(out, settings):
    """Write down with which settings the images of `out` are made; refuse others, and images without any."""
    path = out / SETTINGS
    try:
        made = json.loads(path.read_bytes()) if path.exists() else settings
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Choose another folder.") from error
    if made != settings:
        raise FileExistsError(f"{out} holds images made with {made}, not {settings}. Choose another folder.")
    if not path.exists() and (out / "files").exists():
        raise FileExistsError(f"{out} holds images but no {SETTINGS} that says how they were made. Choose another.")
    write(out / SETTINGS, (json.dumps(settings) + "\n").encode())


def read_rows(out):
    """{path of the DICOM: its line of the table} of every image that is finished, in the table or still beside it."""
    try:
        tables = [gzip.decompress((out / TABLE).read_bytes()).decode()] if (out / TABLE).exists() else []
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{out / TABLE} is damaged: {error}. Delete it and start again.") from error
    tables += [part.read_text() for part in (out / UNFINISHED).glob("*.csv")]
    rows = {}
    for row in "".join(tables).splitlines(keepends=True):
        dicom_id, subject, study, _ = row.split(",", 3)
        file = f"files/p{subject[:2]}/p{subject}/s{study}/{dicom_id}"
        if (out / f"{file}.jpg").exists():  # which the header's line has not
            rows[f"{file}.dcm"] = row
    return dict(sorted(rows.items()))


def line(values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def store(out, name, content):
    """A file of OUT. Until it is whole it lies in UNFINISHED, which goes when all is done."""
    with whole_file(out / name, folder=out / UNFINISHED) as part:
        part.write_bytes(content)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", type=Path, help="the folder that holds MIMIC-CXR's files/")
    add("out", type=Path, help="the folder to write")
    add("--no-equalize", dest="equalize", action="store_false", help="leave out the histogram equalisation")
    add("--quality", type=int, default=95, choices=range(1, 101), metavar="1…100", help="of the JPEGs (default: 95)")
    add("--reports", type=Path, help="folder or zip with files/p10/p10000032/s50414267.txt")
    add("--skip-damaged", action="store_true", help=f"list unreadable files in {DAMAGED} instead of stopping")
    add("--num-proc", type=int, default=os.cpu_count(), help="processes (default: one per CPU)")
    add("--ray", metavar="ADDRESS", help="of a Ray cluster, for several machines")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"dicom_to_jpeg.py: {error}") from None
