"""One MIMIC-CXR DICOM file as the grey picture and the table row that MIMIC-CXR-JPG has of it.

The picture is made as MIMIC-CXR-JPG's authors made theirs (A. Johnson in
https://github.com/MIT-LCP/mimic-cxr/issues/16, and the description of 2.0.0, https://doi.org/10.13026/8360-t248):
stored values min–max to 8 bits, MONOCHROME1 inverted, OpenCV's `equalizeHist`, no VOI LUT or window; bit for bit the
same. What they pass over is kept as the standard says: a negative rescale slope inverts, a modality LUT is applied
(PS3.3 C.11.1). A positive slope changes nothing under min–max.

Of the header nothing is copied: a value reaches the table only if it is on a list below, whoever wrote it. Names
burned into the pixels are not looked for, nor are flipped bits in them, which PhysioNet's SHA256SUMS.txt would show.
"""

import re
import warnings
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, get_decoder, pixel_array

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
    """A damaged file, or one that is no single grey picture. The message names the file and quotes nothing of it."""


# Picture ----------------------------------------------------------------------------------------------------


def to_image(path, equalize=True):
    """The picture of a DICOM file, (rows, columns) uint8, bone white.

    Args:
        equalize: as in MIMIC-CXR-JPG; False leaves intensities comparable with NIH's. A picture of one value is black.

    Raises:
        UnreadableDicom: damaged, colour, several frames, not of 8 or 16 bits, or compressed in a way that no decoder
            here knows.
        OSError: the disk's own errors.
    """
    with one_error(path):
        header = read(path)
        refuse_unless_grey(header, path)
        compressed = header.file_meta.TransferSyntaxUID.is_encapsulated
        uncopied = {} if compressed else {"view_only": True, "correct_unused_bits": False}
        codes = pixel_array(header, **uncopied)
        return grey(codes, meanings(header, codes.dtype, compressed), header, equalize)


def to_jpeg(path, equalize=True, quality=95):
    """The bytes of `to_image` as a JPEG: nothing but the picture, no EXIF, no comment. quality: 1 to 100."""
    return cv2.imencode(".jpg", to_image(path, equalize), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def read(path, **how):
    """A file's elements; a damaged tag or type, which would only hide its element, is known by order and name."""
    header = pydicom.dcmread(path, **how)
    tags = list(header.keys())
    if tags != sorted(tags):  # PS3.5, section 7.1: each has a higher tag than the one before it
        raise UnreadableDicom(f"{path} has elements out of order. Download it again.")
    known = (None,) if header.file_meta.TransferSyntaxUID.is_implicit_VR else TYPES
    if any(header.get_item(tag).VR not in known for tag in tags):
        raise UnreadableDicom(f"{path} has an element of no known type. Download it again.")
    return header


@contextmanager
def one_error(path):
    """Whatever pydicom and its decoders raise, as one error; their own words and warnings quote the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnreadableDicom:
        raise
    except Exception as error:
        if getattr(error, "errno", None):  # the disk's; Pillow's OSErrors about damaged data have no number
            raise
        raise UnreadableDicom(f"{path} is damaged or no DICOM file. Download it again.") from error


def refuse_unless_grey(header, path):
    if "PixelData" not in header:
        raise UnreadableDicom(f"{path} is cut off, or has no pixels. Download it again.")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise UnreadableDicom(f"{path} has several frames, a radiograph has one. Take it out of the folder.")
    if header.SamplesPerPixel != 1 or header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableDicom(f"{path} is in colour, a radiograph is grey. Take it out of the folder.")
    if header.BitsAllocated not in (8, 16):
        raise UnreadableDicom(f"{path} has pixels of neither 8 nor 16 bits. Take it out of the folder.")
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    if not decoder.is_available:
        raise UnreadableDicom(
            f"{path} is compressed as {decoder.UID.name}, for which no decoder is installed: "
            "https://pydicom.github.io/pydicom/stable/guides/plugin_table.html"
        )


def meanings(header, dtype, compressed):
    """The value that each code of a pixel stands for, integers, by the code read as unsigned (PS3.3 C.11.1)."""
    codes = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype.newbyteorder("="))
    if not compressed:  # bits beyond those stored are no part of a value; decoders know that
        unused = header.BitsAllocated - header.BitsStored
        codes = codes << unused >> unused
    if "ModalityLUTSequence" in header:
        codes = apply_modality_lut(codes, header)
    falling = float(header.get("RescaleSlope") or 1) < 0
    return codes.astype(np.int64) * (-1 if falling else 1)


def grey(codes, meanings, header, equalize):
    """The codes as 8-bit grey; every step goes into one table, and the pixels pass through it once."""
    codes = np.ascontiguousarray(codes, codes.dtype.newbyteorder("=")).view(f"u{codes.itemsize}")
    counts = cv2.calcHist([codes], [0], None, [meanings.size], [0, meanings.size]).ravel()
    found = meanings[counts > 0]
    low, high = found.min(), found.max()
    if low == high:
        return np.zeros(codes.shape, np.uint8)
    table = ((meanings - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)  # codes of no pixel lie outside
    if header.PhotometricInterpretation == "MONOCHROME1":
        table = ~table
    return cv2.LUT(codes, equalized(table, counts) if equalize else table)


def equalized(table, counts):
    """The table with `cv2.equalizeHist` behind it, in OpenCV's own arithmetic; counts: pixels per entry."""
    histogram = np.bincount(table, counts, 256)
    below = histogram.cumsum() - histogram[histogram.nonzero()[0][0]]
    scale = np.float32(255) / np.float32(below[-1])
    return np.rint(below.clip(0).astype(np.float32) * scale).astype(np.uint8)[table]


# Row --------------------------------------------------------------------------------------------------------


def metadata(path, withheld=None):
    """The row of a DICOM file as {column: text}, the columns and their order those of `COLUMNS`.

    Identifiers come from the file's path, `…/files/p10/p10000032/s50414267/<dicom_id>.dcm`. A value that is not on
    `ALLOWED`'s list for its column is left blank.

    Args:
        withheld: a Counter of the columns whose value was left blank, to be added to.

    Raises:
        ValueError: the path is not MIMIC-CXR's.
        UnreadableDicom: damaged, or without a size.
    """
    place = PLACE.fullmatch("/".join(Path(path).parts[-5:]))
    if not place:
        raise ValueError(f"{path} is not where MIMIC-CXR has a DICOM: files/p10/p10000032/s50414267/<dicom_id>.dcm")
    with one_error(path):
        header = read(path, stop_before_pixels=True)
        row = {"Rows": f"{header.Rows:d}", "Columns": f"{header.Columns:d}"}
    row |= {"dicom_id": place["dicom"], "subject_id": place["subject"][1:], "study_id": place["study"][1:]}
    for column, allowed in ALLOWED.items():
        found = text(header, *column.split("_"))
        known = allowed.fullmatch(found)
        row[column] = known["kept"] if known else ""
        if found and not known and withheld is not None:
            withheld[column] += 1
    return {column: row[column] for column in COLUMNS}


def text(header, keyword, item=None):
    """A field, or the item of a sequence's first entry, as text; "malformed" where it is something else altogether."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = header.get(keyword) or ""
            return str(value[0].get(item) or "" if value and item else value).strip()
    except Exception:  # pydicom reads a field only when it is asked for
        return "malformed"


def one_of(lines, then=""):
    """A pattern of exactly these lines, the one found as group `kept`; then: what may follow."""
    words = "|".join(map(re.escape, filter(None, lines.splitlines())))
    return re.compile(f"(?P<kept>(?:{words}){then})")


# The values of mimic-cxr-2.0.0-metadata.csv.gz, as far as published code lists them
# (the 48 descriptions and 27 codes in a Hub schema, the 14 views counted over all 377,110 rows); BIDMC's procedures are
# written with these endings.
PROCEDURES = one_of(
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
    "ViewPosition": one_of(VIEWS),
    "StudyDate": re.compile(r"(?P<kept>2[12][0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))"),
    "StudyTime": re.compile(r"(?P<kept>(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](?:\.[0-9]{1,3})?)[0-9]{0,3}"),
    "ProcedureCodeSequence_CodeMeaning": PROCEDURES,
    "ViewCodeSequence_CodeMeaning": one_of(CODED_VIEWS),
    "PatientOrientationCodeSequence_CodeMeaning": one_of("Erect\nRecumbent"),
}
