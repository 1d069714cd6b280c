"""`python -m smdecl`."""

import sys

if __name__ == "__main__":
    # `-m` puts the current directory first, before Python's own modules. A module
    # in that directory, whoever wrote it, would then run in this process, for every verb.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    from smdecl.cli.main import main

    sys.exit(main())
