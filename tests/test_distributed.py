"Two processes on one machine, which speak as two machines would: one training and one chapter, divided."
import csv, os, shutil, socket, subprocess, sys, zipfile

import pytest
import torch

pytest.importorskip("accelerate", reason="needs the extra training")

from dualflow.colorizers import Networks
from dualflow.core import Workspace, load_page, save_page
from dualflow.dataset import create_dataset
from dualflow.drawing import draw_page
from dualflow.pipeline import DualFlow
from dualflow.runs import PRESETS
from dualflow.streaming import shard_dataset

# What should be equal has to be the same in both: statistics of batch normalisation, which CPUs cannot share, are held fixed;
# the noise of scans, which each process draws for itself, is left out.
TRAIN = """
import sys, torch
import dualflow.runs as runs
import dualflow.training as training
runs.PRESETS["nano"]["bs"] = int(sys.argv[2])
train, forward, seen = training.DualFlowTrainer.train, training.DualFlowTrainer.forward, []
training.DualFlowTrainer.train = lambda self, mode=True: train(self, False)
def counted(self, L, truth=None):
    if torch.is_grad_enabled(): seen.append(len(L))
    return forward(self, L, truth)
training.DualFlowTrainer.forward = counted
loaders = runs.page_loaders
def still(*args):
    dls = loaders(*args)
    dls.train_ds.fixed = True
    return dls
runs.page_loaders = still
done = runs.train_stage("attention", sys.argv[1], "nano", epochs=2, views=32, device="cpu")
assert done["versions"] == {"attention": "001"}
print("seen", sum(seen), file=sys.stderr)
"""


def launch(processes, *command):
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    many = [{"RANK": str(i), "LOCAL_RANK": str(i), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            for i in range(processes)] if processes > 1 else [{}]  # as torchrun and accelerate set them
    started = [subprocess.Popen([sys.executable, "-W", "ignore", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **o}) for o in many]
    said = [o.communicate(timeout=600) for o in started]
    own = lambda text: "".join(o for o in text.splitlines(keepends=True) if not o.startswith("[Gloo]"))  # what some versions of PyTorch say of their connections
    return [o.returncode for o in started], [own(o[0]) for o in said], [o[1] for o in said]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for i in range(6): save_page(draw_page(i, size=(256, 320)).color, folder / f"mine/chapter_{i // 2}/p{i}.png")
    create_dataset(folder / "mine", folder / "dataset")
    return folder


def losses(folder):
    with open(folder / "training/logs/attention.csv") as f: return [float(o[k]) for o in csv.DictReader(f) for k in ("train_loss", "valid_loss")]


@pytest.mark.parametrize("streamed", [False, True])
def test_two_processes_learn_what_one_does(pages, tmp_path, streamed):
    """The same global batches give the same gradients, so losses may differ only by the order in which 32-bit numbers are added, which Muon (it makes small
    directions of a gradient as long as large ones) makes larger: 5 in 100 000 were measured, 1 in 1000 is allowed. Other validation views change the loss by 2 in 100."""
    outcomes = []
    for processes in (1, 2):
        data = tmp_path / f"{processes}/dataset"
        shutil.copytree(pages / "dataset", data)
        if streamed: shard_dataset(data, data := tmp_path / f"{processes}/shards", shard_mb=.05)
        codes, out, err = launch(processes, "-c", TRAIN, data, 2 if streamed else 8)
        assert codes == [0] * processes, err
        assert [bool(o.strip()) for o in out] == [True] + [False] * (processes - 1)  # the first alone speaks
        assert [o.split()[-2:] for o in err] == [["seen", str((8 if streamed else 64) // processes)]] * processes
        outcomes.append(losses(Workspace(data).home))
    one, two = outcomes
    assert one == pytest.approx(two, rel=1e-3) and one[0] != one[2]


def test_two_processes_share_a_chapter(pages, tmp_path):
    "Each page is coloured once, by one of them; a bad page stops neither; a CBZ is whole."
    torch.manual_seed(0)
    DualFlow(Networks(**PRESETS["nano"]["networks"]), "cpu").save_pretrained(tmp_path / "weights")
    for i in range(5): save_page(draw_page(i, size=(256, 320)).color.convert("L"), tmp_path / f"mine/p{i}.png")
    (tmp_path / "mine/p2.png").write_bytes(b"\x89PNG torn")
    with zipfile.ZipFile(tmp_path / "book.cbz", "w") as z:
        for o in sorted((tmp_path / "mine").iterdir()): z.write(o, o.name)
    colorize = "import sys; from dualflow.cli import colorize; sys.exit(colorize())"
    for input, output in ((tmp_path / "mine", tmp_path / "out"), (tmp_path / "book.cbz", tmp_path / "out.cbz")):
        codes, out, err = launch(2, "-c", colorize, "--input", input, "--output", output, "--weights", tmp_path / "weights")
        assert codes == [1, 1], err
        assert "4 of 5 pages written" in out[0] and "1 failed" in out[0] and "written" not in out[1] and "p2.png" in err[0] + err[1]
        assert [sorted(i for i in range(5) if f"p{i}: 2" in o) for o in out] == [[0, 4], [1, 3]]  # the rows that say a page of 256 x 320 is done
    assert sorted(o.name for o in (tmp_path / "out").iterdir()) == ["p0.png", "p1.png", "p3.png", "p4.png"]
    with zipfile.ZipFile(tmp_path / "out.cbz") as z:
        assert z.namelist() == [f"p{i}.png" for i in range(5)] and load_page(z.read("p3.png")).size == (256, 320) and z.read("p2.png") == b"\x89PNG torn"
    with zipfile.ZipFile(tmp_path / "bad.cbz", "w") as z: z.writestr("p1.png", b"no page")  # nothing to write: both say so, neither waits for the other
    codes, out, err = launch(2, "-c", colorize, "--input", tmp_path / "bad.cbz", "--output", tmp_path / "none.cbz", "--weights", tmp_path / "weights")
    assert codes == [1, 1] and "no page could be coloured" in err[0] and "Traceback" not in err[0] + err[1] and not (tmp_path / "none.cbz").exists()


def test_without_the_extra(pages):
    "Several processes need accelerate, and say so before anything is trained."
    code = "import sys; sys.modules['accelerate'] = None; from dualflow import cli; sys.exit(cli.train_attention(sys.argv[1:]))"
    codes, _, said = launch(2, "-c", code, "--dataset_dir", pages / "dataset", "--preset", "nano")
    assert codes == [1, 1] and all(o.splitlines()[-1] == "error: several processes need accelerate; install it with: pip install 'dualflow[training]'" for o in said), said
