"""Whether a DICOM file says itself that it is no frontal chest radiograph.

A model for frontal chest radiographs gives a number for any picture. So a file whose header names another kind of
picture is refused. What the header leaves out is no reason to refuse. An error shows a value only if it has the form of
a code (one word of at most 16 characters), so that no text that somebody typed gets into it.
"""

import re
from pathlib import Path

import pydicom

from chestxray.dicom.dicom_files import UnreadableDicom, refuse_without_decoder

MOST_PIXELS = 1 << 26  # 8192 × 8192, four times the largest detector's; a decoder needs several bytes for each
CODE = re.compile(r"FOR PROCESSING|[A-Z0-9_]{1,16}")  # of PS3.5, section 6.2, CS, those of one word
# {keyword: the values that say so}. Modality: PS3.3 C.7.3.1.1.1. Views: PS3.3 C.8.1.1.1 and those of MIMIC-CXR.
SAYS_NO = {
    "Modality": re.compile(r"(?!(CR|DX|DR)$).+"),
    "BodyPartExamined": re.compile(r"(?!(CHEST|THORAX|LUNGS?)(?!.*ABD)).+"),
    "ViewPosition": re.compile(r".*LAT.*|LL|RL|[LR][AP]O|[LR]LO|SWIMMERS"),
    "PresentationIntentType": re.compile(r"FOR PROCESSING"),  # values of the detector, not of a picture
    "BurnedInAnnotation": re.compile(r"YES"),  # text in the pixels, which may be a name
}
OTHER_VIEW = re.compile(r"lateral|oblique", re.IGNORECASE)  # in the meaning of a code, PS3.16 CID 4010


class NoFrontalChest(UnreadableDicom):
    """By its header the file is no frontal chest radiograph. The message names the tag."""


def refuse_other_pictures(header: pydicom.Dataset, path: str | Path) -> None:
    """Raise NoFrontalChest, with the tag that says so, for a file that may be read with `force` all the same."""
    for keyword, says_no in SAYS_NO.items():
        value = str(header.get(keyword) or "").strip().upper()
        if says_no.fullmatch(value):
            raise NoFrontalChest(f"{path} is no frontal chest radiograph by its header: {keyword} is {code(value)}")
    views = header.get("ViewCodeSequence") or [pydicom.Dataset()]
    if found := OTHER_VIEW.search(str(views[0].get("CodeMeaning") or "")):
        raise NoFrontalChest(
            f"{path} is no frontal chest radiograph by its header: ViewCodeSequence is {found[0].lower()}"
        )


def code(value: str) -> str:
    """The value of a tag as an error may show it."""
    return value if CODE.fullmatch(value) else "another one"


def refuse_undrawable(header: pydicom.Dataset, path: str | Path) -> None:
    """Raise UnreadableDicom, with the tag, unless the file holds one grey picture that can be decoded here."""
    if "PixelData" not in header:
        raise UnreadableDicom(f"{path} has no PixelData: it is cut off, or no picture")
    frames, samples = int(header.get("NumberOfFrames") or 1), header.SamplesPerPixel
    if frames != 1:
        raise UnreadableDicom(f"{path} has several frames, a radiograph has one: NumberOfFrames is {frames}")
    if samples != 1 or header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        kind = code(str(header.PhotometricInterpretation))
        raise UnreadableDicom(f"{path} is in colour, a radiograph is grey: PhotometricInterpretation is {kind}")
    if header.BitsAllocated not in (8, 16):
        raise UnreadableDicom(f"{path} has pixels of neither 8 nor 16 bits: BitsAllocated is {header.BitsAllocated}")
    if header.Rows * header.Columns > MOST_PIXELS:
        size = f"{header.Rows} × {header.Columns}"
        raise UnreadableDicom(f"{path} has more than {MOST_PIXELS:,} pixels: Rows × Columns is {size}")
    refuse_without_decoder(header, path)
