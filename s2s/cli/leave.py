"""The end of the process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from s2s.cli.app import main


def program() -> NoReturn:
    """`main` as a program of its own: torch is not taken down at its end, which takes half a second.

    All else is done that Python does at an exit. Where another thread is alive, or a stream does not take what is left,
    Python does all of it.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    if "torch" not in sys.modules or threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code)
