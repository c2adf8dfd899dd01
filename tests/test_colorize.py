"The main job, end to end: the command, real pages, and what must not happen to them."
import os, shutil, subprocess, sys, zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kornia.metrics import psnr
from PIL import Image, ImageDraw

from commands import command
from dualflow import attention, cli, pipeline
from dualflow.attention import AttentionModel, conv
from dualflow.colorizers import GUESSED
from dualflow.core import DualflowError, grey_image, half_precision, load_page, page_lab, page_lightness, save_page, to_tensor, working_page
from dualflow.dataset import DatasetLoader
from dualflow.drawing import draw_page
from dualflow.evaluation import evaluate_page
from dualflow.fusion import find_paper, merge_colorizations
from dualflow.pipeline import DualFlow, colorize_image, has_colour
from dualflow.printing import dot_pitch, manga_bw
from dualflow.splitting import PATCH, extract_regions, load_attention_patches, save_attention_patches

ROOT = Path(__file__).parents[1]
SAMPLES = sorted((ROOT / "data" / "samples").glob("page_*.png"))


def test_samples_are_there(): assert len(SAMPLES) == 3 and not any(has_colour(load_page(o)) for o in SAMPLES)


def test_command_colours_a_page(tmp_path):
    done = command("colorize", "--input", SAMPLES[0], "--output", tmp_path / "colored.png")
    assert done.returncode == 0, done.stderr
    assert "device: " in done.stdout and "parameters loaded" in done.stdout
    page = load_page(tmp_path / "colored.png")
    assert page.size == load_page(SAMPLES[0]).size and has_colour(page)


def test_folder_and_archive_go_on_after_a_bad_page(tmp_path):
    small = load_page(SAMPLES[0]).resize((200, 280))
    for where in ("ch1/p1.png", "ch1/p2.png"): (tmp_path / "in" / where).parent.mkdir(parents=True, exist_ok=True); small.save(tmp_path / "in" / where)
    (tmp_path / "in/ch1/bad.png").write_bytes(b"\x89PNG broken")
    Image.fromarray(np.dstack([np.full((60, 60), 220), np.tile(np.arange(60) * 4, (60, 1)), np.full((60, 60), 30)]).astype(np.uint8)).save(tmp_path / "in/ch1/coloured.png")
    done = command("colorize", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert done.returncode == 1 and "bad.png" in done.stderr and "Traceback" not in done.stderr
    assert sorted(o.name for o in (tmp_path / "out/ch1").iterdir()) == ["coloured.png", "p1.png", "p2.png"]
    assert "in colour already" in done.stdout

    with zipfile.ZipFile(tmp_path / "book.cbz", "w") as z:
        z.write(tmp_path / "in/ch1/p1.png", "p1.png"); z.writestr("../../evil.png", (tmp_path / "in/ch1/p2.png").read_bytes()); z.writestr("bad.jpg", b"no")
    done = command("colorize", "--input", tmp_path / "book.cbz", "--output", tmp_path / "book_colour.cbz")
    assert done.returncode == 1 and "bad.jpg" in done.stderr
    with zipfile.ZipFile(tmp_path / "book_colour.cbz") as z:
        assert sorted(z.namelist()) == ["bad.jpg", "evil.png", "p1.png"] and has_colour(load_page(z.read("p1.png"))) and z.read("bad.jpg") == b"no"


@pytest.mark.parametrize("args, word", [(["--input", "nowhere.png", "--output", "o.png"], "nowhere.png"), (["--input", str(SAMPLES[0]), "--output", "o.xyz"], "format"),
                                        (["--input", str(SAMPLES[0]), "--output", "o.png", "--weights", "/no/such/folder"], "no such folder"),
                                        (["--input", str(SAMPLES[0]), "--output", "."], "name a file"), (["--input", str(SAMPLES[0]), "--output", "o.psd"], "format"),
                                        (["--input", str(SAMPLES[0]), "--output", "o.png", "--weights", str(SAMPLES[0])], "this is a file"),
                                        (["--input", str(SAMPLES[0].parent), "--output", "o.png"], "must be a folder")])
def test_mistakes_are_one_line(tmp_path, args, word, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DualFlow, "colorize", lambda *args, **options: pytest.fail("coloured for nothing"))
    assert cli.colorize(args) == 1
    said = capsys.readouterr().err
    assert word in said and said.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, options", [("colorize", "--input a --output b --budget 3"), ("colorize", "--input a --output b --vivid 9"), ("colorize", "--input a --output b --budget nan"),
                                           ("evaluate", "--dataset_dir d --styles grey"), ("evaluate", "--dataset_dir d --pages 0"), ("train", "--dataset_dir d --epochs 0"), ("train", "--dataset_dir d --views -1"),
                                           ("train", "--dataset_dir d --seed -1"), ("train", "--dataset_dir d --cache_mb -1"), ("train_attention", "--dataset_dir d --workers -1"), ("draw_pages", "--target_dir d --chapters 0"), ("bench", "--repeat 0"),
                                           ("bench", "--width 0"), ("generate_attention", "--dataset_dir d --budget 5"),
                                           ("demo", "--port 99999"), ("demo", "--port -5"), ("train", f"--dataset_dir d --seed {10**22}"), ("draw_pages", f"--target_dir d --seed {2**63}")])
def test_impossible_options_are_refused_at_once(name, options, capsys):
    with pytest.raises(SystemExit) as e: getattr(cli, name)(options.split())
    assert e.value.code == 2 and f"argument {options.split()[-2]}" in capsys.readouterr().err


def test_a_number_too_small_is_told_without_the_largest(capsys):
    with pytest.raises(SystemExit): cli.train(["--dataset_dir", "d", "--epochs", "0"])
    assert "--epochs: 0 is less than 1\n" in capsys.readouterr().err


def test_told_to_end_it_tidies_up_and_goes_on_later(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "b.cbz", "w") as z:
        for i in range(40): z.write(SAMPLES[0], f"p{i}.png")
    code = "import sys; from dualflow.cli import colorize; sys.exit(colorize())"
    at_work = subprocess.Popen([sys.executable, "-W", "ignore", "-u", "-c", code, "--input", tmp_path / "b.cbz", "--output", tmp_path / "out.cbz"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "[1/40]" not in at_work.stdout.readline(): assert at_work.poll() is None
    assert len(list(tmp_path.iterdir())) == 2
    at_work.terminate()
    assert at_work.communicate(timeout=60)[1].strip() == "stopped" and at_work.returncode == 130
    assert sorted(o.name for o in tmp_path.iterdir()) == [".out.cbz.pages", "b.cbz"]
    done = {o.name: o.read_bytes() for o in (tmp_path / ".out.cbz.pages").iterdir()}
    assert "p0.png" in done and len(done) < 40
    with zipfile.ZipFile(tmp_path / "b.cbz", "w") as z:
        for i in range(len(done) + 1): z.write(SAMPLES[0], f"p{i}.png")
    assert cli.colorize(["--input", str(tmp_path / "b.cbz"), "--output", str(tmp_path / "out.cbz"), "--resume"]) == 0
    assert f"1 of {len(done) + 1} pages written" in (said := capsys.readouterr().out) and f"{len(done)} there already" in said
    with zipfile.ZipFile(tmp_path / "out.cbz") as z: assert {k: z.read(k) for k in done} == done and len(z.namelist()) == len(done) + 1
    assert sorted(o.name for o in tmp_path.iterdir()) == ["b.cbz", "out.cbz"]


def test_a_strip_is_coloured_as_its_pages_are(flow):
    "As wide as a page and as long as five, it is not reduced to a thread."
    pages = [draw_page(i, size=(256, 352)).color.convert("L") for i in range(5)]
    strip = Image.new("L", (256, 352 * 5))
    for i, o in enumerate(pages): strip.paste(o, (0, 352 * i))
    result = flow.colorize(strip, height=352)
    assert result.attention.shape[1] > 170 and result.image.size == strip.size
    chroma = lambda o: page_lab(o)[:, 1:].norm(dim=1).mean().item()
    assert chroma(result.image) > .5 * np.mean([chroma(flow.colorize(o, height=352).image) for o in pages])


def test_the_report_is_about_the_page_that_is_seen(flow):
    page = load_page(SAMPLES[0]).resize((320, 448))
    assert flow.colorize(page, vivid=0).report["seam"] == pytest.approx(0, abs=.05) and flow.colorize(page, vivid=1).report["seam"] != flow.colorize(page, vivid=2).report["seam"]
    for option in ("budget", "threshold", "height", "vivid", "variant"):
        for value in (-1, None, "much"):
            with pytest.raises(DualflowError, match=option): flow.colorize(page, **{option: value})
    with pytest.raises(DualflowError, match="vivid"): flow.colorize(page, vivid=3.1)


def scanned(page, pitch):
    "A page printed with dots, and reduced until they are `pitch` pixels apart."
    fine = page.resize([3 * o for o in page.size], Image.Resampling.BICUBIC)
    return manga_bw(fine, pitch=3 * pitch, sigma=3.).image.resize(page.size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize("pitch", (2.6, 3.3))
def test_fine_dots_are_coloured_as_coarse_ones(flow, tmp_path, pitch):
    true = draw_page(3).color.crop((0, 0, 704, 704))
    fine = scanned(true, pitch)
    error = lambda image: (to_tensor(image) - to_tensor(true)).square().mean().log10().item() * 10
    result, usual = flow.colorize(fine), flow.colorize(scanned(true, 5.5))
    assert result.image.size == true.size and result.attention.shape[0] == pytest.approx(704 * 4.8 / pitch, rel=.1) and usual.attention.shape == (704, 704)
    assert error(result.image) < error(usual.image) + 1 and error(result.image) < error(fine) - 3.5
    assert abs(dot_pitch(page_lightness(fine)) - pitch) < .2
    if pitch > 3: assert abs(dot_pitch(page_lightness(result.image.convert("L"))) - pitch) > 2  # dots have gone
    assert all(0 <= o.x < o.x + o.w <= 704 and 0 <= o.y < o.y + o.h <= 704 for o in result.regions)
    save_attention_patches(result.attention, tmp_path, "p")
    assert load_attention_patches(tmp_path, "p")[0].tobytes() == fine.convert("L").tobytes()
    assert (page_lab(flow.colorize(fine, hints=[(352, 352, (200, 30, 30))], reference=true).image) - page_lab(result.image)).abs().max() > 3


def test_dots_beside_grey_leave_their_shade(flow):
    true = draw_page(3).color.crop((0, 0, 704, 704))
    dotted, grey = (manga_bw(true, style).image for style in ("screentone", "gray"))
    both = dotted.copy(); both.paste(grey.crop((352, 0, 704, 704)), (352, 0))
    left = lambda image: page_lab(image.convert("RGB"))[:, :1, 16:-16, 16:336]
    made, alone = left(flow.colorize(both).image), left(flow.colorize(dotted).image)
    around = lambda x: torch.nn.functional.avg_pool2d(x, 48)
    assert (around(made) - around(left(dotted))).max() < 4                   # nowhere lighter than its print
    assert (made - alone).mean() < 9


def test_help_imports_nothing_heavy_and_colouring_no_fastai(tmp_path):
    heavy = "import sys; from dualflow import cli\ntry: cli.colorize(['--help'])\nexcept SystemExit: pass\nassert not {'torch', 'numpy', 'fastai'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True).returncode == 0
    code = f"import sys; from dualflow import cli; cli.colorize(['--input', {str(SAMPLES[0])!r}, '--output', {str(tmp_path / 'o.png')!r}]); assert not {{'fastai', 'matplotlib', 'gradio'}} & set(sys.modules), set(sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given, used", [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5")])
def test_waiting_threads_are_told_to_sleep_before_they_are_made(given, used):
    code = """
import builtins, os, sys
real = builtins.__import__
def watch(name, *args, **keywords):
    if name == "torch": print(os.environ.get("GOMP_SPINCOUNT")); os._exit(0)
    return real(name, *args, **keywords)
builtins.__import__ = watch
from dualflow import cli
cli.colorize(["--input", "nowhere.png", "--output", "o.png"])
"""
    env = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | given
    assert subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, env=env).stdout.strip() == used


def test_grey_page_keeps_its_lightness(flow, comics):
    grey = load_page(comics / "val/peppercarrot/E18P03.jpg").convert("L")
    made = page_lab(flow.colorize(grey).image)
    assert (made[:, 0] - page_lightness(grey)[:, 0]).abs().mean() < .5


@pytest.mark.parametrize("style, gain", [("gray", .5), ("lineart", 3.), ("screentone", 4.)])
def test_real_pages_come_closer_to_the_truth(flow, comics, style, gain):
    "On pages never seen in training the colours must help, not only be there."
    rows = [evaluate_page(flow, load_page(comics / "val" / o), style)[0] for o in ("peppercarrot/E18P03.jpg", "peppercarrot/E19P04.jpg")]
    mean = lambda k: sum(o[k] for o in rows) / len(rows)
    assert mean("gain_db") > gain and mean("ciede2000") < mean("grey_ciede2000") and mean("colourfulness") > .4


def test_a_coloured_page_prints_as_large_as_its_scan(flow, tmp_path):
    Image.new("L", (64, 96), 200).save(tmp_path / "p.png", dpi=(300, 300))
    assert round(flow.colorize(tmp_path / "p.png").image.info["dpi"][0]) == 300


def test_vivid_is_a_taste(flow):
    chroma = [page_lab(flow.colorize(SAMPLES[0], vivid=v).image)[:, 1:].norm(dim=1).mean() for v in (0, 1, 1.3)]
    assert chroma[0] < .5 < chroma[1] < chroma[2] < 1.5 * chroma[1]


def test_dots_vanish_and_strokes_stay(flow, comics):
    true = load_page(comics / "val/peppercarrot/E18P03.jpg")
    printed = manga_bw(true, "screentone")
    made = page_lab(flow.colorize(printed.image).image)
    flat = (printed.tone[0, 0] > .5) & (printed.ink[0, 0] < .02)
    strokes = printed.ink[0, 0] > .98
    assert printed.L[0, 0][flat].mean() < 20 and made[0, 0][flat].mean() > 35      # dots were black, and have gone
    assert made[0, 0][strokes].mean() < 12                                         # strokes are as black as they were


def test_large_pages_keep_their_size_and_their_ink(flow):
    "Lettering is taken from the scan itself, whatever its size. Colour darkens both sides of an edge alike, so an edge counts by its contrast."
    page = load_page(SAMPLES[1]).convert("L")  # inked: all that is dark must stay
    steps = lambda o: (o[:, 1:] - o[:, :-1]).abs()
    contrast = lambda o: steps(o) / o[:, 1:].maximum(o[:, :-1]).clamp(min=1)
    def sharpness(made, page):
        made, L = page_lab(made)[0, 0], page_lightness(page)[0, 0]
        assert made.shape == L.shape
        return (contrast(made)[steps(L) > 40].mean() / contrast(L)[steps(L) > 40].mean()).item()
    large, half = (page.resize((round(page.width * k), round(page.height * k)), Image.Resampling.LANCZOS) for k in (2, .5))
    grey = load_page(SAMPLES[2]).convert("L")  # printed in greys: not even its lightness may change
    made, L = page_lab(flow.colorize(grey).image)[0, 0], page_lightness(grey)[0, 0]
    assert steps(made)[steps(L) > 40].mean() > .95 * steps(L)[steps(L) > 40].mean()
    assert sharpness(flow.colorize(page).image, page) > .95 and sharpness(flow.colorize(large).image, large) > .85
    assert sharpness(flow.colorize(half).image.resize(page.size, Image.Resampling.LANCZOS), page) < .7     # not so if it is enlarged afterwards


def test_detail_is_measured_at_the_height_that_was_worked_at(flow):
    "At another height than the usual one, the map that chooses best is still the true one, and the learned one beats chance."
    row, _ = evaluate_page(flow, draw_page(11, size=(496, 704)).color, "gray", height=352)
    assert row["detail_25_oracle"] >= row["detail_25"] > row["detail_25_random"] + .05
    assert abs(row["detail_25_random"] - .25) < .06


def test_narrow_pages_do_not_get_what_others_left_in_memory():
    "oneDNN's bfloat16 gives anything where a strided convolution leaves a single column (pytorch/pytorch#169688)."
    torch.manual_seed(0)
    layer = conv(64, 64, 2).eval().to(memory_format=torch.channels_last)
    for width in (1, 2, 3, 4):
        x = torch.randn(1, 64, 19, width).to(memory_format=torch.channels_last)
        for fill in (1e30, float("nan")):
            left_over = [torch.full((n,), fill).bfloat16() for n in (20_000, 2_000_000)]; del left_over
            with torch.no_grad():
                with half_precision("cpu"): fast = layer(x).float()
                assert (fast - layer(x)).abs().max() < .1


def test_the_brief_word_for_word(tmp_path, flow):
    "The calls that the project promised before it was built."
    shutil.copytree(ROOT / "data/dataset", tmp_path / "dataset")
    shutil.rmtree(tmp_path / "dataset/attention_maps", ignore_errors=True)
    dataset = DatasetLoader(tmp_path / "dataset/source")
    attention_model = AttentionModel()
    for image in dataset:
        attention_map = attention_model.predict(image)
        save_attention_patches(attention_map)
    names = {o.name for o in dataset}
    assert {o.stem for o in (tmp_path / "dataset/attention_maps/patches/background").iterdir()} == names and len(names) == 8
    for o in dataset: assert load_attention_patches(tmp_path / "dataset/attention_maps/patches", o.name)[0].tobytes() == o.bw.tobytes()
    with pytest.raises(DualflowError, match="name a folder"): save_attention_patches(attention_model.predict(SAMPLES[0]))

    attention_model, primary_model, secondary_model = flow.models
    attention_map = attention_model.predict(SAMPLES[0])
    important_regions = extract_regions(attention_map)
    primary_colors = primary_model.predict(important_regions)
    secondary_colors = secondary_model.predict(important_regions, primary_colors)
    fused, whole = merge_colorizations(primary_colors, secondary_colors), flow.colorize(SAMPLES[0])
    assert important_regions == whole.regions and torch.equal(secondary_colors, whole.secondary)
    inside = find_paper(whole.attention.L) == 0
    assert inside.float().mean() > .5 and torch.equal(fused.colour[:, :, inside[0, 0]], whole.fused.colour[:, :, inside[0, 0]])
    assert 0 < fused.report["primary_share"] < .31 and 0 < fused.report["harmonised"] < .4


def test_embedded_weights_load_once_and_fit(flow):
    assert colorize_image(load_page(SAMPLES[1]).resize((160, 220))).size == (160, 220) and pipeline.load_flow(None) is pipeline.load_flow(None)
    assert sum(p.numel() for p in flow.nets.parameters()) < 12e6


@pytest.mark.parametrize("paper", ["white", "#e8e8e8", "noisy"])
def test_a_blank_page_stays_blank(flow, paper):
    "Books have them, with a number at most; nothing there is a colour. A hint, though, is heard."
    page = Image.new("L", (420, 600), 235 if paper == "noisy" else paper)
    if paper == "noisy": page = Image.fromarray(np.random.default_rng(0).normal(page, 3).clip(0, 255).astype(np.uint8))
    page.paste(20, (205, 570, 215, 582))
    assert page_lab(flow.colorize(page).image)[0, 1:].norm(dim=0).max() < 3
    assert page_lab(flow.colorize(page, mood="night").image)[0, 1:].norm(dim=0).max() < 3
    drawn = page.copy()
    for x in (120, 210, 300): ImageDraw.Draw(drawn).ellipse((x - 30, 200, x + 30, 260), outline=30, width=2)
    faint = page.copy()
    for y in range(40, 560, 40): ImageDraw.Draw(faint).line((40, y, 380, y), fill=215, width=4)
    for o in (drawn, faint): assert not find_paper(page_lightness(o)).all()  # little, but not nothing
    assert page_lab(flow.colorize(page, hints=[(100, 300, (200, 40, 40))]).image)[0, 1].max() > 20


def test_the_secondary_is_told_what_the_primary_painted(flow, page, monkeypatch):
    seen = []
    monkeypatch.setattr(type(flow.nets.secondary), "predict", lambda self, *args: seen.append(args[3]) or self(*args))
    regions = extract_regions(flow.nets.attention.predict(page))
    painted = flow.paint(regions)
    flow.fill(regions, painted)
    (t, l), side = painted.corners[-1], PATCH // 8
    known = seen[0][0, :, t // 4:t // 4 + side, l // 4:l // 4 + side]
    assert torch.equal(known[:3], torch.nn.functional.avg_pool2d(painted.colour[-1], 4)) and set(seen[0][:, 3].unique().tolist()) == {0, GUESSED} and (known[3] == GUESSED).all()


def test_what_pads_a_page_is_no_part_of_it(flow, page):
    "The report leaves it out, and ink and colour stay in their places."
    small = page.resize((300, 430))
    result = flow.colorize(small.convert("L"))
    before = result.report
    for o in (result.fused.colour, result.fused.weight, result.fused.moved): o[..., 215:, :] = 50; o[..., 150:] = 50
    assert result.report == before
    assert (page_lab(result.image)[:, 0] - page_lightness(small)[:, 0]).abs().mean() < 1
    grey, sheet = Image.new("L", (300, 430), 170), Image.new("RGBA", (300, 430))
    ImageDraw.Draw(grey).rectangle((160, 250, 285, 415), outline=0, width=3); sheet.paste((200, 40, 40, 255), (170, 260, 276, 406))
    a = page_lab(flow.colorize(grey, hints=sheet).image)[0, 1]
    assert a[400:408, 270:278].mean() > 35 and a[400:408, 292:298].mean() < 20  # colour stays in its place, too


def spy(monkeypatch, place):
    seen = []
    def f(*args, **options): seen.append((args, options)); raise DualflowError("seen")
    monkeypatch.setattr(place, f)
    return seen


def test_commands_hand_their_options_on(tmp_path, monkeypatch, page):
    page.convert("L").save(tmp_path / "p.png")
    monkeypatch.setattr(cli, "_load_flow", lambda weights: SimpleNamespace(nets=SimpleNamespace(attention=SimpleNamespace(predict=lambda page: page))))
    look = "--budget", .1, "--vivid", .5, "--variant", 2
    seen = spy(monkeypatch, "dualflow.books.colour_book"); command("colorize", "--input", tmp_path / "p.png", "--output", tmp_path / "o.png", "--all", *look)
    options = seen[0][1]
    assert (options["budget"], options["vivid"], options["variant"]) == (.1, .5, 2) and options["again"] is True
    seen = spy(monkeypatch, "dualflow.evaluation.evaluate_dataset"); command("evaluate", "--dataset_dir", tmp_path, *look)
    options = seen[0][1]
    assert (options["budget"], options["vivid"], options["variant"]) == (.1, .5, 2)
    seen = spy(monkeypatch, "dualflow.streaming.shard_dataset"); command("shard_dataset", "--dataset_dir", tmp_path, "--target_dir", tmp_path / "s", "--shard_mb", 3, "--quality", 80)
    assert seen[0][0][2:4] == (3, 80)
    monkeypatch.setattr("dualflow.dataset.DatasetLoader", lambda folder: ["page"])
    seen = spy(monkeypatch, "dualflow.splitting.save_attention_patches"); command("generate_attention", "--dataset_dir", tmp_path, "--budget", .1)
    assert seen[0][1] == {"budget": .1}


def test_all_colours_what_is_in_colour_and_a_single_page_is_coloured_anyhow(tmp_path, page):
    for o in ("in/a.png", "in/b.png"): save_page(page, tmp_path / o)
    for options, kept in (((), 2), (("--all",), 0)):
        done = command("colorize", "--input", tmp_path / "in", "--output", tmp_path / "out", *options)
        assert done.returncode == 0 and done.stdout.count("kept as it is") == kept
    assert "kept" not in command("colorize", "--input", tmp_path / "in/a.png", "--output", tmp_path / "o.png").stdout


def test_however_many_patches_each_is_painted_as_if_alone(flow):
    L = 100 * torch.rand(1, 1, 32, 160, generator=torch.Generator().manual_seed(0))
    seen, corners = flow.nets.attention(L), [(0, 16 * i) for i in range(9)]
    paint = lambda some: flow.nets.primary.predict(L, torch.ones_like(L), seen, some, (32, 32))
    assert torch.allclose(paint(corners), torch.cat([paint([o]) for o in corners]), atol=1e-2)


def test_what_is_not_known_says_nothing_to_the_secondary(flow):
    L, plan, known = torch.full((1, 1, 64, 64), 60.), torch.full((1, 3, 4, 4), 40.), torch.zeros(1, 4, 8, 8)
    fill = lambda known: flow.nets.secondary.predict(L, torch.ones_like(L), plan, known)
    masked, sure = known + torch.tensor([50., 60, 30, 0]).view(1, 4, 1, 1), known + torch.tensor([50., 60, 30, 1]).view(1, 4, 1, 1)
    assert torch.equal(fill(known), fill(masked)) and (fill(known) - fill(sure)).abs().mean() > 1


@pytest.mark.parametrize("style", ["lineart", "screentone"])
def test_yellowed_paper_comes_out_as_white_paper_does(flow, style):
    page = draw_page(5).color.resize((496, 704))
    bw = manga_bw(page, style).image
    old = Image.fromarray((np.asarray(bw)[..., None] * [.80, .74, .60] + 8).astype(np.uint8))
    new, worn = flow.colorize(bw).image, flow.colorize(old).image
    assert psnr(to_tensor(worn), to_tensor(new), 1.) > 32 and psnr(to_tensor(worn), to_tensor(page), 1.) > psnr(to_tensor(new), to_tensor(page), 1.) - .3
    assert (np.asarray(worn)[3, 3] == 255).all()  # the margin
    seen = flow.nets.attention.predict(old)  # as it is printed, but seen on white
    assert seen.image.tobytes() == old.convert("L").tobytes() and torch.equal(seen.L, flow.colorize(old).attention.L) and seen.L[..., 3, 3] > 99


def test_dots_in_faint_ink_are_coloured_as_if_in_black_and_ink_stays_faint(flow, monkeypatch):
    page = draw_page(5).color.resize((496, 704))
    faint = grey_image(45 + .55 * page_lightness(manga_bw(page).image))
    likeness = lambda image: psnr(to_tensor(image), to_tensor(page), 1.)
    image = flow.colorize(faint).image
    monkeypatch.setattr(attention, "readable_page", working_page)
    assert likeness(image) > likeness(flow.colorize(faint).image) + .5 and page_lightness(image).min() > 8
