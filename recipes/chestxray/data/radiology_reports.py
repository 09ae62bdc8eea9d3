"""MIMIC-CXR's reports as text, findings and impression apart.

Reports are free text under headings that each radiologist writes differently. MIMIC-CXR's authors cut them into
sections before labelling. These are their rules (https://github.com/MIT-LCP/mimic-cxr, txt/section_parser.py and
create_section_files.py), in new code: the last section of a kind counts, and a report without sections gives its
closing paragraphs. The authors also corrected single studies by hand; that is left out. Headings in small letters are
read as well.
"""

import difflib
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from chestxray import files

SCHEMA = pa.schema(
    {
        "subject_id": pa.int32(),
        "study_id": pa.int32(),
        "findings": pa.string(),
        "impression": pa.string(),
        "text": pa.string(),
    }
)
HEADING = re.compile(
    r"^[ \t]*(?:(?P<name>[A-Z][A-Z ()/,&.-]*|(?i:findings?|impression|conclusion|findings and impression)):(?=\s)"
    r"|FINAL REPORT[ \t]*$)",
    re.MULTILINE,
)
VIEWS = re.compile(r"chest|portable|views?\b|frontal|\b(?:pa|ap) and lat|lateral and|\bribs\b|bone window")
ASIDES = ("wet", "history", "comparison", "indication", "exam", "technique", "recommendation", "notification")
TYPING = 0.86  # similarity of the misspelt headings in MIMIC's own list, 0.87 and more; "compression" has 0.857
UNNAMED = ""  # before the first heading, or under FINAL REPORT alone


def sections(text: str) -> dict[str, str | None]:
    """A report's `{"findings": …, "impression": …}`, each one line of text or None.

    "FINDINGS AND IMPRESSION" is the impression, as for MIMIC-CXR's labels. A wet read, the preliminary report, is
    neither. Text under a heading that only names a view ("CHEST, PA AND LATERAL:") is findings. In a report without
    these headings the closing paragraphs are the findings, or the comparison if there is nothing else.

    >>> sections("FINAL REPORT\\n INDICATION: Cough.\\n\\n FINDINGS: Clear\\n lungs.\\n\\n IMPRESSION: Normal.")
    {'findings': 'Clear lungs.', 'impression': 'Normal.'}
    """
    parts = paragraphs_by_heading(text)
    found: dict[str, str | None] = {"findings": None, "impression": None}
    for name, content in parts:
        if (section := section_of(name)) and content.strip():
            found[section] = content
    if not any(found.values()):
        found["findings"] = closing_paragraphs(*parts[-1])
    return {name: " ".join((content or "").split()) or None for name, content in found.items()}


def paragraphs_by_heading(text: str) -> list[tuple[str, str]]:
    """[(heading in small letters, what stands under it)], in order."""
    headings = list(HEADING.finditer(text))
    bounds = [heading.start() for heading in headings] + [len(text)]
    parts = [(UNNAMED, text[: bounds[0]])]
    for heading, end in zip(headings, bounds[1:], strict=True):
        parts.append(((heading["name"] or UNNAMED).lower().strip(), text[heading.end() : end]))
    return parts


def section_of(heading: str) -> str | None:
    """The section under a heading in small letters: "impression", "findings" or None. "impresson" counts too."""
    if "impression" in heading or difflib.get_close_matches(heading, ["impression", "conclusion"], 1, TYPING):
        return "impression"
    if "findings" in heading or difflib.get_close_matches(heading, ["findings"], 1, TYPING):
        return "findings"
    if VIEWS.search(heading) and not any(word in heading for word in ASIDES):
        return "findings"
    return None


def closing_paragraphs(heading: str, content: str) -> str | None:
    """The paragraphs that end a report without findings and impression; the first belongs to its heading or title."""
    first, *rest = [paragraph for paragraph in re.split(r"\n[ \t]*\n", content) if paragraph.strip()] or [""]
    if rest and (heading != UNNAMED or not first.rstrip().endswith(".")):
        return "\n".join(rest)
    return content if heading == UNNAMED or "comparison" in heading else None


def write_table(path: str | Path, source: str | Path, studies: Collection[tuple[int, int]]) -> int:
    """Write the table of reports, with the columns of `SCHEMA` and one row per study that has a report.

    Reports that the table holds already are not read again. Reports of other studies stay in it.

    Args:
        path: of the Parquet file.
        source: folder with `files/p10/p10000032/s50414267.txt`, or a zip of it such as mimic-cxr-reports.zip.
        studies: (subject_id, study_id) pairs.

    Returns:
        How many of these studies have a report.

    Raises:
        FileNotFoundError: `source` is not there.
        ValueError: the zip is damaged, or a report is no text; the message names it.
    """
    path = Path(path)
    rows = pq.read_table(path, schema=SCHEMA).to_pylist() if path.exists() else []
    known = {row["study_id"] for row in rows}
    wanted = [study for study in studies if study[1] not in known]
    new = list(read_reports(source, wanted))
    if new or not path.exists():
        rows = sorted(rows + new, key=lambda row: (row["subject_id"], row["study_id"]))
        with files.whole_file(path) as part:
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), part, compression="zstd")
    known |= {row["study_id"] for row in new}
    return sum(study_id in known for _, study_id in studies)


def read_reports(source: str | Path, studies: Collection[tuple[int, int]]) -> Iterator[dict]:
    """A row of the table for each study that has a report."""
    fetch = open_reports(Path(source))
    for subject_id, study_id in tqdm(studies, "Reading reports", unit=" reports", disable=not studies):
        place = f"files/p{str(subject_id)[:2]}/p{subject_id}/s{study_id}.txt"
        try:
            content = fetch(place)
            text = None if content is None else content.decode()
        except (UnicodeDecodeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{source}/{place} is damaged or no text. Download it again.") from error
        if text is not None:
            yield {"subject_id": subject_id, "study_id": study_id, **sections(text), "text": text}


def open_reports(source: Path) -> Callable[[str], bytes | None]:
    """A function from a report's place in `source` to its bytes, or to None if there is no such report."""
    if source.is_dir():
        return lambda place: (source / place).read_bytes() if (source / place).is_file() else None
    if not source.exists():
        raise FileNotFoundError(f"{source} is not there: --reports takes the folder with files/p10/…, or a zip of it")
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{source} is no zip, or a damaged one: {error}. Download it again.") from error
    names = set(archive.namelist())
    return lambda place: archive.read(place) if place in names else None
