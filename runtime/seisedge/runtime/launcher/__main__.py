"""`python -m seisedge.runtime.launcher`: the same as `python3 flash.pyz`."""

import sys

from seisedge.runtime.launcher.command import main

if __name__ == "__main__":
    sys.exit(main())
