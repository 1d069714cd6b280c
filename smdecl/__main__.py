"""`python -m smdecl`."""

import sys

from smdecl.cli import main

if __name__ == "__main__":
    sys.exit(main())
