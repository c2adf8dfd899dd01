"Weights from a stranger, and to strangers: by way of a folder that stands for the Hub."
import json, shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

import dualflow.pipeline
from dualflow.colorizers import Networks
from dualflow.core import DualflowError
from dualflow.pipeline import DualFlow, find_weights

SMALL = dict(attention=dict(dim=32, depth=1, heads=2, widths=(8, 16)), gate=dict(width=8), primary=dict(widths=(8, 16), token_dim=32), secondary=dict(widths=(8, 16)))


@pytest.fixture(scope="module")
def flow(): return DualFlow(Networks(**SMALL), "cpu")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    "What is published lands in a folder, and is downloaded from there, file by file as asked."
    store = tmp_path / "hub"
    class Repo:
        def __init__(self, repo_id): self.repo_id = repo_id
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **options: Repo(repo_id))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, repo_id, folder_path, **options: str(shutil.copytree(folder_path, store / repo_id)))
    def download(repo_id, revision=None, allow_patterns=()):
        wanted = [o for o in (store / repo_id / (revision or "")).iterdir() if any(o.match(p) for p in allow_patterns)]
        shutil.rmtree(tmp_path / "cache", ignore_errors=True); (tmp_path / "cache").mkdir()
        for o in wanted: shutil.copy(o, tmp_path / "cache")
        return str(tmp_path / "cache")
    monkeypatch.setattr(dualflow.pipeline, "snapshot_download", download)
    return store


def test_published_and_fetched_again(flow, hub):
    assert flow.push_to_hub("someone/colorizer") == str(hub / "someone/colorizer")
    files = {o.name for o in (hub / "someone/colorizer").iterdir()}
    assert files == {"README.md", "config.json", "attention.safetensors", "primary.safetensors", "secondary.safetensors", "palette.safetensors"}
    card = (hub / "someone/colorizer/README.md").read_text()
    assert card.startswith("---\n") and "library_name: dualflow" in card and "image-to-image" in card and "{{" not in card
    config = json.loads((hub / "someone/colorizer/config.json").read_text())
    assert config["attention"]["dim"] == 32 and set(config) == {"attention", "gate", "primary", "secondary", "palette"}
    again = DualFlow.from_pretrained("someone/colorizer", "cpu").nets.state_dict()
    assert all(torch.equal(v.half(), again[k].half()) for k, v in flow.nets.state_dict().items())  # they travel in half precision
    assert (hub.parent / "cache/config.json").is_file()  # by which downloads are counted
    with pytest.raises(DualflowError, match="someone/colorizer: cannot be downloaded"): DualFlow.from_pretrained("someone/colorizer", "cpu", revision="v9")
    assert not Networks.load(hub / "someone/colorizer").training  # they are read to be used
    with pytest.raises(DualflowError, match="weights without versions"): DualFlow.from_pretrained(hub / "someone/colorizer", "cpu", attention="001")


def test_a_refusal_of_the_hub_is_told(flow, monkeypatch):
    def refuse(self, *args, **options): raise PermissionError("403")
    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(DualflowError, match="someone/colorizer: cannot be published .*403.*hf auth login"): flow.push_to_hub("someone/colorizer")


class Trap:
    def __reduce__(self): return open, (Trap.mark, "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "attention.pt", "model.ckpt"])
def test_a_pickle_is_never_opened(tmp_path, hub, name):
    "It would leave a mark; in a folder as on the Hub, alone or named as weights."
    Trap.mark = str(tmp_path / "opened")
    folder = hub / "stranger/model"; folder.mkdir(parents=True)
    torch.save(Trap(), folder / name)
    for source in (folder, "stranger/model"):
        with pytest.raises(DualflowError, match="no dualflow weights here .* pickle"): DualFlow.from_pretrained(source)
    shutil.copy(folder / name, folder / "attention.safetensors")
    for source in (folder, "stranger/model"):
        with pytest.raises(DualflowError, match="attention.safetensors: not dualflow weights, or damaged"): DualFlow.from_pretrained(source)
    assert not Path(Trap.mark).exists()
    torch.load(folder / name, weights_only=False).close()
    assert Path(Trap.mark).exists()  # the trap works


@pytest.mark.parametrize("spoil", [lambda o: o.pop(next(iter(o))), lambda o: o.update(stray=torch.zeros(1)),
                                   lambda o: o.update({k: v[:1] for k, v in o.items() if v.ndim == 4 and len(v) > 1}), lambda o: o.clear()])
@pytest.mark.parametrize("stage", ["attention", "primary", "secondary"])
def test_weights_that_do_not_fit_are_an_error(flow, tmp_path, stage, spoil):
    flow.save_pretrained(tmp_path)
    tensors = load_file(file := tmp_path / f"{stage}.safetensors")
    spoil(tensors)
    save_file(tensors, file, {"config": json.dumps({k: SMALL[k] for k in (["gate", "primary"] if stage == "primary" else [stage])})})
    with pytest.raises(DualflowError, match=f"{stage}.safetensors: weights do not fit the network"): DualFlow.from_pretrained(tmp_path)


def test_names_that_are_nothing():
    for name in ("no-such-folder", "./a/b", "./a", "/nowhere", "/nowhere/at/all"):
        with pytest.raises(DualflowError, match="no such folder, nor a Hugging Face repository id"): find_weights(name)
