"""The benchmark that kills a run at random moments, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "kill_resume.py"


def test_three_kills_end_with_equal_bits(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--steps", "9000", "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 of 3 resumed runs end with the bits of the run left alone" in result.stdout
    kills = json.loads(out.read_text())["kills"]
    assert [kill["index"] for kill in kills] == [0, 1, 2]
