"""Turn MIMIC-CXR's DICOM files into the JPEG tree and the metadata table of MIMIC-CXR-JPG.

    python recipes/dicom_to_jpeg.py SOURCE OUT                              as MIMIC-CXR-JPG, on every core
    python recipes/dicom_to_jpeg.py SOURCE OUT --no-equalize                intensities as in NIH's images
    python recipes/dicom_to_jpeg.py SOURCE OUT --reports mimic-cxr-reports.zip
    python recipes/dicom_to_jpeg.py SOURCE OUT --ray auto                   on a Ray cluster; `local` starts one here

SOURCE is the folder that holds `files/p10/p10000032/s50414267/<dicom_id>.dcm`, or a part of it. OUT then holds
`files/…/<dicom_id>.jpg`, mimic-cxr-2.0.0-metadata.csv.gz, conversion.json with the settings and, with --reports,
reports.parquet. Put MIMIC-CXR-JPG's split and label tables beside them. Only the values that
chestxray/dicom/dicom_files.py lists go from a DICOM header to OUT. After a stop, start the same command again: it does
not read finished images again. On a cluster, SOURCE and OUT lie on a disk that all nodes share, at the same
path, and each node has `chestxray` installed.
"""

from pathlib import Path

from chestxray.flags import Parser
from chestxray.machine import cores
from chestxray.stopping import errors_in_one_line, stop_in_one_line

DAMAGED = "damaged.csv"


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("source", type=Path, help="the folder that holds MIMIC-CXR's files/")
    add("out", type=Path, help="the folder to write")
    add("--no-equalize", dest="equalize", action="store_false", help="leave out the histogram equalisation")
    add("--quality", type=int, default=95, choices=range(1, 101), metavar="1…100", help="of the JPEGs (default: 95)")
    add("--reports", type=Path, help="folder or zip with files/p10/p10000032/s50414267.txt")
    add("--skip-damaged", action="store_true", help=f"list unreadable files in {DAMAGED} instead of stopping")
    add("--num-proc", type=int, default=cores(), help="processes (default: one per core)")
    add("--ray", metavar="ADDRESS", help="of a Ray cluster, for several machines")
    return parser.parse_args(argv)


if __name__ == "__main__":
    stop_in_one_line("dicom_to_jpeg.py")
    parse(None)  # --help and a wrong flag are answered before the imports below, which take seconds

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

import cv2
from tqdm.auto import tqdm

from chestxray.data import radiology_reports
from chestxray.dicom import dicom_files
from chestxray.files import claim_folder, whole_file, write
from chestxray.publishing import pool

TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"
SETTINGS = "conversion.json"
UNFINISHED = ".unfinished"  # rows of finished shards, and files while they are written; gone when all is done
SHARD = 16  # files: seconds of work


def main(argv=None):
    arguments = parse(argv)
    source, out = arguments.source.resolve(), arguments.out.resolve()
    settings = {"equalize": arguments.equalize, "quality": arguments.quality}

    files = list_files(source)
    _claim = claim_folder(out)  # until this function ends
    claim(out, settings)
    damaged, withheld = convert_missing(source, out, settings, files, arguments)

    rows = read_rows(out)
    refuse_gaps(out, files, rows, damaged)
    write(out / TABLE, gzip.compress("".join([csv_line(dicom_files.COLUMNS), *rows.values()]).encode(), mtime=0))
    list_damaged(out, damaged)
    for column, count in sorted(withheld.items()):
        print(f"{column} was left blank {count:,} times: chestxray/dicom/dicom_files.py does not list its value.")
    if arguments.reports:
        write_reports(out, rows, arguments.reports)
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)  # not there if nothing was missing
    print(f"{out} is complete: {len(rows):,} images.")


def convert_missing(source, out, settings, files, arguments):
    """Convert the files that are not finished. Returns [(file, reason)] of the damaged, and a Counter of the blanks."""
    finished = read_rows(out)
    missing = [file for file in files if file not in finished]
    if len(missing) < len(files):
        print(f"{len(files) - len(missing):,} of {len(files):,} images are finished already.")
    # Any process can convert a shard of files, and it does no harm to convert a shard twice.
    shards = [missing[start : start + SHARD] for start in range(0, len(missing), SHARD)]
    job = partial(convert_shard, source, out, settings)
    run = run_on_ray(job, shards, arguments.ray) if arguments.ray else run_on_processes(job, shards, arguments.num_proc)
    damaged, withheld = [], Counter()
    with closing(run) as done, tqdm(total=len(missing), desc="Converting", unit=" images", disable=not missing) as bar:
        for shard in done:
            if shard["damaged"] and not arguments.skip_damaged:
                file, reason = shard["damaged"][0]
                raise ValueError(f"{source / file} {reason} To go on without such files, add --skip-damaged.")
            damaged += shard["damaged"]
            withheld += shard["withheld"]
            bar.update(shard["files"])
    return damaged, withheld


def refuse_gaps(out, files, rows, damaged):
    if lost := set(files) - set(rows) - set(dict(damaged)):
        raise ValueError(
            f"{len(lost):,} images have no row, {min(lost)} among them. Is another job at {out}? Start again."
        )


def list_damaged(out, damaged):
    """Write DAMAGED, or remove the file of an earlier run."""
    (out / DAMAGED).unlink(missing_ok=True)
    if damaged:
        write(out / DAMAGED, "".join(map(csv_line, [("file", "reason"), *sorted(damaged)])))
        print(f"{len(damaged):,} files were left out: {out / DAMAGED}")


def write_reports(out, rows, reports):
    """Write reports.parquet with the report of each study in `rows`."""
    studies = sorted({tuple(map(int, row.split(",", 3)[1:3])) for row in rows.values()})
    found = radiology_reports.write_table(out / "reports.parquet", reports, studies)
    print(f"{found:,} of {len(studies):,} studies have a report in {reports}.")


def convert_shard(source, out, settings, files):
    """Write the JPEGs of these files that are missing, and the file of their rows.

    Returns:
        {"files": how many; "damaged": [(file, reason)]; "withheld": Counter of the values left blank, by column}
    """
    cv2.setNumThreads(1)  # there is a process for every core
    rows, damaged, withheld = [], [], Counter()
    for file in files:
        jpeg = Path(file).with_suffix(".jpg")
        try:
            row = dicom_files.metadata_row(source / file, withheld)
            if not (out / jpeg).exists():
                write_part(out, jpeg, dicom_files.to_jpeg(source / file, **settings))
            rows.append(csv_line(row.values()))
        except dicom_files.UnreadableDicom as error:
            damaged.append((file, str(error).removeprefix(f"{source / file} ")))
    write_part(out, f"{UNFINISHED}/{Path(files[0]).stem}.csv", "".join(rows).encode())
    return {"files": len(files), "damaged": damaged, "withheld": withheld}


def run_on_processes(job, shards, num_proc):
    """Yield the results of `job(shard)` as they come, from processes that end with this one."""
    with pool.workers(num_proc) as workers:
        futures = [workers.executor.submit(job, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def run_on_ray(job, shards, address):
    """The same from the nodes of a Ray cluster. If a node is lost, another node does its shard again."""
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
    """The paths of all DICOMs inside `source`, sorted; ValueError for a path that MIMIC-CXR does not have."""
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
    """Write the settings into `out`. Refuse a folder whose images have other settings, or none."""
    path = out / SETTINGS
    try:
        earlier = json.loads(path.read_bytes()) if path.exists() else settings
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Choose another folder.") from error
    if earlier != settings:
        raise FileExistsError(f"{out} holds images made with {earlier}, not {settings}. Choose another folder.")
    if not path.exists() and (out / "files").exists():
        raise FileExistsError(f"{out} holds images but no {SETTINGS} with their settings. Choose another folder.")
    write(out / SETTINGS, json.dumps(settings) + "\n")


def read_rows(out):
    """{path of the DICOM: its line of the table} for each finished image, from the table and from UNFINISHED."""
    try:
        tables = [gzip.decompress((out / TABLE).read_bytes()).decode()] if (out / TABLE).exists() else []
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{out / TABLE} is damaged: {error}. Delete it and start again.") from error
    tables += [part.read_text() for part in (out / UNFINISHED).glob("*.csv")]
    rows = {}
    for row in "".join(tables).splitlines(keepends=True):
        dicom_id, subject, study, _ = row.split(",", 3)
        file = f"files/p{subject[:2]}/p{subject}/s{study}/{dicom_id}"
        if (out / f"{file}.jpg").exists():  # the header's line has no image
            rows[f"{file}.dcm"] = row
    return dict(sorted(rows.items()))


def csv_line(values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def write_part(out, name, content):
    """Write bytes to a file of OUT. Until it is whole it lies in UNFINISHED, which is removed at the end."""
    with whole_file(out / name, folder=out / UNFINISHED) as part:
        part.write_bytes(content)


if __name__ == "__main__":
    with errors_in_one_line("dicom_to_jpeg.py"):
        main()
