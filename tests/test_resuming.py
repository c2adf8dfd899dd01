"A run that was killed, wherever it was, and resumed: the same curve and the same weights as if it had not been."
import csv, json, multiprocessing, os, shutil, signal, sys

import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file

from dualflow import runs
from dualflow.colorizers import COLOURING, Networks
from dualflow.versions import Versions
from dualflow.core import DualflowError, save_page
from dualflow.dataset import create_dataset
from dualflow.drawing import draw_page

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")


def kill(*args): os.kill(os.getpid(), signal.SIGKILL)


class KillAt(Callback):
    def __init__(self, step): self.step = step
    def after_step(self):
        if self.train_iter == self.step: kill()


def train(folder, where, resume=False, tensorboard=False):
    "All networks learn, with all their noise, three epochs of two steps; runs in a process of its own."
    torch.set_num_threads(1)
    if where == "saving":  # the second checkpoint, after the log was written
        save, saved = torch.save, []
        torch.save = lambda *args: saved.append(args) or (kill() if len(saved) == 2 else save(*args))
    elif where == "done": runs.Versions.save = kill
    elif where is not None:
        learner = runs.stage_learner
        def watched(*args):
            learn = learner(*args)
            learn.add_cb(KillAt(where))
            return learn
        runs.stage_learner = watched
    sys.stdout = open(folder / "said.txt", "w")
    runs.train_stage("joint", folder / "dataset", "nano", epochs=3, views=16, device="cpu", resume=resume, tensorboard=tensorboard)


def run(*args, **options) -> int: # Exit code
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["dualflow.runs"])  # imported once
    process = processes.Process(target=train, args=args, kwargs=options)
    process.start(); process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for i in range(4): save_page(draw_page(i, size=(256, 320)).color, folder / f"mine/chapter_{i // 2}/p{i}.png")
    create_dataset(folder / "mine", folder / "dataset")
    torch.manual_seed(0)
    Versions(folder / "models").save(Networks(**runs.PRESETS["nano"]["networks"]), COLOURING, {"started": "before"})
    return folder


def outcome(folder):
    with open(folder / "training/logs/joint.csv") as f: rows = [{k: v for k, v in o.items() if k != "time"} for o in csv.DictReader(f)]
    assert Versions(folder / "models").names("primary") == ["001", "002"]
    assert json.loads((folder / "training/metrics/joint.json").read_text())["valid_loss"] == float(rows[-1]["valid_loss"]) != float(rows[0]["valid_loss"])
    return rows, {k: v for o in COLOURING for k, v in load_file(folder / f"models/{o}/002/{o}.safetensors").items()}


@pytest.fixture(scope="module")
def uncut(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uncut")
    shutil.copytree(dataset, folder, dirs_exist_ok=True)
    assert run(folder, None, tensorboard=True) == 0
    return folder


@pytest.mark.parametrize("where", [3, "saving", "done"])
def test_killed_and_resumed(dataset, uncut, tmp_path, where):
    "In the middle of the second epoch, while saving it, and when all is done but the version not yet made."
    shutil.copytree(dataset, tmp_path, dirs_exist_ok=True)
    assert run(tmp_path, where) == -signal.SIGKILL
    assert Versions(tmp_path / "models").names("primary") == ["001"]
    if where != "done":
        with pytest.raises(DualflowError, match="joint.pt: a run that was cut off after 1 of 3 epochs; go on with --resume"): runs.refuse_to_lose(["attention", "joint"], tmp_path / "dataset")
        assert run(tmp_path, None) == 1  # it begins anew over nobody's hours
    assert run(tmp_path, None, resume=True) == 0 and "done already" in (tmp_path / "said.txt").read_text()
    (rows, weights), (wanted, others) = outcome(tmp_path), outcome(uncut)
    assert len(rows) == 3 and rows == wanted
    runs.refuse_to_lose(["joint"], tmp_path / "dataset")  # what is done may be trained again
    assert all(torch.equal(v, weights[k]) for k, v in others.items())


def test_curves_and_the_best(uncut):
    "TensorBoard's curves have a point a step; the best checkpoint is that of the lowest validation loss, and can be loaded."
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs the extra training")
    folder, = [o for o in (uncut / "training/logs").iterdir() if o.is_dir()]
    curves = accumulator.EventAccumulator(str(folder)).Reload()
    assert {o.step for o in curves.Scalars("train_loss")} == set(range(1, 7)) and "lr_0" in curves.Tags()["scalars"]
    rows, weights = outcome(uncut)
    assert [o.value for o in curves.Scalars("valid_loss")] == pytest.approx([float(o["valid_loss"]) for o in rows])
    state = torch.load(uncut / "models/checkpoints/joint.pt", weights_only=True)
    assert state["best"] == min(float(o["valid_loss"]) for o in rows) and state["epoch"] == 3
    best = Networks.load(uncut / "models/checkpoints/joint_best").state_dict()
    assert (float(rows[-1]["valid_loss"]) == state["best"]) == all(torch.equal(best[k].half(), v.half()) for k, v in weights.items())


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "fastai.callback.tensorboard", raising=False)
    with pytest.raises(DualflowError, match=r"dualflow\[training\]"): runs.curves(tmp_path)
