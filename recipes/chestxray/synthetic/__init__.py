"""The phantom archives: drawn radiographs in the layouts of the real datasets."""
