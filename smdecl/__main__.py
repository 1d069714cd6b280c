"""`python -m smdecl`."""

import sys

if __name__ == "__main__":
    # `-m` puts the current directory first, before Python's own modules. What is there is the project's, and runs where
    # a model is built; here it would run for every verb, whoever has put it there.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    from smdecl.cli.main import main

    sys.exit(main())
