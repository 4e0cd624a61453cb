"""`python -m fftag`."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109
    del sys.path[0]  # what lies in the working folder is nobody's to import

from fftag.cli import main

main()
