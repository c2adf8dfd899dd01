"What is measured is what its name says, of the pages that were meant."
import json
from types import SimpleNamespace

import pytest
import torch
from kornia.metrics import psnr
from PIL import Image

from dualflow import cli, evaluation
from dualflow.attention import colour_detail, detail_share
from dualflow.core import DualflowError, fit_page, grey_image, page_lab, page_lightness, save_page, to_tensor
from dualflow.dataset import DatasetLoader, create_dataset
from dualflow.drawing import draw_page
from dualflow.evaluation import bench_page, compare_guidance, evaluate_dataset, evaluate_page, format_table, picture_sheet, save_rows, table_file, true_hints, zone_and_borders
from dualflow.metrics import bleed, colour_accuracy, delta_e, palette_distance, paper_tint, seam_index
from dualflow.printing import manga_bw
from dualflow.questions import places_to_ask


def test_a_page_is_compared_with_the_true_one_and_its_lightness_with_the_print(flow, page):
    results = []
    row, image = evaluate_page(SimpleNamespace(colorize=lambda bw: results.append(flow.colorize(bw)) or results[0]), page, "lineart")
    result, printed = results[0], manga_bw(page, "lineart").image
    made, true = page_lab(image), page_lab(page)
    zone, border = zone_and_borders(result.regions, page.size)
    detail, grey = colour_detail(fit_page(true, result.attention.shape)), psnr(to_tensor(printed), to_tensor(page), 1.).item()
    wanted = colour_accuracy(image, page, zone) | {"dL": (made[:, 0] - page_lightness(grey_image(manga_bw(page, "lineart").L))[:, 0]).abs().mean().item(), "bleed": bleed(made, true), "paper_tint": paper_tint(made, true),
        "seam": seam_index(made, true, torch.from_numpy(border)), "grey_psnr": grey, "gain_db": psnr(to_tensor(image), to_tensor(page), 1.).item() - grey, "grey_ciede2000": delta_e(page_lab(printed), true).mean().item(),
        "detail_10": detail_share(result.attention.importance[None, None], detail, .1), "detail_25": detail_share(result.attention.importance[None, None], detail, .25), "detail_25_oracle": detail_share(detail, detail, .25)}
    assert {k: row[k] for k in wanted} == pytest.approx(wanted, rel=1e-3) and .05 < zone.mean() < .95


def test_neighbours_are_compared_made_with_made_and_true_with_true(tmp_path, monkeypatch):
    for i in range(2): save_page(draw_page(i, size=(96, 128)).color, tmp_path / f"mine/ch/p{i}.png")
    create_dataset(tmp_path / "mine", tmp_path / "d")
    monkeypatch.setattr(evaluation, "evaluate_page", lambda flow, true, style: ({"psnr": 1.}, Image.new("RGB", true.size, "tan")))
    row, = evaluate_dataset(None, tmp_path / "d", ("gray",))
    one, two = (page_lab(o.color.resize((256, 256))) for o in DatasetLoader(tmp_path / "d"))
    assert row["palette"] == 0 < row["palette_true"] == palette_distance(two, one) and row["pages"] == 2


def test_a_folder_called_all_is_not_the_mean_of_all(tmp_path, monkeypatch):
    for i, chapter in enumerate(("all", "other", "other")): save_page(draw_page(i, size=(96, 128)).color, tmp_path / f"mine/{chapter}/p{i}.png")
    create_dataset(tmp_path / "mine", tmp_path / "d")
    scores = iter((1., 4., 7.))
    monkeypatch.setattr(evaluation, "evaluate_page", lambda flow, true, style: ({"psnr": next(scores)}, true))
    assert [(o["group"], o["pages"], o["psnr"]) for o in evaluate_dataset(None, tmp_path / "d", ("gray",))] == [("all/", 1, 1), ("other", 2, 5.5), ("all", 3, 4)]


def test_a_table_says_how_much_of_the_detail_could_be_had():
    table = format_table([{"group": "a", "style": "gray", "pages": 2, "psnr": 20.123, "detail_10": .2, "detail_10_oracle": .5, "detail_25_sobel": .3, "detail_25_oracle": .6}, {"group": "b", "style": "gray", "pages": 1, "psnr": 8}]).splitlines()
    assert table[0] == "| measure | a gray | b gray |" and table[2] == "| pages | 2 | 1 |" and "| psnr | 20.12 | 8.00 |" in table
    assert "| detail_10 | 0.20 (40%) |  |" in table and "| detail_25_sobel | 0.30 (50%) |  |" in table and "| detail_10_oracle | 0.50 |  |" in table


def test_a_true_hint_is_the_mean_around_its_place():
    page = Image.new("RGB", (40, 350))
    page.paste((90, 180, 45), (20, 0, 22, 350))  # two columns of three, from one beside the place
    assert true_hints(page, [(20, 100), (21, 349), (39, 0)]) == [(20, 100, (60, 120, 30)), (21, 349, (60, 120, 30)), (39, 0, (0, 0, 0))]


class Recorder:
    "Stands in for the colorizer: notes the pages it studies; variants are paler and paler."
    nets = SimpleNamespace(palette=SimpleNamespace(views=torch.ones(())))
    def __init__(self): self.studied, self.told = [], []
    def study(self, color, like, height): self.studied.append(color.getpixel((0, 0))); return color
    def colorize(self, bw, height, variant=0, mood=None, hints=(), reference=()):
        self.told.append((mood is not None, [o[:2] for o in hints], len(reference)))
        return SimpleNamespace(image=Image.new("RGB", bw.size, (240 - 30 * variant, 0, 0)))


def test_the_nearest_pages_of_a_chapter_guide_a_page_and_never_the_page_itself():
    class Pages(list): records = property(lambda self: [SimpleNamespace(chapter=o.chapter) for o in self])
    pages = Pages(SimpleNamespace(color=Image.new("RGB", (32, 48), (250 - i, 0, 0)), chapter="ab"[i == 2], name=str(i)) for i in range(5))
    flow = Recorder()
    rows = {o["guidance"]: o for o in compare_guidance(flow, pages, n=2, points=(3, 5), references=(1, 2))}
    assert flow.studied == [(249, 0, 0), (247, 0, 0), (240, 0, 0), (240, 0, 0), (247, 0, 0), (249, 0, 0), (240, 0, 0), (240, 0, 0)]  # for each page its neighbours, then these as they were coloured
    for told, i in ((flow.told[:17], 0), (flow.told[17:], 4)):  # two neighbours coloured, each kind of guidance, six variants
        asked = [(x, y) for x, y in places_to_ask(manga_bw(pages[i].color, "gray").image, 5)]
        assert [(mood, len(hints), n) for mood, hints, n in told] == [(False, 0, 0)] * 3 + [(True, 0, 0)] + [(False, k, 0) for k in (3, 3, 5, 5)] + [(False, 0, k) for k in (1, 2, 2)] + [(False, 0, 0)] * 6
        assert [told[k][1] for k in (5, 7)] == [asked[:3], asked] and told[4][1] == told[6][1][:3] != asked[:3]
    assert rows["the best of six variants"]["psnr"] > rows["a variant"]["psnr"] and rows["the best of six variants"]["gain_db"] < 0 == rows["none"]["gain_db"]


def test_rows_of_different_measures_share_a_table(tmp_path):
    rows = [{"group": "née", "psnr": 1.5}, {"group": "b", "psnr": 2, "palette": 3}]
    assert save_rows(rows, tmp_path/"a.csv").read_text(encoding="utf-8").split() == ["group,psnr,palette", "née,1.5,", "b,2,3"]
    text = save_rows(rows, tmp_path/"a.json").read_text(encoding="utf-8")
    assert json.loads(text) == rows and "née" in text


def test_what_a_page_costs_is_the_median():
    seconds = iter([9., 5., 1., 2.])  # the first to count
    flow = SimpleNamespace(colorize=lambda bw: SimpleNamespace(seconds={"reading": next(seconds), "fusion": 6.}), device="cpu", nets=torch.nn.Linear(999, 1000))
    lines = bench_page(flow, (64, 96))
    assert {k: lines[k] for k in ("page", "parameters", "seconds", "  reading", "  fusion")} == {"page": "64 x 96", "parameters": "1.00 M", "seconds": "8.00", "  reading": "2.00 s, 25%", "  fusion": "6.00 s, 75%"}


def test_a_table_that_cannot_be_kept_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DualflowError, match="protected from writing; choose another place"): table_file(tmp_path/"new/a.json")


def test_a_folder_is_no_place_for_a_file(tmp_path):
    (tmp_path/"rows.json").mkdir()
    with pytest.raises(DualflowError, match="rows.json: this is a folder; name a file in it"): table_file(tmp_path/"rows.json")


def test_pictures_that_cannot_be_kept_are_refused_before_the_work(tmp_path, monkeypatch, capsys):
    (tmp_path/"a").write_bytes(b"")
    assert cli.evaluate(["--dataset_dir", str(tmp_path/"none"), "--pictures", str(tmp_path/"a/b.png")]) == 1 and "a is a file, not a folder; choose another place" in capsys.readouterr().err


def test_a_strip_is_smaller_on_a_sheet(monkeypatch):
    pages = [SimpleNamespace(color=Image.new("RGB", size, "tan")) for size in ((60, 90), (9000, 90))]
    monkeypatch.setattr(evaluation, "DatasetLoader", lambda *_: pages)
    monkeypatch.setattr(evaluation, "spread", lambda pages, n: pages[:n])
    sheet = picture_sheet(SimpleNamespace(colorize=lambda bw, **_: SimpleNamespace(image=Image.new("RGB", bw.size, "red"))), "d", ("gray",), height=40)
    assert sheet.size == (3 * 80 + 2 * 8, 2 * 40 + 8)
    assert [sheet.getpixel(o) for o in ((26, 39), (27, 0), (2 * 35, 0), (79, 48), (80, 48), (2 * 88, 48), (0, 49))] == [(210, 180, 140), (255, 255, 255), (255, 0, 0), (210, 180, 140), (255, 255, 255), (255, 0, 0), (255, 255, 255)]
