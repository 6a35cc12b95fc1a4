"""The commands and programs of docs/evaluation.md run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_runs(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8"))
    assert [language for language, _ in blocks].count("sh") >= 4
    (tmp_path / "data").symlink_to(ROOT / "data")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for language, text in blocks:
        command = ["sh", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
        environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert "Difference to runs/small" in said
    assert "paired approximate randomisation, 10,000 trials" in said
    assert "length_metric:ratio" in said
    assert {"report.html", "report.md", "report.json"} <= {path.name for path in (tmp_path / "runs/report").iterdir()}
