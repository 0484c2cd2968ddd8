"""``fastfisher export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..training.errors import UserError

EXPORTED = "policy.npz"


@dataclass(frozen=True)
class Export:
    """Write a run's policy to one file that acts with NumPy alone (fastfisher.exported.NumpyPolicy)."""

    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder."""

    out: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint=f"(default: {EXPORTED} in the run folder)")
    ] = None
    """File to write."""

    def run(self, _: Sequence[str]) -> int:
        """Write the file and print its name."""
        from ..runs.folder import RunFolder

        out = self.out or self.run_folder / EXPORTED
        with RunFolder.open(self.run_folder).load_trained() as agent:
            from ..runs.export import export_policy

            try:
                export_policy(agent, out)
            except OSError as error:
                raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error
        print(out)
        return 0
