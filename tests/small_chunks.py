"""predict.py with chunks of a few files, so that a few files are several chunks: small_chunks.py SCRIPT FLAGS …"""

import runpy
import sys

from chestxray.predicting import file_chunks

SIZE = 4

if __name__ == "__main__":
    file_chunks.CHUNK = SIZE
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
