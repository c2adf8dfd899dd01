"The documentation site: built of every notebook, without Quarto, without a warning."
import json, os, re, subprocess, sys
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
    pages = {o.name: o.read_text(encoding="utf-8") for o in tmp_path.glob("*.html")}
    for notebook in NOTEBOOKS:
        cells = json.loads((ROOT / "nbs" / notebook).read_text(encoding="utf-8"))["cells"]
        title, said = ("".join(cell["source"]) for cell in cells[:2])  # apart, as nbdev drops what else the title's cell holds
        page = next((o for o in pages.values() if f"<title>{title.splitlines()[0].removeprefix('# ')}" in o), None)
        assert page, notebook
        assert notebook == "index.ipynb" or " ".join(said.split()[:4]) in page, notebook
    assert 'id="pipeline-colorize-image"' in pages["pipeline.html"]
    assert not [k for k, o in pages.items() if re.search(r"\]\(\w+\.ipynb\)", o)], "a link within a link"
    assert pages["runs.html"].index('id="train-stage"') < pages["runs.html"].index('id="finish-stage"')  # as in the module
    assert "fit_one_cycle(epochs" in re.sub("<.*?>", "", pages["runs.html"]), "the source of train_stage"
