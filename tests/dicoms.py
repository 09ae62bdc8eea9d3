"""Small DICOM files in MIMIC-CXR's tree, and ways to damage them."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)

FIRST = "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"


def pixels(bits=12, signed=False, seed=0):
    """40 × 32 stored values that fill no more than the middle of their range, most of them in a few levels."""
    noise = np.random.default_rng(seed).normal(0.5, 0.08, (40, 32)).clip(0.1, 0.9)
    values = noise * 2**bits - (2 ** (bits - 1) if signed else 0)
    return values.astype(np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"))


def radiograph(values, bits=12, photometric="MONOCHROME2", **fields):
    """A DICOM data set of these stored values; fields: more elements, by keyword."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, photometric
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * values.itemsize, bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.PixelData = values.tobytes()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def save(source, made, place=FIRST, syntax=ExplicitVRLittleEndian):
    """Write a data set into MIMIC-CXR's tree in a transfer syntax; returns the file."""
    path = source / f"{place}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax.is_encapsulated:
        made.compress(syntax)
    elif syntax == ExplicitVRBigEndian:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, made, enforce_file_format=True, little_endian=None, implicit_vr=None)
    return path


def coded(meaning):
    """A sequence of one code, with its meaning alone."""
    item = Dataset()
    item.CodeMeaning = meaning
    return Sequence([item])


def cut_off(path):
    """Remove the end of a file."""
    path.write_bytes(path.read_bytes()[:-100])


def broken_compression(path):
    """Put zeros for most of a file's compressed pixels."""
    made = pydicom.dcmread(path)
    made.compress(JPEG2000Lossless)
    made.PixelData = made.PixelData[:200] + bytes(len(made.PixelData) - 200)
    pydicom.dcmwrite(path, made)
