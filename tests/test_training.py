"From a folder of pages to weights and back: every command in turn, and training that really learns and really resumes."
import json, os, re, shutil, sys, warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback

from commands import command
from dualflow import cli, runs, views
from dualflow.attention import AttentionOutput, colour_detail
from dualflow.core import DualflowError, Workspace, load_page, save_page
from dualflow.dataset import DatasetLoader, create_dataset
from dualflow.drawing import draw_page
from dualflow.printing import STYLES
from dualflow.colorizers import COLOURING, GUESSED, InkGate, Networks
from dualflow.pipeline import DualFlow
from dualflow.runs import PRESETS, Keep, train_stage
from dualflow.streaming import shard_dataset
from dualflow.optimizer import Muon, muon_step
from dualflow.routing import both_flows
from dualflow.training import GATE_RATE, TRAINS, DualFlowTrainer, SeedEpochs, colour_loss, stage_learner, true_places
from dualflow.versions import Versions, digest, load_networks
from dualflow.views import PageViews, page_loaders

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for i in range(6): save_page(draw_page(i, size=(320, 448)).color, folder / f"mine/chapter_{i // 2}/p{i}.png")
    create_dataset(folder / "mine", folder / "work/dataset")
    return folder / "work/dataset"


def test_the_whole_workflow(tmp_path):
    "create, validate, train, look, evaluate, colour: as the README tells it."
    for i in range(4): save_page(draw_page(i, size=(320, 448)).color, tmp_path / f"mine/ch{i // 2}/p{i}.png")
    (tmp_path / "mine/ch0/torn.jpg").write_bytes(b"\xff\xd8\xff")
    data = tmp_path / "work/dataset"
    done = command("create_dataset", "--source_dir", tmp_path / "mine", "--target_dir", data)
    assert done.returncode == 1 and done.stderr.count("left out") == 1 and "torn.jpg" in done.stderr + (data / "dataset_info.json").read_text() and "4 pages in 2 chapters" in done.stdout
    assert command("validate_dataset", "--dataset_dir", data).returncode == 0
    done = command("train", "--dataset_dir", data, "--preset", "nano", "--epochs", 1, "--views", 8)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "work/training/metrics/evaluation.json").read_text())
    assert {o["pages"] for o in rows} == {2} and len(rows) == 3 and "| psnr |" in done.stdout                                                 # one chapter of two is held out
    assert load_page(tmp_path / "work/training/visualization/evaluation.jpg").height == 2 * 480 + 8 and "evaluation.jpg" in done.stdout
    for stage in ("attention", "primary", "secondary"): assert (tmp_path / f"work/models/{stage}/002/{stage}.safetensors").stat().st_size > 10_000
    assert sorted(o.stem for o in (tmp_path / "work/training/logs").glob("*.csv")) == sorted(TRAINS)
    weights = "--weights", tmp_path / "work/models"
    assert command("generate_attention", "--dataset_dir", data, *weights).returncode == 0
    regions = DatasetLoader(data)[0].record.attention_regions
    assert regions and set(regions[0]) == {"x", "y", "w", "h", "importance"}
    assert command("validate_dataset", "--dataset_dir", data).returncode == 0
    done = command("evaluate", "--dataset_dir", data, *weights, "--pages", 1, "--styles", "gray", "--vivid", 0, "--save", tmp_path / "table.json", "--pictures", tmp_path / "sheet.png")
    row = json.loads((tmp_path / "table.json").read_text())[0]
    assert done.returncode == 0 and "| psnr |" in done.stdout and row["pages"] == 1 and row["colourfulness"] < .02       # without chroma
    assert load_page(tmp_path / "sheet.png").size[1] == 480
    for wrong in (("--save", "table.xls"), ("--pictures", "sheet.doc")):                                 # said before anything is coloured
        done = command("evaluate", "--dataset_dir", tmp_path / "nowhere", *wrong)
        assert done.returncode == 1 and wrong[1] in done.stderr and "nowhere" not in done.stderr, done.stderr
    done = command("colorize", "--input", data / "source/bw", "--output", tmp_path / "out", *weights)
    assert done.returncode == 0 and len(list((tmp_path / "out").rglob("*.png"))) == 4
    (data / "source/bw" / DatasetLoader(data)[0].record.bw).unlink()
    done = command("validate_dataset", "--dataset_dir", data, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)[0]["problem"].startswith("bw: ")


def test_a_page_that_cannot_be_read_costs_no_other(tmp_path):
    "From a folder of pages to a table in one command, though a page, and the record of another, are damaged in between."
    for i in range(6): save_page(draw_page(i, size=(320, 448)).color, tmp_path / f"mine/ch{i // 2}/p{i}.png")
    data = tmp_path / "work/dataset"
    options = "--source_dir", tmp_path / "mine", "--dataset_dir", data, "--preset", "nano", "--epochs", 1, "--views", 8
    done = command("train", *options)
    assert done.returncode == 0 and "6 pages in 3 chapters" in done.stdout and "| psnr |" in done.stdout, done.stderr
    away = DatasetLoader(data, "valid").records
    torn, other = next(o for o in DatasetLoader(data, "train").records), away[0]
    (data / "source/color" / torn.color).write_bytes(b"no"); (data / "source/bw" / torn.bw).write_bytes(b"no"); (data / f"metadata/{other.name}.json").write_text("{")
    with pytest.warns(UserWarning) as told: views = page_loaders(data, views=8, size=128, bs=2, device="cpu").train.dataset; views.fill(); made = [views[i] for i in range(8)]
    assert len(made) == 8 and {torn.color, f"{other.name}.json"} <= {name for o in told for name in (torn.color, f"{other.name}.json") if name in str(o.message)}
    done = command("generate_attention", "--dataset_dir", data)
    assert done.returncode == 1 and torn.bw in done.stderr and "Traceback" not in done.stderr
    assert {o.stem for o in (data / "attention_maps/patches/background").iterdir()} == {o.name for o in DatasetLoader(data).records} - {torn.name}
    done = command("evaluate", "--dataset_dir", data, "--styles", "gray", "--pictures", tmp_path / "sheet.png")
    assert done.returncode == 1 and torn.color in done.stderr and load_page(tmp_path / "sheet.png").height == 4 * 488 - 8
    assert sum(int(o) for o in next(o for o in done.stdout.splitlines() if o.startswith("| pages |")).split("|")[2:-1]) == 2 * 4  # each page in its group, and in all


@pytest.mark.parametrize("stage", TRAINS)
def test_every_stage_learns(dataset, stage):
    "On one batch, again and again, the loss must fall, though colorizers are kept from learning hues by heart; and only the networks of the stage may change."
    torch.manual_seed(0)
    L, truth = page_loaders(dataset, views=2, size=256, bs=2, device="cpu").valid.one_batch()
    trainer = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), TRAINS[stage]).train()
    before = {k: v.clone() for k, v in trainer.nets.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in trainer.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(25):
        loss = trainer.loss(trainer(L), truth)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < .85 * sum(losses[:5]), losses
    changed = {k.split(".")[0] for k, v in trainer.nets.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == set(TRAINS[stage])


def test_the_gate_learns_from_its_printer_and_from_colours_only_where_there_is_none(dataset):
    "What the colorizers have yet to learn must not toss it about."
    torch.manual_seed(0)
    L, truth = page_loaders(dataset, views=4, size=256, bs=4, device="cpu").valid.one_batch()
    trainer = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), TRAINS["joint"]).train()
    def pull(loss, truth):
        trainer.zero_grad()
        trainer.loss_parts(trainer(L, truth), truth)[loss].backward()
        return sum(p.grad.abs().sum() for p in trainer.nets.gate.parameters() if p.grad is not None)
    scanned = truth.clone(); scanned[:, 3] = -1
    for loss in ("primary", "secondary"): assert pull(loss, truth) == 0 < pull(loss, scanned)
    assert pull("gate", scanned) == 0 < pull("gate", truth)


def test_the_gate_learns_in_full_precision():
    "Some CPUs get the gradient of its dilated layer half wrong in bfloat16, and now and then infinite."
    torch.manual_seed(0)
    gate, L = InkGate().to(memory_format=torch.channels_last), 100 * torch.rand(2, 1, 128, 128)
    def pulls(half):
        gate.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half): gate.logits(L).square().mean().backward()
        return [p.grad.clone() for p in gate.parameters()]
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5 * a.abs().max().item()) for a, b in zip(pulls(False), pulls(True)))


def test_known_places_reach_the_secondary_while_training(dataset, monkeypatch):
    "Shown some of the truth, the secondary is given it at points, in training only; its answer there and its gradients follow."
    from dualflow import training
    L, truth = page_loaders(dataset, views=4, size=256, bs=4, device="cpu").valid.one_batch()
    trainer, seen = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), TRAINS["secondary"], drop_known=1.).train(), []
    torch.nn.init.normal_(trainer.nets.secondary.unet.head.weight, std=.02)                                 # a head that begins at zero passes no gradient on
    trainer.nets.secondary.register_forward_hook(lambda m, args, out: seen.append(args[3]))
    monkeypatch.setattr(training, "true_places", lambda *args, often=1.: true_places(*args, often=often))
    torch.manual_seed(1)
    out = trainer(L, truth)
    trainer.loss(out, truth).backward()
    trainer(L)
    known, mask = seen[0][:, :3], seen[0][:, 3] > 0
    lab, passes = (torch.nn.functional.avg_pool2d(o, 8) for o in (truth[:, :3], out["passes"]))
    assert 0 < mask.float().mean() < .8 and not seen[1].any()
    for shown, true, where in zip(known, lab, mask):                                                       # the true colours, all of a view turned by one angle
        if not where.any(): continue
        shown, true = (torch.complex(o[1][where], o[2][where]) for o in (shown, true))
        turn = (shown * true.conj()).sum()
        assert torch.allclose(shown, true * turn / turn.abs(), atol=1e-3)
    assert torch.allclose((known[:, :1] * passes)[:, 0][mask], lab[:, 0][mask].minimum(100 * passes[:, 0][mask]), atol=.1)
    assert trainer.nets.secondary.unet.stem[0].weight.grad[:, -1].abs().sum() > 0


def test_a_learner_shows_the_truth_in_training_alone(dataset):
    calls = []
    learn = stage_learner(page_loaders(dataset, views=4, size=256, bs=4, device="cpu"), Networks(**PRESETS["nano"]["networks"]), "secondary")
    learn.model.register_forward_pre_hook(lambda m, args: calls.append((m.training, len(args))))
    with learn.no_bar(): learn.fit(1)
    assert set(calls) == {(True, 2), (False, 1)}


def test_the_gate_learns_faster_than_its_neighbours(dataset):
    learn = stage_learner(page_loaders(dataset, views=4, size=256, bs=4, device="cpu"), nets := Networks(**PRESETS["nano"]["networks"]), "joint", lr=1e-3)
    learn.create_opt()
    gate, others = (set(map(id, o)) for o in learn.opt.param_lists)
    assert gate == set(map(id, nets.gate.parameters())) and others == {id(p) for o in (nets.primary, nets.secondary) for p in o.parameters()}
    assert [o["lr"] for o in learn.opt.hypers] == [GATE_RATE * 1e-3, 1e-3]


def test_resume_keeps_a_finished_run_and_refuses_what_does_not_fit(dataset, capsys):
    space = Workspace(dataset)
    train_stage("attention", dataset, "nano", epochs=2, views=8)
    models = Versions(space.models)
    whole, names = models.load(models.choose(["attention"])).attention.state_dict(), models.names("attention")
    # A finished run is left as it is; going on after a cut between epochs is tried in 07a_runs.
    state = torch.load(space.checkpoints / "attention.pt", weights_only=True)
    assert state["epoch"] == 2
    train_stage("attention", dataset, "nano", epochs=2, views=8, resume=True)
    assert "2 done already" in capsys.readouterr().out
    again = models.load(models.choose(["attention"])).attention.state_dict()
    assert all(torch.equal(v, again[k]) for k, v in whole.items()) and models.names("attention") == names
    # Killed after its last epoch but before its version was made, it makes the version now.
    shutil.rmtree(space.models / "attention" / names[-1])
    assert train_stage("attention", dataset, "nano", epochs=2, views=8, resume=True)["versions"] == {"attention": names[-1]} and models.names("attention") == names
    with pytest.raises(DualflowError, match="belongs to a run of epochs 2, not 3"): train_stage("attention", dataset, "nano", epochs=3, views=8, resume=True)
    (space.checkpoints / "attention.pt").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(DualflowError, match="damaged"): train_stage("attention", dataset, "nano", epochs=2, views=8, resume=True)


def test_networks_can_be_compiled_and_multiply_in_half_precision():
    "Each in one graph, and with bfloat16 nearly what float32 gives."
    torch.manual_seed(0)
    nets, L = Networks(**PRESETS["nano"]["networks"]).eval(), torch.rand(1, 1, 128, 128) * 100
    with torch.no_grad():
        seen, gate = nets.attention(L), nets.gate(L)
        plan, known = torch.nn.functional.interpolate(seen.plan, scale_factor=8), torch.zeros(1, 4, 16, 16)
        for net, inputs in ((nets.attention, (L,)), (nets.gate, (L,)), (nets.primary, (L, gate, plan, seen.tokens)), (nets.secondary, (L, gate, seen.plan, known))):
            exact, compiled = net(*inputs), torch.compile(net, fullgraph=True, backend="eager")(*inputs)
            with torch.autocast("cpu", torch.bfloat16): half = net(*inputs)
            for a, b, c in zip(*(o if isinstance(o, tuple) else (o,) for o in (exact, compiled, half))):
                assert torch.allclose(a, b, atol=1e-4) and (a - c.float()).abs().mean() < .02 * a.abs().mean().clamp(min=1), type(net).__name__


def test_processes_that_a_server_forks_find_all_imported(dataset, monkeypatch):
    "As on Linux since Python 3.14; else each would import PyTorch anew, every epoch."
    said = []
    monkeypatch.setattr(views, "get_start_method", lambda: "forkserver"); monkeypatch.setattr(views, "set_forkserver_preload", said.extend)
    for workers in (0, 2): page_loaders(dataset, views=4, size=256, bs=4, workers=workers, device="cpu")
    assert said == ["dualflow.views"]


def test_a_version_with_a_name_of_its_own_does_not_hide_newer_ones(tmp_path):
    nets, models = Networks(**PRESETS["nano"]["networks"]), Versions(tmp_path)
    models.save(nets, ["attention"], {"started": "a"})
    (tmp_path / "attention/001").rename(tmp_path / "attention/favourite"); (tmp_path / "attention/latest.txt").write_text("favourite\n")
    for encoding in ("utf-8-sig", "utf-16"):  # as Windows's Notepad and PowerShell may
        (tmp_path / "attention/latest.txt").write_text("favourite\r\n", encoding=encoding)
        assert models.choose(["attention"]) == {"attention": "favourite"}
    assert models.save(nets, ["attention"], {"started": "b"}) == {"attention": "001"} and models.choose(["attention"]) == {"attention": "001"}


def test_versions(tmp_path):
    "A stage trained again alone makes a version of its own, against chosen ones; what does not fit is refused, what was not trained together is said."
    for i in range(2): save_page(draw_page(i, size=(256, 320)).color, tmp_path / f"mine/c{i}/p.png")
    create_dataset(tmp_path / "mine", tmp_path / "dataset")
    models = Versions(tmp_path / "models")
    train = lambda stage, preset="nano", **options: train_stage(stage, tmp_path / "dataset", preset, epochs=1, views=8, device="cpu", **options)
    for stage in ("attention", "primary", "attention", "primary"): train(stage)
    done = command("train_colorization", "--mode", "secondary", "--dataset_dir", tmp_path / "dataset", "--preset", "nano", "--epochs", 1, "--views", 8, "--attention", "001", "--primary", "001")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "models/secondary/001/version.json").read_text())
    assert record["trained_with"] == {"attention": "001", "primary": "001"} and models.record("primary", "002")["trained_with"] == {"attention": "002"}
    assert record["dataset"]["pages"] == 2 and record["packages"]["torch"] and record["metrics"]["valid_loss"] > 0 and record["config"]["secondary"]["widths"] == [32, 64, 96]
    assert {k: record[k] for k in ("preset", "seed", "epochs", "views", "version")} == dict(preset="nano", seed=0, epochs=1, views=8, version="001")
    assert str(tmp_path) not in json.dumps(record)
    with pytest.warns(UserWarning, match="secondary 001 was trained with primary 001, not with 002"): DualFlow.from_pretrained(tmp_path / "models", "cpu", attention="002")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DualFlow.from_pretrained(tmp_path / "models", "cpu", attention="001", primary="001")
    joint = train("joint", attention="001", primary="001")["versions"]
    assert joint == {"attention": "003", "primary": "003", "secondary": "002"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow = DualFlow.from_pretrained(tmp_path / "models", "cpu")
    whole = Networks.load({o: tmp_path / "models" / o / v for o, v in joint.items()}).state_dict()
    assert all(torch.equal(v, whole[k]) for k, v in flow.nets.state_dict().items() if not k.startswith("palette."))  # which has not been trained
    (tmp_path / "models/attention/latest.txt").write_text("002\n")  # as a person may, with any editor
    assert models.choose()["attention"] == "002"

    models.save(Networks(attention=dict(dim=64, depth=1, heads=4)), ["attention"], {"started": "later"})
    for clash in (lambda: DualFlow.from_pretrained(tmp_path / "models", "cpu", attention="004"), lambda: train("secondary", attention="004", primary="003")):
        with pytest.raises(DualflowError, match=r"primary.003.* 96 .*attention.004.* 64"), warnings.catch_warnings(action="ignore"): clash()
    with pytest.raises(DualflowError, match="primary of preset 'nano' reads 96 numbers a place, attention 004 gives 64"): train("primary")
    with pytest.raises(DualflowError, match="no version '009', only 001, 002, 003, 004"): train("primary", attention="009")
    with pytest.raises(DualflowError, match="no version of secondary can be chosen here, only of attention"): train("primary", secondary="001")


def test_a_retraining_that_was_cut_off_leaves_a_flow_that_fits(tmp_path):
    "Until all stages are there, the newest that were trained together are used; but who chooses, or trains the primary alone, gets it."
    models, chosen = Versions(tmp_path), []
    def save(nets, *stages, **record): models.save(nets, stages, {"started": f"{len(list(tmp_path.glob('*/*')))}", **record})
    old, new = (Networks(**PRESETS["nano"]["networks"]) for _ in range(2))
    def taken(**versions):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            nets = load_networks(tmp_path, **versions)
        return ["new" if digest(nets, (o,)) == digest(new, (o,)) else "old" for o in COLOURING], [str(o.message) for o in said]
    save(old, "attention"); save(old, "primary", trained_with={"attention": "001"}); save(old, "secondary", trained_with={"attention": "001", "primary": "001"})
    save(new, "attention")
    assert taken() == (["old"] * 3, [f"{tmp_path}: the latest versions were not all trained with attention 002; instead, attention 001, primary 001, secondary 001 are used, the newest that were trained together"])
    assert taken(attention="002")[0] == ["new", "old", "old"] and len(taken(attention="002")[1]) == 2
    save(new, "primary", trained_with={"attention": "002"})
    assert taken()[0] == ["old"] * 3
    save(new, "secondary", trained_with={"attention": "002", "primary": "002"})
    assert taken() == (["new"] * 3, [])
    (tmp_path / "primary/latest.txt").write_text("001")
    assert taken()[0] == ["old"] * 3  # no newer than a person says
    save(old, "primary", trained_with={"attention": "002"})
    assert taken()[0] == ["new", "old", "new"] and "secondary 002 was trained with primary 002, not with 003" in taken()[1][0]


def test_in_a_log_file_training_is_a_line_an_epoch(dataset, tmp_path, capsys, monkeypatch):
    shutil.copytree(dataset, data := tmp_path / "dataset")
    train_stage("attention", data, "nano", epochs=2, views=8, device="cpu")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and all(re.fullmatch(rf"epoch {i} of 2: train_loss [\d.]+, valid_loss [\d.]+, time \d\d:\d\d", o) for i, o in enumerate(said[1:], 1)), said
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert hasattr(stage_learner(page_loaders(data, 8, 64, 4), Networks(**PRESETS["nano"]["networks"]), "attention"), "progress")


def test_training_begins_with_given_weights(dataset, tmp_path):
    "Their size, their values and their name are kept; the workspace's own versions are left alone."
    given = Networks(attention=dict(dim=48, depth=1, heads=4, widths=(8, 16)), gate=dict(width=8), primary=dict(widths=(8, 16), token_dim=48), secondary=dict(widths=(8, 16)))
    given.save(tmp_path / "weights")
    shutil.copytree(dataset, data := tmp_path / "work/dataset")
    models, was = Versions(tmp_path / "work/models"), {k: v.clone() for k, v in given.state_dict().items()}
    for stage, names in (("attention", ["attention"]), ("joint", ["attention", "primary", "secondary"])):
        done = train_stage(stage, data, "nano", epochs=1, views=8, device="cpu", start=tmp_path / "weights")
        assert sorted(done["versions"]) == names and done["start"] == digest(given)
        now = {k: v for k, v in models.load(done["versions"]).state_dict().items() if k.split(".")[0] in names}
        assert now.keys() <= was.keys() and any("attention.blocks.0" in k for k in now)
        far = [((v - was[k]).norm() / was[k].norm()).item() for k, v in now.items() if v.ndim > 1 and was[k].any()]
        assert 0 < min(far) and max(far) < .9, far  # other weights are at right angles, 1.4 away
    assert done["versions"]["attention"] == "002" and models.record("attention", "002")["started_from"] == dict.fromkeys(COLOURING, f"of {digest(given)}") and str(tmp_path) not in json.dumps(models.record("attention", "002"))
    chosen = train_stage("primary", data, "nano", epochs=1, views=8, device="cpu", start=tmp_path / "weights", attention="001")
    assert models.record("primary", chosen["versions"]["primary"])["trained_with"] == {"attention": "001"}              # a version that is named comes before the given weights
    for o in ("primary", "secondary", "palette"): (tmp_path / f"weights/{o}.safetensors").unlink()
    done = train_stage("attention", data, "nano", epochs=1, views=8, device="cpu", start=tmp_path / "weights")         # the attention stage alone will do
    assert done["start"] == digest(given, ["attention"]) and models.load(done["versions"]).attention.config["dim"] == 48
    (tmp_path / "weights/attention.safetensors").unlink()
    with pytest.raises(DualflowError, match="weights: no weights to begin with"): train_stage("attention", data, "nano", start=tmp_path / "weights")
    done = command("train_attention", "--dataset_dir", data, "--start", tmp_path / "nowhere")
    assert done.returncode == 1 and "nowhere: no such folder" in done.stderr and "Traceback" not in done.stderr


def test_tune_goes_on_from_the_embedded_weights(dataset, tmp_path):
    "Attention, then all together, a little way; what it cannot do it says."
    from dualflow.pipeline import EMBEDDED
    shutil.copytree(dataset, data := tmp_path / "work/dataset")
    with pytest.raises(DualflowError, match="'tune' takes trained weights on"): train_stage("attention", data, "tune")
    with pytest.raises(DualflowError, match="'tune' does not train the primary stage, only attention, joint, palette"): train_stage("primary", data, "tune", start=EMBEDDED)
    assert not (tmp_path / "work/models").exists()
    done = command("train", "--dataset_dir", data, "--preset", "tune", "--epochs", 1, "--views", 4)
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"(gray|lineart|screentone) (-?[\d.]+ and -?[\d.]+)", done.stdout.split("before and after:")[1]))
    assert list(said) == list(STYLES) and all(abs(float(a) - float(b)) < 1 for a, b in (o.split(" and ") for o in said.values()))
    models, was = Versions(tmp_path / "work/models"), Networks.load(EMBEDDED)
    assert models.choose() == {"attention": "002", "primary": "001", "secondary": "001", "palette": "001"} and models.record("primary", "001")["start"] == digest(was)
    now = models.load(models.choose()).state_dict()
    for part in ("attention", "gate", "primary", "secondary"):
        far = [((now[k] - v).norm() / v.norm()).item() for k, v in was.state_dict().items() if k.startswith(part) and v.ndim > 1 and v.any()]
        assert 0 < max(far) < .1, (part, max(far))


def test_what_a_stage_begins_with_is_known(dataset, tmp_path):
    "A stage alone begins with the given weights, says which versions it leaves aside, and remembers what stood in for them; chosen ones it takes."
    from dualflow.pipeline import EMBEDDED
    shutil.copytree(dataset, data := tmp_path / "work/dataset")
    models, tune = Versions(tmp_path / "work/models"), ("--dataset_dir", data, "--preset", "tune", "--epochs", 1, "--views", 4)
    assert command("train_attention", *tune).returncode == 0
    done = command("train_colorization", "--mode", "joint", *tune, "--attention", "001")
    about = models.record("attention", "002")
    assert done.returncode == 0 and "begins with" not in done.stdout and about["started_from"] == {"attention": "001", "primary": f"of {about['start']}", "secondary": f"of {about['start']}"}
    done = command("train_colorization", "--mode", "palette", *tune)
    assert "palette: begins with the given attention, not with this workspace's 002, which dualflow-train-colorization --attention 002 takes" in done.stdout
    with pytest.warns(UserWarning, match=f"palette 001 was trained with attention of {about['start']}, not with 002: train palette again$"): models.load(models.choose(["attention", "palette"]))
    done = command("train_colorization", "--mode", "palette", *tune, "--resume")
    assert done.returncode == 0 and "1 done already" in done.stdout and models.choose(["palette"]) == {"palette": "001"}
    made = train_stage("palette", data, "tune", epochs=1, views=4, device="cpu", start=tmp_path / "work/models")["versions"]
    assert models.record("palette", made["palette"])["trained_with"] == {"attention": "002"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load(models.choose(["attention", "palette"]))


def test_a_run_goes_on_with_the_pages_it_began_with(dataset, tmp_path):
    "Pages that come between make it another run; so does a checkpoint of another stage."
    shutil.copytree(dataset, data := tmp_path / "work/dataset")
    train = lambda stage="attention", **options: train_stage(stage, data, "nano", epochs=1, views=8, device="cpu", **options)
    train()
    save_page(draw_page(9, size=(320, 448)).color, tmp_path / "more/chapter_9/p.png")
    create_dataset(tmp_path / "more", data)
    with pytest.raises(DualflowError, match=r"belongs to a run of pages 6 \(\w{8}\), not 7 \(\w{8}\); use the same settings"): train(resume=True)
    folder = tmp_path / "work/models/checkpoints"
    state = torch.load(folder / "attention.pt", weights_only=True)
    del state["settings"]["pages"]  # as checkpoints were before
    torch.save(state, folder / "attention.pt")
    assert train(resume=True)["versions"] == {"attention": "001"}
    shutil.copy(folder / "attention.pt", folder / "secondary.pt")
    with pytest.raises(DualflowError, match="secondary.pt: a checkpoint of the attention stage"): Keep(Workspace(data), "secondary").read()


@pytest.mark.parametrize("raised, said", [("Exception occured in `Keep` when calling event `after_epoch`:\n\tpages: gone", "pages: gone"),
                                          ("Caught DualflowError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File \"x\"\ndualflow.core.DualflowError: pages: gone\n", "pages: gone"),
                                          ("Caught OSError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File \"x\"\nOSError: pages: gone", "pages: gone"), ("a.png: bad (DualflowError: inner)", "a.png: bad (DualflowError: inner)")])
def test_what_frameworks_put_before_an_error_is_left_out(raised, said, capsys):
    @cli.command()
    def fails(): raise DualflowError(raised)
    assert fails([]) == 1 and capsys.readouterr().err == f"error: {said}\n"


def test_colorizers_learn_no_hues_by_heart(dataset):
    "On one grey page of one red, attention learns the red; a colorizer that sees no plan of it learns none, though it may learn to copy one."
    from dualflow.augmentation import turn_hue
    torch.manual_seed(0)
    L = torch.full((4, 1, 256, 256), 60.) + 10 * torch.rand(4, 1, 256, 256)
    truth = torch.cat([L, torch.full_like(L, 50.), torch.full_like(L, 30.), torch.zeros_like(L), L], 1)
    trainer = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), TRAINS["secondary"]).train()
    for o in (trainer.nets.attention.plan.weight, trainer.nets.attention.plan.bias): torch.nn.init.zeros_(o)           # a plan without chroma
    optimizer = torch.optim.Adam(trainer.nets.secondary.parameters(), 3e-3)
    for _ in range(30):
        loss = trainer.loss(trainer(L), truth)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    with torch.no_grad(): made = trainer.eval()(L)["secondary"][:, 1:]
    assert made.norm(dim=1).mean() < 15, made.mean((0, 2, 3))                                                          # the red has a chroma of 58
    colour, angle = truth[:2, :3, ::8, ::8], torch.tensor([1., -2.]).view(2, 1, 1, 1)
    turned = turn_hue(colour, angle)
    assert torch.equal(turned[:, :1], colour[:, :1]) and torch.allclose(turned[:, 1:].norm(dim=1), colour[:, 1:].norm(dim=1))
    assert torch.allclose(torch.atan2(turned[:, 2], turned[:, 1]) - torch.atan2(colour[:, 2], colour[:, 1]), angle[:, 0].expand(2, 32, 32), atol=1e-4)


def test_nothing_to_begin_with_is_said(dataset, tmp_path):
    "An empty `models/` is no start, rather than noise in the guise of one."
    (tmp_path / "models/attention").mkdir(parents=True)
    with pytest.raises(DualflowError, match="no weights to begin with"): train_stage("attention", dataset, "tune", epochs=1, views=4, start=tmp_path / "models")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_no_file_can_hold_are_not_saved(tmp_path, value):
    "Not a number, or too large for half precision: no version is made of them."
    nets = Networks(**PRESETS["nano"]["networks"])
    nets.attention.plan.bias.data[0] = value
    with pytest.raises(DualflowError, match="attention: not saved, for attention.plan.bias is not finite"): Versions(tmp_path).save(nets, ["attention"], {"started": "a"})
    assert not Versions(tmp_path).names("attention") and not [o for o in tmp_path.rglob("*") if o.is_file()]
    with pytest.raises(DualflowError): nets.save(tmp_path, ("secondary", "attention"))
    assert not list(tmp_path.glob("*.safetensors"))  # no half of a joint stage either


def test_damaged_records_of_versions(tmp_path):
    "Said in a line; where nothing says which is the latest, it is the newest."
    nets, models = Networks(**PRESETS["nano"]["networks"]), Versions(tmp_path)
    for o in "ab": models.save(nets, ["attention"], {"started": o})
    (tmp_path / "attention/latest.txt").unlink()
    assert models.choose(["attention"]) == {"attention": "002"} == models.choose(["attention"], attention=None, primary=None)
    (tmp_path / "attention/latest.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DualflowError, match="only 001, 002"): models.choose(["attention"])
    (tmp_path / "attention/001/version.json").write_text("[]")
    with pytest.raises(DualflowError, match="001.version.json: no record"): models.load({"attention": "001"}, **PRESETS["nano"]["networks"])


def test_weights_from_before_versions_are_named(tmp_path):
    nets = Networks(**PRESETS["nano"]["networks"])
    for stage in ("attention", "primary", "secondary"): nets.save(tmp_path / "models" / stage, (stage,))
    with pytest.raises(DualflowError, match="attention.attention.safetensors: weights from before there were versions; move the file into .*001"): DualFlow.from_pretrained(tmp_path / "models")


def test_stages_need_their_predecessors(tmp_path):
    for i in range(2): save_page(draw_page(i, size=(256, 320)).color, tmp_path / f"mine/c{i}/p.png")
    create_dataset(tmp_path / "mine", tmp_path / "dataset")
    with pytest.raises(DualflowError, match="train the attention stage first"): train_stage("primary", tmp_path / "dataset", "nano", epochs=1, views=8)


def test_pairs_are_kept_as_given(tmp_path):
    "Real pairs keep their own black-and-white half, byte for byte, and train without a true gate."
    page = draw_page(1, size=(256, 320)).color
    for i in range(2):
        save_page(page, tmp_path / f"mine/ch{i}/color/p1.png"); save_page(page.convert("L").point(lambda v: v // 2), tmp_path / f"mine/ch{i}/bw/p1.png")
    create_dataset(tmp_path / "mine", tmp_path / "dataset")
    record = DatasetLoader(tmp_path / "dataset")[0].record
    assert record.style == "original" and (tmp_path / "dataset/source/bw" / record.bw).read_bytes() == (tmp_path / "mine/ch0/bw/p1.png").read_bytes()
    L, truth = page_loaders(tmp_path / "dataset", views=2, size=256, bs=2, device="cpu").valid.one_batch()
    assert (truth[:, 3] == -1).all() and L.max() < 60
    trainer = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), TRAINS["joint"])
    assert torch.isfinite(trainer.loss(trainer(L), truth))


def test_training_streams_shards(dataset, tmp_path):
    "From shards as from a folder; an epoch is every page once, and the next epoch takes another order."
    shard_dataset(dataset, tmp_path / "shards", shard_mb=.05)
    dls = page_loaders(tmp_path / "shards", size=256, bs=2, device="cpu")
    first = [x for x, _ in dls.train]
    assert len(first) == len(DatasetLoader(dataset, split="train")) // 2 and first[0].shape == (2, 1, 256, 256)
    dls.train_ds.pages.set_epoch(1)
    assert not torch.equal(first[0], next(iter(dls.train))[0])
    metrics = train_stage("attention", tmp_path / "shards", "nano", epochs=1, device="cpu")  # fewer pages than a batch of the preset has
    assert metrics["train_loss"] > 0 and metrics["valid_loss"] > 0 and (tmp_path / "shards/models/attention/001/attention.safetensors").is_file()
    assert Versions(tmp_path / "shards/models").record("attention", "001")["dataset"]["pages"] == 6


def test_a_batch_is_at_most_an_epoch(dataset, tmp_path):
    "A handful of pages, or of views, is learned from all the same; nothing at all is an error."
    shard_dataset(dataset, tmp_path / "shards")
    pages = len(DatasetLoader(dataset, split="train"))
    assert [len(o) for o, _ in page_loaders(dataset, views=5, size=64, bs=2, device="cpu").train] == [2, 2]  # all alike
    for folder, views in ((dataset, 3), (tmp_path / "shards", pages)):
        L, truth = zip(*page_loaders(folder, views=3, size=256, bs=8, device="cpu").train)
        assert [o.shape for o in L] == [(views, 1, 256, 256)]
    with pytest.raises(DualflowError, match="too few to learn from"): page_loaders(dataset, views=0, device="cpu")


def test_the_log_survives_an_interruption(dataset, tmp_path):
    "Rows of epochs before the interruption stay, none comes twice, and no epoch that was only passed through is logged or saved."
    space = Workspace(tmp_path / "run")
    for stop in (1, None):
        learn = stage_learner(page_loaders(dataset, views=8, size=256, bs=4, device="cpu"), Networks(**PRESETS["nano"]["networks"]), "attention")
        keep = Keep(space, "attention")
        done = keep.resume(learn, keep.read()) if keep.read() else 0
        class PowerCut(Callback):
            def before_epoch(self):
                if stop is not None and self.epoch == stop: raise RuntimeError("power cut")
        try: learn.fit_one_cycle(3, 1e-3, start_epoch=done, cbs=[keep, PowerCut()])
        except RuntimeError: assert torch.load(keep.file, weights_only=True)["epoch"] == 1
    rows = (space.logs / "attention.csv").read_text().split()
    assert [o.split(",")[0] for o in rows] == ["epoch", "0", "1", "2"] and all(o.count(",") == 3 for o in rows)
    assert len(list(space.visualization.glob("attention_*.jpg"))) == 3


def test_a_run_that_went_wrong_stops_and_keeps_the_last_good_state(dataset, tmp_path):
    space = Workspace(tmp_path / "run")
    learn = stage_learner(page_loaders(dataset, views=8, size=256, bs=4, device="cpu"), Networks(**PRESETS["nano"]["networks"]), "attention")
    class Fault(Callback):
        def before_epoch(self):
            if self.epoch == 1: self.model.nets.attention.plan.bias.data[0] = float("nan")
    with pytest.raises(DualflowError, match="attention: the loss of epoch 2 is not a number"): learn.fit_one_cycle(3, 1e-3, cbs=[Keep(space, "attention"), Fault()])
    state = torch.load(space.checkpoints / "attention.pt", weights_only=True)
    assert state["epoch"] == 1 and all(torch.isfinite(o).all() for o in state["model"].values())
    assert len((space.logs / "attention.csv").read_text().split()) == 2


def flat(*lab, side=16): return torch.tensor(lab).view(1, -1, 1, 1).expand(-1, -1, side, side)


def test_losses_are_those_stated():
    "In lightness (2 * 10 + 10^2 / 5) / 10; in chroma (1 + 60 / 30) * 60^2 / 15 / 10."
    ink = torch.ones(1, 1, 16, 16)
    assert colour_loss(flat(60., 0., 0.), ink, flat(50., 0., 0.)) == pytest.approx(4, rel=.01) and colour_loss(flat(50., 0., 0.), ink, flat(50., 60., 0.)) == pytest.approx(72, rel=.01)


def test_importance_is_learned_in_its_unit_and_the_gate_where_it_is_dark():
    torch.manual_seed(0)
    nets = Networks(**PRESETS["nano"]["networks"])
    truth = torch.cat([50 * torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64), torch.full((2, 1, 64, 64), 100.)], 1); truth[:, 4, :, :32] = 20
    detail = colour_detail(truth[:, :3])
    loss = lambda scale: DualFlowTrainer(nets, ("attention",)).loss_parts(dict(attention=AttentionOutput(scale * detail, torch.zeros(2, 3, 4, 4), None)), truth)["importance"]
    assert loss(1) < loss(.2) and loss(1) < loss(5)
    def gate(left, right):
        logits = torch.cat([torch.full((2, 1, 64, 32), o) for o in (left, right)], 3)
        return DualFlowTrainer(nets, ("gate",)).loss_parts(dict(gate_logits=logits), truth)["gate"].item()
    assert gate(0., 0.) == pytest.approx(gate(0., -9.)) and gate(0., 0.) < gate(-9., 0.)


def test_a_view_is_coloured_as_if_it_were_alone_and_the_secondary_told_so():
    torch.manual_seed(0)
    trainer, known = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), ("gate", "primary", "secondary")).eval(), []
    torch.nn.init.normal_(trainer.nets.primary.unet.head.weight, std=.1)
    trainer.nets.secondary.register_forward_hook(lambda m, args, out: known.append(args[3]))
    L = 100 * torch.nn.functional.interpolate(torch.rand(2, 1, 16, 16), size=(256, 256))
    with torch.no_grad(): whole, again, *alone = trainer(L), trainer(L), *(trainer(o[None]) for o in L)
    assert len(whole["patches"]) == 4 and whole["patches"] == again["patches"] and torch.allclose(whole["primary"], torch.cat([o["primary"] for o in alone]), atol=1e-2)
    i, t, l = whole["patches"][-1]
    shown = known[0][i, :, t // 8:t // 8 + 24, l // 8:l // 8 + 24]
    assert torch.allclose(shown[:3], torch.nn.functional.avg_pool2d(whole["primary"][-1], 4), atol=1e-3) and (shown[3] == GUESSED).all()


def test_a_recipe_has_its_own_settings_for_a_stage(tmp_path, monkeypatch):
    class Stop(Exception): pass
    asked = []
    def loaders(*args): asked.append(args); raise Stop
    monkeypatch.setattr(runs, "page_loaders", loaders)
    for stage in ("attention", "primary"):
        with pytest.raises(Stop): train_stage(stage, tmp_path, "small", workers=2, seed=5, device="cpu", cache_mb=7)
    assert asked[0][4:] == (2, 5, torch.device("cpu"), .5, 7)
    (_, views, size, batch, *_, panels, _), (_, views2, size2, batch2, *_, panels2, _) = asked
    assert (views, size, batch, panels) == (800, 512, 16, .5) and (views2, size2, batch2, panels2) == (800, 512, 8, 0)
    def learner(dls, nets, stage, lr): asked.append(lr); raise Stop
    for name, f in (("page_loaders", lambda *args: SimpleNamespace(train_ds=[0])), ("fingerprint", lambda folder: {"pages": 1, "sha256": "0" * 64}), ("begin_run", lambda *args: {"from": {}}), ("stage_learner", learner)): monkeypatch.setattr(runs, name, f)
    for stage in ("primary", "joint"):
        with pytest.raises(Stop): train_stage(stage, tmp_path, "nano", device="cpu")
    assert asked[2:] == [3e-3, 1.5e-3]


def test_a_recipe_is_not_begun_where_a_later_stage_was_cut_off(tmp_path, capsys):
    file = Keep(Workspace(tmp_path / "d"), "joint").file
    file.parent.mkdir(parents=True); torch.save({"epoch": 1, "settings": {"epochs": 3}}, file)
    assert cli.train(["--dataset_dir", str(tmp_path / "d"), "--preset", "nano"]) == 1 and "joint.pt: a run that was cut off after 1 of 3 epochs" in capsys.readouterr().err


def test_training_begins_only_where_it_can_be_kept(dataset, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "checkpoints" and access(path, mode))
    with pytest.raises(DualflowError, match="checkpoints: is protected from writing"): train_stage("attention", dataset, "nano", epochs=1, views=8)


def test_version_1000_is_newer_than_999(tmp_path):
    for o in ("999", "1000"): (tmp_path / f"attention/{o}").mkdir(parents=True); (tmp_path / f"attention/{o}/attention.safetensors").touch()
    assert Versions(tmp_path).names("attention") == ["999", "1000"] and Versions(tmp_path).choose(["attention"]) == {"attention": "1000"}


def test_a_run_with_another_version_begins_again(dataset, tmp_path, capsys):
    shutil.copytree(dataset, data := tmp_path / "work/dataset")
    train = lambda stage, **options: train_stage(stage, data, "nano", epochs=1, views=8, device="cpu", **options)["versions"]
    for stage in ("attention", "attention", "primary"): train(stage)
    one, two = (Networks.load({"attention": tmp_path / "work/models/attention" / o}).attention.state_dict() for o in ("001", "002"))
    assert all(torch.allclose(v, two[k], atol=1e-3) for k, v in one.items())  # the same seed, the same weights
    file = tmp_path / "work/models/checkpoints/primary.pt"
    torch.save(torch.load(file, weights_only=True) | {"best": 0., "fastai": (7, 7, torch.tensor(1.))}, file)
    assert train("primary", resume=True, attention="001") == {"primary": "002"} and "beginning again" in capsys.readouterr().out
    assert Versions(tmp_path / "work/models").record("primary", "002")["trained_with"] == {"attention": "001"}
    state = torch.load(file, weights_only=True)  # of nothing but this run
    assert len(state["rows"]) == 1 and state["best"] == float(state["rows"][0]["valid_loss"]) and state["fastai"][:2] == (1, 1)
    assert [o.name for o in (file.parent / "primary_best").iterdir()] == ["primary.safetensors"]


def test_large_pages_are_looked_at_more_often():
    "By their sides: four times the area, twice as often."
    pages = lambda *sizes: SimpleNamespace(records=[SimpleNamespace(original_size=o, style="gray") for o in sizes], space=Workspace("x"))
    assert PageViews(pages([10, 20], [20, 40]), 8).share.tolist() == pytest.approx([1 / 3, 2 / 3])
    with pytest.raises(DualflowError, match="add a chapter"): PageViews(pages(), 8)


def test_a_single_chapter_is_validated_on_itself_in_whole_batches(tmp_path):
    save_page(draw_page(1, size=(96, 128)).color, tmp_path / "mine/ch/p.png")
    create_dataset(tmp_path / "mine", tmp_path / "d")
    dls = page_loaders(tmp_path / "d", views=400, size=64, bs=16, device="cpu")
    assert len(dls.valid_ds) == 16 and len(dls.valid_ds.pages) == 1
    assert [dls.valid_ds[i][2][1].item() for i in range(4)] == [0, 1, 2, 0]  # styles in turn
    def first(epoch): dls.train_ds.set_epoch(epoch); return dls.train_ds[0][2].tolist()
    assert first(0) == first(0) != first(1)
    shard_dataset(tmp_path / "d", tmp_path / "s")
    assert len(page_loaders(tmp_path / "s", size=64, device="cpu").valid_ds.pages) == 1


def test_known_places_reach_the_rim():
    torch.manual_seed(0)
    mask = true_places(torch.rand(64, 3, 64, 64), torch.ones(64, 1, 64, 64), often=1.)[:, 3]
    assert all(o.any() for o in (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]))


def test_what_was_turned_is_turned_back():
    "Untrained colorizers give the plan back, whatever hues they were shown it in."
    torch.manual_seed(0)
    trainer = DualFlowTrainer(Networks(**PRESETS["nano"]["networks"]), ("gate", "primary", "secondary")).train()
    torch.nn.init.normal_(trainer.nets.attention.plan.weight)
    with torch.no_grad(): out = trainer(100 * torch.rand(2, 1, 256, 256))
    plan, fill = (torch.nn.functional.interpolate(out["attention"].plan, scale_factor=o, mode="bilinear") for o in (8, 2))
    assert plan[:, 1:].abs().mean() > 5 and (out["secondary"] - fill)[:, 1:].abs().max() < 1
    for (i, t, l), o in zip(out["patches"], out["primary"]): assert (o - plan[i, :, t // 2:t // 2 + 96, l // 2:l // 2 + 96])[1:].abs().max() < 1


def test_an_epoch_draws_what_its_number_says():
    epochs, pages = [], SimpleNamespace(seed=3, set_epoch=lambda epoch: epochs.append(epoch))
    def draw(epoch):
        callback = SeedEpochs(); callback.learn = SimpleNamespace(dls=SimpleNamespace(train_ds=pages), epoch=epoch)
        callback.before_epoch()
        return torch.rand(()).item(), np.random.rand()
    assert draw(1) == draw(1) != draw(2) and epochs == [1, 1, 2]


def test_a_step_looks_ahead_along_the_running_mean_and_weights_decay():
    p = torch.nn.Parameter(torch.zeros(4, 4)); p.grad = -torch.eye(4)
    muon_step(p, .1, .9, grad_avg=torch.eye(4))  # .9 of the mean, .1 of the gradient, which points the other way
    assert (p.diagonal() < 0).all()
    p = torch.nn.Parameter(torch.ones(4, 4)); p.grad = torch.zeros(4, 4)
    Muon([p], lr=.1, wd=.5).step()
    assert torch.allclose(p, torch.full((4, 4), .95))


def test_where_patches_overlap_a_place_is_painted_once():
    torch.manual_seed(0)
    nets, L = Networks(**PRESETS["nano"]["networks"]).eval(), 100 * torch.rand(1, 1, 256, 256)
    with torch.no_grad(): seen = nets.attention(L); _, painted, _ = both_flows(nets, L, seen)
    assert torch.allclose(painted, torch.nn.functional.interpolate(seen.plan, scale_factor=8, mode="bilinear"), atol=.1)  # untrained, the primary gives the plan back


class Trap:
    def __init__(self, mark): self.mark = str(mark)
    def __reduce__(self): return open, (self.mark, "w")


def test_a_checkpoint_from_a_stranger_runs_nothing(tmp_path):
    keep = Keep(Workspace(tmp_path), "attention")
    keep.file.parent.mkdir(parents=True); torch.save({"stage": Trap(tmp_path / "opened")}, keep.file)
    with pytest.raises(DualflowError, match="damaged checkpoint"): keep.read()
    assert not (tmp_path / "opened").exists()


def test_refining_takes_two_epochs_unless_told(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("dualflow.routing.refine_attention", lambda **options: asked.append(options) or .5)
    refine = lambda *more: cli.train_attention(["--dataset_dir", "d", "--refine", *more])
    assert refine() == refine("--epochs", "5", "--primary", "002") == 0 and "validation loss 0.500" in capsys.readouterr().out
    assert [(o["epochs"], o["primary"]) for o in asked] == [(2, None), (5, "002")]
    for o in (["--resume"], ["--tensorboard"], ["--start", "embedded"]): assert refine(*o) == 1 and "leave out --start" in capsys.readouterr().err
    assert len(asked) == 2


@pytest.mark.parametrize("chapters, split", [(1, None), (2, "valid")])
def test_a_trained_flow_is_tried_on_pages_held_out_if_there_are_any(tmp_path, monkeypatch, chapters, split):
    for i in range(chapters): save_page(draw_page(1, size=(96, 128)).color, tmp_path / f"mine/c{i}/p.png")
    create_dataset(tmp_path / "mine", tmp_path / "d")
    asked = []
    def evaluate(flow, data, **options): asked.append(options["split"]); raise DualflowError("seen")
    for name, f in (("dualflow.cli._train", lambda *args, **options: None), ("dualflow.cli._load_flow", lambda weights: None), ("dualflow.evaluation.evaluate_dataset", evaluate)): monkeypatch.setattr(name, f)
    assert cli.train(["--dataset_dir", str(tmp_path / "d"), "--preset", "nano"]) == 1 and asked == [split]


def test_a_refined_version_may_stand_for_the_one_it_refines(tmp_path):
    nets, models = Networks(**PRESETS["nano"]["networks"]), Versions(tmp_path)
    for stage, record in (("attention", {}), ("primary", {"trained_with": {"attention": "001"}}), ("attention", {"refines": ["001"]}), ("attention", {})): models.save(nets, [stage], {"started": str(record) + stage + str(len(models.names("attention"))), **record})
    load = lambda attention: models.load({"attention": attention, "primary": "001"}, **PRESETS["nano"]["networks"])
    with warnings.catch_warnings(): warnings.simplefilter("error"); load("002")
    with pytest.warns(UserWarning, match="primary 001 was trained with attention 001, not with 003.*choose attention 001: write 001 into attention/latest.txt"): load("003")
