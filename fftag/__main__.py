"""`python -m fftag`."""

from fftag.cli import main

main()
