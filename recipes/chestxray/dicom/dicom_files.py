"""One MIMIC-CXR DICOM file as the grey picture and the table row that MIMIC-CXR-JPG has for it.

The picture is made in the same way as MIMIC-CXR-JPG's (A. Johnson in
https://github.com/MIT-LCP/mimic-cxr/issues/16, and the description of 2.0.0, https://doi.org/10.13026/8360-t248):
the range of the stored values becomes 0 to 255, MONOCHROME1 is inverted, then OpenCV's `equalizeHist`; no VOI LUT or
window. The result is the same, bit for bit. Two steps are added, as the standard says: a negative rescale slope
inverts, and a modality LUT is applied (PS3.3 C.11.1). A positive slope changes nothing.

A value of the header reaches the table only if it is on a list below. This module does not look for names burned into
the pixels, or for damaged pixels: compare the files with PhysioNet's SHA256SUMS.txt.
"""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import JPEGExtended12Bit

COLUMNS = (  # of mimic-cxr-2.0.0-metadata.csv.gz
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
# https://mimic.mit.edu/docs/iv/modules/cxr: patients begin with 1, studies with 5, an image is 40 hexadecimal digits
PLACE = re.compile(
    r"files/(p1[0-9])/(?P<subject>\1[0-9]{6})/(?P<study>s5[0-9]{7})/(?P<dicom>[0-9a-f]{8}(-[0-9a-f]{8}){4})\.dcm"
)
TYPES = tuple(pydicom.valuerep.VR)


class UnreadableDicom(ValueError):
    """The file is damaged, or holds no single grey picture. The message names the file and quotes nothing from it."""


# Picture ----------------------------------------------------------------------------------------------------


def to_image(path: str | Path, equalize: bool = True) -> np.ndarray:
    """The picture of a DICOM file, (rows, columns) uint8, with white bones.

    Args:
        equalize: as in MIMIC-CXR-JPG. False keeps intensities that can be compared with NIH's. In both cases a picture
            of one value is black.

    Raises:
        UnreadableDicom: damaged, in colour, with several frames, not of 8 or 16 bits, or compressed in a way for which
            no decoder is installed.
        OSError: an error of the disk.
    """
    with errors_as_unreadable(path):
        header = read_elements(path)
        refuse_unless_grey(header, path)
        codes = read_codes(header)
        return to_grey(codes, code_values(header, codes.dtype), header, equalize)


def to_jpeg(path: str | Path, equalize: bool = True, quality: int = 95) -> bytes:
    """`to_image` as the bytes of a JPEG, without EXIF or comment. quality: 1 to 100."""
    return cv2.imencode(".jpg", to_image(path, equalize), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def read_elements(path: str | Path, stop_before_pixels: bool = False) -> pydicom.FileDataset:
    """A file's elements. Raises UnreadableDicom for a damaged tag or type of an element, which pydicom ignores."""
    header = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels)
    tags = list(header.keys())
    if tags != sorted(tags):  # PS3.5, section 7.1: each has a higher tag than the one before it
        raise UnreadableDicom(f"{path} has elements out of order. Download it again.")
    known = (None,) if header.file_meta.TransferSyntaxUID.is_implicit_VR else TYPES
    if any(header.get_item(tag).VR not in known for tag in tags):
        raise UnreadableDicom(f"{path} has an element of no known type. Download it again.")
    return header


@contextmanager
def errors_as_unreadable(path: str | Path) -> Iterator[None]:
    """Turn all errors of pydicom and its decoders into one, because their messages and warnings quote the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnreadableDicom:
        raise
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # of a decoder in Rust, and no Exception
        if not (is_panic or isinstance(error, Exception)):
            raise
        if getattr(error, "errno", None):  # an error of the disk; Pillow's OSErrors about damaged data have no number
            raise
        raise UnreadableDicom(f"{path} is damaged or no DICOM file. Download it again.") from error


def refuse_unless_grey(header: pydicom.Dataset, path: str | Path) -> None:
    """Raise UnreadableDicom, with the reason, for anything but one grey picture that can be decoded here."""
    if "PixelData" not in header:
        raise UnreadableDicom(f"{path} is cut off, or has no pixels. Download it again.")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise UnreadableDicom(f"{path} has several frames, a radiograph has one. Take it out of the folder.")
    if header.SamplesPerPixel != 1 or header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableDicom(f"{path} is in colour, a radiograph is grey. Take it out of the folder.")
    if header.BitsAllocated not in (8, 16):
        raise UnreadableDicom(f"{path} has pixels of neither 8 nor 16 bits. Take it out of the folder.")
    refuse_without_decoder(header, path)


def refuse_without_decoder(header: pydicom.Dataset, path: str | Path) -> None:
    """Raise UnreadableDicom, with the name of the compression, if no decoder for it is installed."""
    if not has_decoder(header):
        raise UnreadableDicom(
            f"{path} is compressed as {header.file_meta.TransferSyntaxUID.name}, for which no decoder is installed: "
            "https://pydicom.github.io/pydicom/stable/guides/plugin_table.html"
        )


def has_decoder(header: pydicom.Dataset) -> bool:
    """Whether a package here decodes a file's compression."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:  # films
        return False
    if syntax == JPEGExtended12Bit and header.BitsStored > 8:
        return bool(set(decoder.available_plugins) - {"pillow"})  # which decodes 8 bits of it only
    return decoder.is_available


def read_codes(header: pydicom.Dataset) -> np.ndarray:
    """The pixels of one grey picture as they are stored, (rows, columns) of 8 or 16 bits; see `stored_values`."""
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        return pixel_array(header)
    return pixel_array(header, view_only=True, correct_unused_bits=False)  # without a copy


def stored_values(header: pydicom.Dataset, dtype: np.dtype) -> np.ndarray:
    """The stored value of each code that a pixel of this dtype may have: (256 or 65536,), by the unsigned code."""
    codes = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype.newbyteorder("="))
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        return codes
    unused = header.BitsAllocated - header.BitsStored  # drop the bits beyond those stored, as decoders do
    return codes << unused >> unused


def code_values(header: pydicom.Dataset, dtype: np.dtype) -> np.ndarray:
    """The value that each code of a pixel stands for (PS3.3 C.11.1): (256 or 65536,) int64, by the unsigned code."""
    codes = stored_values(header, dtype)
    if "ModalityLUTSequence" in header:
        codes = apply_modality_lut(codes, header)
    falling = float(header.get("RescaleSlope") or 1) < 0
    return codes.astype(np.int64) * (-1 if falling else 1)


def to_grey(codes: np.ndarray, values: np.ndarray, header: pydicom.Dataset, equalize: bool) -> np.ndarray:
    """The codes as grey: uint8 of their shape. All steps go into one table, so that the pixels are read once.

    Args:
        codes: (rows, columns), 8 or 16 bits; values: see `code_values`.
    """
    codes = np.ascontiguousarray(codes, codes.dtype.newbyteorder("=")).view(f"u{codes.itemsize}")
    counts = cv2.calcHist([codes], [0], None, [values.size], [0, values.size]).ravel()
    found = values[counts > 0]
    low, high = found.min(), found.max()
    if low == high:
        return np.zeros(codes.shape, np.uint8)
    table = ((values - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)  # codes of no pixel lie outside
    if header.PhotometricInterpretation == "MONOCHROME1":
        table = ~table
    return cv2.LUT(codes, equalize_table(table, counts) if equalize else table)


def equalize_table(table: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The table followed by `cv2.equalizeHist`, in OpenCV's own arithmetic.

    Args:
        table: (n,) uint8, the grey of each code; counts: (n,), the pixels of each code.
    """
    histogram = np.bincount(table, counts, 256)
    below = histogram.cumsum() - histogram[histogram.nonzero()[0][0]]
    scale = np.float32(255) / np.float32(below[-1])
    return np.rint(below.clip(0).astype(np.float32) * scale).astype(np.uint8)[table]


# Row --------------------------------------------------------------------------------------------------------


def metadata_row(path: str | Path, withheld: Counter | None = None) -> dict[str, str]:
    """The row of a DICOM file, {column: text} in the order of `COLUMNS`.

    Identifiers come from the file's path, `…/files/p10/p10000032/s50414267/<dicom_id>.dcm`. A value that `ALLOWED`
    does not list for its column is left blank.

    Args:
        withheld: counts the values that were left blank, by column; this call adds its own.

    Raises:
        ValueError: the path is not MIMIC-CXR's.
        UnreadableDicom: damaged, or without a size.
    """
    place = PLACE.fullmatch("/".join(Path(path).parts[-5:]))
    if not place:
        raise ValueError(f"{path} is not where MIMIC-CXR has a DICOM: files/p10/p10000032/s50414267/<dicom_id>.dcm")
    with errors_as_unreadable(path):
        header = read_elements(path, stop_before_pixels=True)
        row = {"Rows": f"{header.Rows:d}", "Columns": f"{header.Columns:d}"}
    row |= {"dicom_id": place["dicom"], "subject_id": place["subject"][1:], "study_id": place["study"][1:]}
    for column, allowed in ALLOWED.items():
        found = field_text(header, *column.split("_"))
        known = allowed.fullmatch(found)
        row[column] = known["kept"] if known else ""
        if found and not known and withheld is not None:
            withheld[column] += 1
    return {column: row[column] for column in COLUMNS}


def field_text(header: pydicom.Dataset, keyword: str, item: str | None = None) -> str:
    """A field as text; with `item`, that field of a sequence's first entry. "malformed" if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: Any = header.get(keyword) or ""
            return str(value[0].get(item) or "" if value and item else value).strip()
    except Exception:  # pydicom reads a field only when it is asked for
        return "malformed"


def pattern_of(lines: str, then: str = "") -> re.Pattern:
    """A pattern that matches exactly these lines, as group `kept`. then: a pattern that may follow."""
    words = "|".join(map(re.escape, filter(None, lines.splitlines())))
    return re.compile(f"(?P<kept>(?:{words}){then})")


# The values of mimic-cxr-2.0.0-metadata.csv.gz, as far as published code lists them: 48 descriptions and 27 codes in a
# Hub schema, 14 views counted over all 377,110 rows. BIDMC's procedures may have the endings in `then`.
PROCEDURES = pattern_of(
    """
ABD PORT LINE/TUBE PLACEMENT 1 EXAM
ABDOMEN (LAT DECUB ONLY)
ABDOMEN (SUPINE AND ERECT)
ABDOMEN (SUPINE ONLY)
AP/PA SINGLE VIEW EXPIRATORY CHEST
BABYGRAM (CHEST ONLY)
CHEST (APICAL LORDOTIC ONLY)
CHEST (BOTH OBLIQUES ONLY)
CHEST (LAT DECUB ONLY)
CHEST (PA AND LAT)
CHEST (PA, LAT AND OBLIQUES)
CHEST (PORTABLE AP)
CHEST (PRE-OP AP ONLY)
CHEST (PRE-OP PA & LAT)
CHEST (PRE-OP PA AND LAT)
CHEST (SINGLE VIEW)
CHEST PORT LINE PLACEMENT
CHEST PORT LINE/TUBE PLCT 1 EXAM
CHEST PORT. LINE PLACEMENT
CHEST PRE-OP
CHEST SGL VIEW/LINE PLACEMENT
DX CHEST & RIBS
DX CHEST 2 VIEW PICC LINE PLACEMENT
DX CHEST PORT LINE/TUBE PLCMT 1 EXAM
DX CHEST PORT LINE/TUBE PLCMT 2 EXAMS
DX CHEST PORT LINE/TUBE PLCMT 3 EXAMS
DX CHEST PORT LINE/TUBE PLCMT 4 EXAMS
DX CHEST PORT LINE/TUBE PLCMT 5 EXAMS
DX CHEST PORTABLE PICC LINE PLACEMENT
DX CHEST SGL VIEW PICC LINE PLACEMENT
DX CHEST WITH DECUB
DX TRAUMA SERIES (PORTABLE)
KNEE (AP, LAT AND TUNNEL)
NEONATE CHEST & ABD TOGETHER PORTABLE LINE/TUBE PLCT 1 EXAM
PELVIS (AP ONLY)
PORTABLE ABDOMEN
Performed Desc
Portable Chest
RIB BILAT, W/AP CHEST
RIB UNILAT, W/ AP CHEST
RIB, UNILAT (NO CXR)
TRAUMA #2 (AP CXR AND PELVIS PORT)
TRAUMA #3 (PORT CHEST ONLY)
TRAUMA No.2 (AP CXR & PELVIS PORT)
antero-posterior
lateral
postero-anterior
""",
    then=r"(?: PORT){0,2}(?: IN O\.R\.)?(?: LEFT| RIGHT)?",
)
VIEWS = """
AP
AP AXIAL
AP LLD
AP RLD
LAO
LATERAL
LL
LPO
PA
PA LLD
PA RLD
RAO
SWIMMERS
XTABLE LATERAL
"""
CODED_VIEWS = """
antero-posterior
lateral
left anterior oblique
left lateral
postero-anterior
Erect
Recumbent
"""
# What a column may hold. De-identified dates lie in 2100 to 2200 and the years after (https://doi.org/10.13026/C2JT1Q);
# any other would be a real one. Times are kept to the millisecond.
ALLOWED = {
    "PerformedProcedureStepDescription": PROCEDURES,
    "ViewPosition": pattern_of(VIEWS),
    "StudyDate": re.compile(r"(?P<kept>2[12][0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))"),
    "StudyTime": re.compile(r"(?P<kept>(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](?:\.[0-9]{1,3})?)[0-9]{0,3}"),
    "ProcedureCodeSequence_CodeMeaning": PROCEDURES,
    "ViewCodeSequence_CodeMeaning": pattern_of(CODED_VIEWS),
    "PatientOrientationCodeSequence_CodeMeaning": pattern_of("Erect\nRecumbent"),
}
