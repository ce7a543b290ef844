"""`python -m batchwright` is the command; torchrun starts it so."""

import sys

from batchwright.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
