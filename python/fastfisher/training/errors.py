"""Errors that the user can mend: one line that says what is wrong and what to do about it."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
import traceback
from collections.abc import Callable, Iterator


class UserError(ValueError):
    """A request that cannot be served as it stands; the message is one line and says what to do.

    The command line prints the message alone.  A traceback of one of these tells the reader
    nothing that the message does not.
    """

    def __init__(self, message: str) -> None:
        # What a message quotes, a space with its bounds for instance, may have lines of its own.
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class WorkerError(RuntimeError):
    """A rollout worker failed; the message ends with the worker's own traceback where there is one."""


@contextlib.contextmanager
def exits_told() -> Iterator[None]:
    """Turn ``sys.exit`` in an environment or a policy, which would end the program in silence, into an error.

    Where a signal's handler exits, that is meant for the program, and goes on.
    """
    try:
        yield
    except SystemExit as error:
        calls = list(traceback.walk_tb(error.__traceback__))
        handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()}
        if any(frame.f_code in handlers for frame, _ in calls):
            raise
        # The last call may be that of the interpreter's own exit().
        code, line = [
            (frame.f_code, line) for frame, line in calls if "_sitebuiltins" not in frame.f_code.co_filename
        ][-1]
        raise UserError(
            f"{code.co_name} in {code.co_filename}, line {line}, asked to end the program "
            f"(sys.exit({error.code!r})): an episode ends by terminated or truncated, and what is wrong is "
            "an exception"
        ) from error


def show_stacks_at_crashes() -> None:
    """Have a process of the command line that crashes, in a simulator say, write to standard error where."""
    # Standard error may be closed, or no file.
    with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
        faulthandler.enable()


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
        print(f"error: {error}", file=sys.stderr)
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
