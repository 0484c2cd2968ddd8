"""Errors that the user can mend: one line that says what is wrong and what to do about it."""

from __future__ import annotations


class UserError(ValueError):
    """A request that cannot be served as it stands; the message is one line and says what to do.

    The command line prints the message alone.  A traceback of one of these tells the reader
    nothing that the message does not.
    """


class WorkerError(RuntimeError):
    """A rollout worker failed; the message ends with the worker's own traceback where there is one."""
