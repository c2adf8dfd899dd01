"Every notebook runs from top to bottom, each in a process of its own, as a reader would run it; and every exercise has a solution that solves it."
import multiprocessing, os, runpy, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(o.relative_to(ROOT).as_posix() for o in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in o.parts)


def run(notebook, log):
    with open(log, "w") as f: os.dup2(f.fileno(), 1); os.dup2(f.fileno(), 2)
    os.chdir(ROOT); os.environ["MPLBACKEND"] = "agg"
    sys.path[0], sys.argv = str(ROOT), ["run_notebook", notebook]
    runpy.run_path("tests/run_notebook.py")


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook(notebook, tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["nbdev.test", "dualflow.runs", "dualflow.evaluation", "dualflow.explore"])  # imported once
    process = processes.Process(target=run, args=(notebook, tmp_path / "log"))
    process.start(); process.join(600)
    alive, said = process.is_alive(), (tmp_path / "log").read_text()
    if alive: process.kill()
    assert not alive and process.exitcode == 0 and "Success." in said, said[-6000:]
