"Every notebook runs from top to bottom, each in a process of its own, as a reader would run it; and every exercise has a solution that solves it."
import os, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(o.relative_to(ROOT).as_posix() for o in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in o.parts)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook(notebook):
    done = subprocess.run([sys.executable, "-W", "ignore", "tests/run_notebook.py", notebook],
                          cwd=ROOT, capture_output=True, text=True, timeout=600, env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and "Success." in done.stdout, (done.stdout + done.stderr)[-6000:]
