"""A step from rows that are never in memory together: blocks of a file, read twice.

The second pass measures the residual from the rows, as for a batch in memory.

python examples/streaming.py [ROWS]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fastfisher as ff

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
PARAMETERS, BLOCK = 200, 10_000


class Recorded:
    """Scores and advantages of a file; each iter() is a fresh pass, a block at a time."""

    def __init__(self, path: Path) -> None:
        self._rows = np.load(path, mmap_mode="r")

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        for start in range(0, len(self._rows), BLOCK):
            rows = np.array(self._rows[start : start + BLOCK])
            yield rows[:, :-1], rows[:, -1]


def record(path: Path) -> None:
    """Write rows of scores, with the advantage in the last column."""
    rng = np.random.default_rng(0)
    shape = (ROWS, PARAMETERS + 1)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, ROWS, BLOCK):
        block = rows[start : start + BLOCK]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
        block[:, -1] += block[:, 0]  # the first parameter is worth something
    rows.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        record(path)
        megabytes, block = path.stat().st_size / 1e6, 4e-6 * BLOCK * (PARAMETERS + 1)
        print(f"{megabytes:.0f} MB in {path.name}, {block:.0f} MB a block")
        rows = Recorded(path)
        result = ff.natural_step(rows, max_kl=0.01)
        print(result)
        assert result.residual < 1e-10
        assert int(np.argmax(np.abs(result.step))) == 0

        # The same matrix on its own, such as for other gradients.
        F = ff.Fisher(PARAMETERS)
        F.update(scores for scores, _ in rows)
        x = F.solve(result.gradient, damping=result.damping)
        difference = np.abs(x - result.direction).max()
        print(f"F of {F.count:,} rows; its solve is {difference:.0e} from the direction")
        del rows


if __name__ == "__main__":
    main()
