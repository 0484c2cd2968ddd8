"""Errors that the user can mend: one line that says what is wrong and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(ValueError):
    """A request that cannot be served as it stands; the message is one line and says what to do.

    The command line prints the message alone.  A traceback of one of these tells the reader
    nothing that the message does not.
    """


class WorkerError(RuntimeError):
    """A rollout worker failed; the message ends with the worker's own traceback where there is one."""


def exit_code_of(program: Callable[[], int]) -> int:
    """Run a program; of an error that the user can mend, print the message alone to standard error.

    Returns
    -------
    int
        What the program returns, or else 2 for a request that cannot be served, 1 for a failed rollout
        worker, 130 after Ctrl-C.
    """
    try:
        return program()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "fastfisher":
            raise
        print(f"error: {error.name} is not installed: pip install 'fastfisher[train]'", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
