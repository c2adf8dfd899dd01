"The documentation site: built of every notebook, without Quarto, without a warning."
import json, os, subprocess, sys
from pathlib import Path

import pytest
import yaml
from nbdev.doclinks import nbglob

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(Path(o).relative_to(ROOT / "nbs").as_posix() for o in nbglob(ROOT / "nbs"))


def test_quarto_lists_every_notebook():
    sidebar = yaml.safe_load((ROOT / "nbs/sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    assert sorted(sidebar) == NOTEBOOKS, "run: nbdev-sidebar"  # names, while no notebook lies in a folder


def test_site(tmp_path):
    for name in ("sphinx", "myst_nb", "furo"): pytest.importorskip(name, reason="needs the extra docs")
    done = subprocess.run([sys.executable, "-W", "ignore", ".ci/docs.py", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    for notebook in NOTEBOOKS:
        cells = json.loads((ROOT / "nbs" / notebook).read_text(encoding="utf-8"))["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        assert any(f"<title>{title}" in o.read_text(encoding="utf-8") for o in tmp_path.glob("*.html")), notebook
    assert 'id="pipeline-colorize-image"' in (tmp_path / "pipeline.html").read_text(encoding="utf-8")
