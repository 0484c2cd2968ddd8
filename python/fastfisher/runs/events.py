"""TensorBoard events: a file of records, which tensorboardX defines and this module writes.

tensorboardX's own writers hand each event to a thread, over a queue that needs shared memory, and block for
ever once that thread has died, of a full disk for instance.  A record is small, so it is written at once.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_GROUPS = {
    "return": "return", "evaluation": "evaluation",
    "kl": "step", "improvement": "step",
    "seconds": "time", "steps": "time",
}  # fmt: skip


def _tag(name: str) -> str:
    """Group TensorBoard's charts: returns, the natural step, time, and the rest."""
    return f"{_GROUPS.get(name.split('_')[0], 'train')}/{name}"


class Events:
    """TensorBoard events, one an iteration with all its scalars; where they fail, the run goes on without.

    The run stands at ``iteration`` and ``steps``; TensorBoard hides what a killed run wrote beyond.
    """

    lost = ""
    """Why there are no more events; empty while there are."""

    def __init__(self, path: Path, iteration: int, steps: int) -> None:
        # The names of a folder's files sort by time; the rest keeps those of one second apart.
        marks = f"{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}.{iteration}"
        self._path = path / f"events.out.tfevents.{marks}"
        self._write(file_version="brain.Event:2")
        if iteration:
            self._write(steps + 1, session_log={"status": "START"})

    def append(self, row: Mapping[str, Any]) -> None:
        """Write the finite numbers of a row of ``progress.csv``."""
        scalars = [
            {"tag": _tag(name), "simple_value": value}
            for name, value in row.items()
            if name != "steps" and isinstance(value, (int, float)) and math.isfinite(value)
        ]
        self._write(row["steps"], summary={"value": scalars})

    def _write(self, step: int = 0, **content: Any) -> None:
        """Append an event as a record: length, checksum, content, checksum."""
        if self.lost:
            return
        try:
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.record_writer import masked_crc32c

            event = Event(wall_time=time.time(), step=step, **content).SerializeToString()
            length = struct.pack("<Q", len(event))
            marks = (struct.pack("<I", masked_crc32c(part)) for part in (length, event))
            with self._path.open("ab") as file:
                file.write(length + next(marks) + event + next(marks))
        except Exception as error:  # packages, disks and names fail in ways of their own
            self.lost = " ".join(str(error).split()) or type(error).__name__
