"""A DICOM file as the grey picture that a viewer shows, by the standard.

The steps are those of PS3.4, N.2, in this order: the modality's values (rescale or table, PS3.3 C.11.1), the values of
interest (window or table, C.11.2), and last the inversion for MONOCHROME1 or for a PresentationLUTShape of INVERSE
(C.11.6; the standard asks for both together, so they invert once).

pydicom decodes. The arithmetic is here, because pydicom 3.0 gives wrong greys in two cases: `apply_windowing` turns
the range round after a negative slope, and `apply_voi` counts a table of 8 bits with more than 256 entries modulo 256.
"""

from pathlib import Path

import cv2
import numpy as np
import pydicom

from chestxray.dicom.chest_header import refuse_other_pictures, refuse_undrawable
from chestxray.dicom.dicom_files import errors_as_unreadable, read_codes, read_elements, stored_values

VOI = ("table", "window")


def read_display(path: str | Path, voi: str = "table", force: bool = False) -> np.ndarray:
    """The picture of a frontal chest radiograph, (rows, columns) uint8, 0 black.

    Without a window or table of values of interest, the whole range of the stored bits becomes 0 to 255. So 8 bits stay
    as they are.

    Args:
        voi: which of the two is taken if a file has both, one of VOI. The first of several counts.
        force: read a file too whose header says that it is another kind of picture; see `chest_header.SAYS_NO`.

    Raises:
        NoFrontalChest: the header says so, and `force` is False.
        UnreadableDicom: damaged, without pixels, in colour, with several frames, not of 8 or 16 bits, of more than
            `chest_header.MOST_PIXELS`, or compressed in a way for which no decoder is installed.
        OSError: an error of the disk.
    """
    with errors_as_unreadable(path):
        header = read_elements(path)
        refuse_undrawable(header, path)
        if not force:
            refuse_other_pictures(header, path)
        codes = read_codes(header)
        greys = grey_of(stored_values(header, codes.dtype).astype(np.int64), header, voi)
        codes = np.ascontiguousarray(codes, codes.dtype.newbyteorder("=")).view(f"u{codes.itemsize}")
        return cv2.LUT(codes, greys)  # all steps in one table, so that each pixel is read once


def grey_of(stored: np.ndarray, header: pydicom.Dataset, voi: str) -> np.ndarray:
    """The grey of each stored value, uint8 of the same shape."""
    values, limits = modality_values(stored, header)
    shares = display_shares(values, limits, header, voi).clip(0, 1)
    if header.PhotometricInterpretation == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE":
        shares = 1 - shares
    return np.rint(shares * 255).astype(np.uint8)


def modality_values(stored: np.ndarray, header: pydicom.Dataset) -> tuple[np.ndarray, tuple[float, float]]:
    """The modality's value of each stored value, and the lowest and highest one that the stored bits can give."""
    if header.get("ModalityLUTSequence"):
        first, entries, depth = read_table(header.ModalityLUTSequence[0], header)
        return look_up(stored, first, entries), (0, (1 << depth) - 1)
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    lowest = -(1 << header.BitsStored - 1) if header.PixelRepresentation else 0
    one, other = (end * slope + intercept for end in (lowest, lowest + (1 << header.BitsStored) - 1))
    return stored * slope + intercept, (min(one, other), max(one, other))


def display_shares(values: np.ndarray, limits: tuple[float, float], header: pydicom.Dataset, voi: str) -> np.ndarray:
    """How bright each of the modality's values is before the inversion: 0 black, 1 white, beyond them as well."""
    window = first_window(header)
    if header.get("VOILUTSequence") and (voi == "table" or not window):
        first, entries, depth = read_table(header.VOILUTSequence[0], header)
        return look_up(values, first, entries) / ((1 << depth) - 1)
    if window:
        return window_shares(values, *window, str(header.get("VOILUTFunction") or "LINEAR").upper())
    low, high = limits
    return (values - low) / (high - low)


def first_window(header: pydicom.Dataset) -> tuple[float, float] | None:
    """(centre, width) of the first window; None if there is none, or if it has no width."""
    found = [header.get(keyword) for keyword in ("WindowCenter", "WindowWidth")]
    if any(value is None or value == "" for value in found):
        return None
    centre, width = (float(np.atleast_1d(np.asarray(value, float))[0]) for value in found)
    return (centre, width) if width > 0 else None


def window_shares(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """The window's functions, PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2.

    Raises ValueError for a function that the standard does not have.
    """
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-6)  # a width of 1 is a step
    elif function != "LINEAR_EXACT":
        raise ValueError("VOILUTFunction is not of the standard")
    return (values - centre) / width + 0.5


def read_table(item: pydicom.Dataset, header: pydicom.Dataset) -> tuple[int, np.ndarray, int]:
    """A table of a sequence (PS3.3 C.11.1.1): (value of its first entry, entries, bits of an entry)."""
    count, first, depth = (int(number) for number in item.LUTDescriptor)
    count = count & 0xFFFF or 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")
    return first, np.atleast_1d(np.asarray(data)).astype(np.int64)[:count], depth


def look_up(values: np.ndarray, first: int, entries: np.ndarray) -> np.ndarray:
    """The entry of each value; the first or last entry for values beyond the table."""
    return entries[np.rint(values - first).clip(0, len(entries) - 1).astype(np.int64)]
