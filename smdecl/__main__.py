"""`python -m smdecl`."""

import sys

if __name__ == "__main__":
    # `-m` puts the current directory first, before Python's own modules. The project's modules are
    # meant to run where a model is built; here a file of anyone would run, for every verb.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    from smdecl.cli.main import main

    sys.exit(main())
