"""A DICOM file as pixels, by the standard."""
