"Hints and references: they do what they say, where they say it, and nothing where nothing is said."
import json, struct, zipfile, zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageDraw

from commands import command
from dualflow.books import colour_book
from dualflow.cli import _in_colour
from dualflow.core import DualflowError, load_page, page_lab, page_lightness
from dualflow.dataset import create_dataset
from dualflow.drawing import draw_page
from dualflow.evaluation import evaluate_dataset
from dualflow.guidance import Lesson, correct, hint_sheet, known_colour, print_alike, read_mood, set_mood, take_lesson, to_kin, to_neighbours
from dualflow.metrics import colour_accuracy
from dualflow.pipeline import DualFlow, has_colour
from dualflow.printing import STYLES, manga_bw, print_lightness
from dualflow.sources import find_pages

SIZE = 320, 448


@pytest.fixture(scope="module")
def alone(flow, page): return flow.colorize(page.convert("L"))


def test_without_guidance_nothing_changes(flow, page, alone):
    "No hints, an empty sheet, no points, no reference: the same bits."
    for options in (dict(hints=None), dict(hints=[]), dict(hints=Image.new("RGBA", SIZE)), dict(reference=[])):
        assert flow.colorize(page.convert("L"), **options).image.tobytes() == alone.image.tobytes(), options


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(0, 255)] * 3))
def test_a_mood_moves_all_alike_but_paper(seed, rgb):
    "The mean is the mood's, what lay between two places lies between them still, lightness and paper stay."
    rng = torch.Generator().manual_seed(seed)
    colour, paper = 40 * torch.randn(1, 3, 12, 9, generator=rng), (torch.rand(1, 1, 12, 9, generator=rng) < .3).float()
    mood = read_mood(rgb)
    done, free = set_mood(colour, mood, paper), paper[0, 0] == 0
    moved = (done - colour)[0, 1:, free]
    assert torch.allclose(done[0, 1:, free].mean(1), mood, atol=1e-3) and torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-3)
    assert torch.equal(done[:, 0], colour[:, 0]) and torch.equal(done[0, :, ~free], colour[0, :, ~free])
    assert torch.equal(set_mood(colour, mood, torch.ones_like(paper)), colour)  # nothing but paper


def test_a_mood_is_a_colour_or_a_picture_of_it(tmp_path):
    Image.new("RGB", (40, 30), (210, 180, 140)).save(tmp_path / "mood.png")
    same = [read_mood(o) for o in ((210, 180, 140), [210, 180, 140], tuple(np.array([210, 180, 140])), "tan", "#d2b48c", tmp_path / "mood.png", str(tmp_path / "mood.png"), Image.open(tmp_path / "mood.png"))]
    assert all(torch.allclose(o, same[0], atol=.01) for o in same) and same[0][1] > 20
    for wrong, words in (("no.png", "neither sun"), ((1, 2), "not .r, g, b."), ((300, 0, 0), "0..255"), ((1., 2., 3.), "whole numbers"), (7, "no page"), ("a" * 300, "neither sun")):
        with pytest.raises(DualflowError, match=words): read_mood(wrong)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DualflowError, match="broken.png"): read_mood(tmp_path / "broken.png")
    Image.new("L", (40, 30), 120).save(tmp_path / "grey.png")
    with pytest.raises(DualflowError, match="grey.png: is not in colour"): read_mood(tmp_path / "grey.png")  # the page would come out grey


def test_its_own_mood_brings_a_page_closer(flow, page, alone):
    "Two true numbers help; a mood moves the page to its colour; margins stay white, and hints keep their word."
    told = flow.colorize(page.convert("L"), mood=page)
    off = lambda o: (page_lab(o.image)[:, 1:] - page_lab(page)[:, 1:]).square().sum(1).mean().item()
    assert off(told) < .95 * off(alone)
    dusk, night = (flow.colorize(page.convert("L"), mood=o).image for o in ("dusk", "night"))
    mean = lambda o: page_lab(o)[0, 1:].mean((1, 2))
    assert (mean(dusk) - mean(night))[0] > 8 and (mean(dusk) - mean(night))[1] > 25
    white = np.asarray(page).min(2) > 252
    assert white.mean() > .05 and np.abs(np.asarray(night).astype(int) - 255)[white].mean() < 3
    hinted = flow.colorize(page.convert("L"), mood="night", hints=[(160, 300, (200, 30, 40))]).image
    assert page_lab(hinted)[0, 1, 298:302, 158:162].mean() > page_lab(night)[0, 1, 298:302, 158:162].mean() + 20


def test_the_command_takes_a_mood(tmp_path, page):
    page.convert("L").save(tmp_path / "page.png"); page.save(tmp_path / "like.png")
    def run(mood): return command("colorize", "--input", tmp_path / "page.png", "--output", tmp_path / "out.png", "--mood", mood), tmp_path / "out.png"
    mean = lambda file: page_lab(load_page(file))[0, 2].mean().item()
    done, file = run("#7283ad")
    assert done.returncode == 0 and (blue := mean(file)) < -5
    done, file = run(tmp_path / "like.png")
    assert done.returncode == 0 and mean(file) > blue + 10
    done, _ = run("nocolour")
    assert done.returncode == 1 and "nocolour: neither sun" in done.stderr and "loaded" not in done.stdout  # told before anything is read


@pytest.mark.parametrize("as_points", [True, False])
def test_a_red_hint_reddens_its_surroundings_and_leaves_far_places_alone(flow, as_points):
    "Three grey fields of different shade; the middle one is hinted."
    grey = Image.new("L", (320, 640), 255)
    for i, shade in enumerate((80, 150, 220)): ImageDraw.Draw(grey).rectangle((40, 20 + 210 * i, 280, 180 + 210 * i), fill=shade, outline=0, width=3)
    before = flow.colorize(grey).image
    hints = [(160, 310, (220, 40, 40))]
    if not as_points: hints = Image.new("RGBA", grey.size); ImageDraw.Draw(hints).line((140, 310, 180, 310), fill=(220, 40, 40, 255), width=6)
    after = flow.colorize(grey, hints=hints).image
    moved = (page_lab(after) - page_lab(before))[0]
    near, above, below = (moved[1:, 40 + 210 * i:160 + 210 * i, 60:260].mean((1, 2)) for i in (1, 0, 2))
    assert near[0] > 20 and above.norm() < near.norm() / 4 and below.norm() < near.norm() / 4, (near, above, below)
    assert (page_lab(after)[:, 0] - page_lightness(grey)[:, 0])[:, 440:].abs().mean() < 2


@pytest.mark.parametrize("style", STYLES)
def test_its_own_colours_as_reference_bring_a_page_closer(flow, page, style):
    printed = manga_bw(page, style).image
    psnr = [colour_accuracy(flow.colorize(printed, reference=o).image, page)["psnr"] for o in (None, page)]
    assert psnr[1] > psnr[0] + .3, psnr


def test_true_points_help_and_more_help_more(flow, page, alone):
    spots = np.random.default_rng(0).integers(4, (SIZE[0] - 4, SIZE[1] - 4), (60, 2)).tolist()
    points = [(x, y, page.crop((x - 4, y - 4, x + 4, y + 4)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))) for x, y in spots]
    psnr = [colour_accuracy(flow.colorize(page.convert("L"), hints=points[:n]).image, page)["psnr"] for n in (0, 10, 60)]
    assert psnr[0] < psnr[1] and psnr[1] + .3 < psnr[2], psnr


def test_a_studied_reference_is_as_good_as_the_page(flow, page, alone):
    lesson = flow.study(page, page.convert("L"))
    assert isinstance(lesson, Lesson) and len(lesson.look)
    one, two = (flow.colorize(page.convert("L"), reference=o).image for o in (lesson, [page]))
    assert one.tobytes() == two.tobytes() != alone.image.tobytes()


def test_a_reference_is_printed_at_the_size_at_which_it_is_seen(flow):
    "A scan three times as large teaches the same: its dots are not made for a size that nobody looks at."
    page, other = (draw_page(o, size=(640, 896)).color for o in (11, 12))
    bw = manga_bw(page, "lineart").image
    plain, large = (flow.study(o, bw, height=896) for o in (other, other.resize((1920, 2688), Image.Resampling.BICUBIC)))
    assert (plain.look[:, :4].mean(0) - large.look[:, :4].mean(0)).abs().max() < 2 and (plain.off.mean(0) - large.off.mean(0)).abs().max() < 2


def test_hints_decide_where_they_are_and_overrule_a_reference():
    "At a known place the error vanishes; kin on another page say less than the place itself."
    torch.manual_seed(0)
    L, painted, tokens = torch.rand(1, 1, 128, 128) * 100, torch.randn(1, 3, 16, 16) * 20, torch.randn(1, 8, 4, 4)
    known = torch.zeros(1, 4, 16, 16); known[..., 3, 3] = torch.tensor([50., 60., 10., 1.]); known[..., 9, 12] = torch.tensor([50., -60., 10., 1.])
    here = take_lesson(L, tokens, painted, known)
    for lessons in ([], [Lesson(here.look, -here.off, here.place)]):
        done = painted + correct(L, tokens, torch.ones_like(L), painted, known, lessons)
        assert (done[0, 1, 3, 3] - 60).abs() < 3 and (done[0, 1, 9, 12] + 60).abs() < 3


def test_margins_of_line_art_stay_white_unless_somebody_paints_them(flow):
    page = draw_page(3).color
    line = manga_bw(page, "lineart").image
    margin = lambda **hints: page_lab(flow.colorize(line, **hints).image)[0, :, 4:-4, 4:16].flatten(1)
    spots = [(x, y, (30, 60, 160)) for x, y in ((150, 150), (600, 500), (200, 1200))]
    for hints in ([], spots): o = margin(hints=hints); assert o[0].min() > 98 and o[1:].abs().max() < 2
    o = margin(hints=[*spots, (10, 700, (250, 220, 120))])                     # cream, on the margin itself
    assert o[2].max() > 20 and o[0].mean() > 70


def test_many_references_share_the_places_to_ask():
    torch.manual_seed(0)
    L, painted, tokens = torch.rand(1, 1, 128, 128) * 100, torch.randn(1, 3, 16, 16) * 20, torch.randn(1, 8, 4, 4)
    nothing, *pages = (take_lesson(L, tokens, painted, torch.randn(1, 4, 16, 16) * 20 * (i > 0)) for i in range(5))
    shared = to_kin(L, tokens, painted, [nothing, *pages], most=39)
    assert torch.equal(shared, to_kin(L, tokens, painted, [nothing, *(Lesson(o.look[:10], o.off[:10], o.place[:10]) for o in pages)]))
    assert not torch.allclose(shared, to_kin(L, tokens, painted, [nothing, *pages]), atol=.1)


@pytest.mark.parametrize("hints, words", [(Image.new("RGB", SIZE), "transparent"), (Image.new("RGBA", (10, 10)), "page's size"), ([(1, 2)], "0..255"),
                                          ([(400, 2, (1, 2, 3))], "320 x 448"), ([(2, 448, (1, 2, 3))], "320 x 448"), ([(1, 2, (300, 0, 0))], "0..255"), ([(1, 2, (.2, .4, .9))], "0..255"), ("nowhere.png", "nowhere.png")])
def test_wrong_hints_are_told_with_their_remedy(flow, page, hints, words):
    with pytest.raises(DualflowError, match=words): flow.colorize(page.convert("L"), hints=hints)


def test_a_reference_that_cannot_be_read_is_named(flow, page, tmp_path):
    with pytest.raises(DualflowError, match="nowhere.png"): flow.colorize(page.convert("L"), reference=tmp_path / "nowhere.png")


def run(*args, name="colorize"): return command(name, *args)


def test_a_page_in_colour_leads_its_chapter(tmp_path, flow):
    "Its lesson is learned once, and is the one that `reference` would have taught; without the option it is not."
    lead, bw = draw_page(11, size=SIZE).color, draw_page(12, size=SIZE).color.convert("L")
    (tmp_path / "in").mkdir(); lead.save(tmp_path / "in/p1.png"); bw.save(tmp_path / "in/p2.png")
    for name, options in (("alone", ()), ("led", ("--consistent",)), ("shown", ("--reference", tmp_path / "in/p1.png"))):
        done = run("--input", tmp_path / "in", "--output", tmp_path / name, *options)
        assert done.returncode == 0, done.stderr
    alone, led, shown = (load_page(tmp_path / o / "p2.png").tobytes() for o in ("alone", "led", "shown"))
    assert led == shown != alone and led == flow.colorize(bw, reference=lead).image.tobytes()


def test_all_pages_in_colour_of_a_folder_and_an_archive_are_followed(tmp_path, flow):
    "Grey pages among them teach no grey; where no page has colours, that is said."
    bw, colours = draw_page(12, size=SIZE).color.convert("L"), [draw_page(i, size=SIZE).color for i in (11, 13, 14, 15)]
    (tmp_path / "ref").mkdir(); (tmp_path / "grey").mkdir(); bw.save(tmp_path / "p.png"); bw.save(tmp_path / "grey/p0.png"); bw.save(tmp_path / "ref/p0.png")
    for i, o in enumerate(colours[:2]): o.save(tmp_path / f"ref/p{i + 1}.png")
    with zipfile.ZipFile(tmp_path / "more.cbz", "w") as z:
        for i, o in enumerate(colours[2:]): o.save(tmp_path / "o.png"); z.write(tmp_path / "o.png", f"p{i}.png")
    done = run("--input", tmp_path / "p.png", "--output", tmp_path / "c.png", "--reference", tmp_path / "ref", tmp_path / "more.cbz")
    assert done.returncode == 0, done.stderr
    assert load_page(tmp_path / "c.png").tobytes() == flow.colorize(bw, reference=colours).image.tobytes()
    done = run("--input", tmp_path / "p.png", "--output", tmp_path / "x.png", "--reference", tmp_path / "grey")
    assert done.returncode == 1 and "no page in colour" in done.stderr and "Traceback" not in done.stderr and not (tmp_path / "x.png").exists()


def test_of_many_pages_twenty_are_followed_from_all_over(tmp_path, capsys):
    red = Image.new("RGB", (40, 56), "white"); red.paste((200, 40, 40), (0, 0, 20, 56))
    for i in range(30): (red if i else red.convert("L")).save(tmp_path / f"p{i}.png")
    (tmp_path / "torn.png").write_bytes(b"")
    chosen = [int(o.name[1:]) for o in _in_colour([str(tmp_path)])]
    assert len(chosen) == 20 and chosen == sorted(set(chosen)) and chosen[0] == 1 and chosen[-1] >= 28 and max(np.diff(chosen)) == 2
    said = capsys.readouterr()
    assert "following 20 of 29 pages" in said.out and "torn.png" in said.err and _in_colour([]) == []


def test_evaluation_says_what_following_brings(tmp_path, page):
    (tmp_path / "mine/ch").mkdir(parents=True); page.save(tmp_path / "mine/ch/p1.png")
    create_dataset(tmp_path / "mine", tmp_path / "data")
    gain = []
    for options in ((), ("--reference", tmp_path / "mine")):
        done = run("--dataset_dir", tmp_path / "data", "--styles", "gray", "--save", tmp_path / "rows.json", *options, name="evaluate")
        assert done.returncode == 0 and ("following 1 of 1 page" in done.stdout) == bool(options), done.stderr
        gain.append(json.loads((tmp_path / "rows.json").read_text())[0]["gain_db"])
    assert gain[1] > gain[0] + .3, gain


def test_references_are_studied_once_for_each_style(flow, tmp_path, page, monkeypatch):
    for i in range(2): (tmp_path / "mine/ch").mkdir(parents=True, exist_ok=True); page.save(tmp_path / f"mine/ch/p{i}.png")
    create_dataset(tmp_path / "mine", tmp_path / "data")
    studied, study = [], DualFlow.study
    monkeypatch.setattr(DualFlow, "study", lambda self, *args, **options: studied.append(1) or study(self, *args, **options))
    evaluate_dataset(flow, tmp_path / "data", STYLES[:2], reference=[page, page])
    assert len(studied) == 4  # two references in two styles, however many pages


def test_points_that_are_none_are_named():
    for point in ((float("inf"), 3, (1, 2, 3)), (3, 3, (float("inf"), 2, 3)), (3, 3, (float("nan"), 2, 3)), (3,), "x"):
        with pytest.raises(DualflowError, match="is not"): hint_sheet([point], SIZE)
    with pytest.raises(DualflowError, match="neither"): hint_sheet(5, SIZE)


def test_hint_sheets_of_other_kinds(tmp_path):
    "A palette with a clear colour, and a sheet that was scanned on its side."
    sheet = Image.new("RGBA", SIZE); sheet.paste((220, 40, 40, 255), (100, 100, 130, 130))
    flat = sheet.quantize(8); flat.save(tmp_path / "p.png")
    exif = Image.Exif(); exif[0x0112] = 6
    sheet.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "e.png", exif=exif)
    for name in ("p.png", "e.png", flat):
        read = hint_sheet(name if name is flat else tmp_path / name, SIZE)
        assert read.mode == "RGBA" and read.size == SIZE and read.getchannel("A").getbbox() == (100, 100, 130, 130), name
    grey = Image.new("LA", SIZE); grey.putpixel((5, 7), (90, 255))
    assert hint_sheet(grey, SIZE).getbbox() == (5, 7, 6, 8) and hint_sheet(grey, SIZE).getpixel((5, 7)) == (90, 90, 90, 255)
    with pytest.raises(DualflowError, match="p.png.*page's size"): hint_sheet(tmp_path / "p.png", (10, 10))
    for side in (12_000, 40_000):  # a few bytes that would unpack to gigabytes
        head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)))
        with pytest.raises(DualflowError, match="bomb.png"): hint_sheet(tmp_path / "bomb.png", SIZE)


def test_the_command_takes_hints_and_names_what_is_wrong(tmp_path, page, alone):
    page.convert("L").save(tmp_path / "p.png"); page.save(tmp_path / "opaque.png"); (tmp_path / "torn.png").write_bytes(b"no")
    sheet = Image.new("RGBA", SIZE); ImageDraw.Draw(sheet).rectangle((100, 100, 130, 130), fill=(220, 40, 40, 255)); sheet.save(tmp_path / "hints.png")
    done = run("--input", tmp_path / "p.png", "--output", tmp_path / "o.png", "--hints", tmp_path / "hints.png")
    assert done.returncode == 0 and load_page(tmp_path / "o.png").tobytes() != alone.image.tobytes()
    for name, words in (("opaque.png", "transparent"), ("torn.png", "torn.png"), ("nowhere.png", "nowhere.png")):
        done = run("--input", tmp_path / "p.png", "--output", tmp_path / "x.png", "--hints", tmp_path / name)
        assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr and not (tmp_path / "x.png").exists()


def small_page(): # L, tokens, what was painted
    torch.manual_seed(0)
    return torch.rand(1, 1, 128, 128) * 100, torch.randn(1, 8, 4, 4), torch.randn(1, 3, 16, 16) * 20


def test_what_is_known_here_outweighs_what_others_say_and_pages_are_apart():
    L, tokens, painted = small_page()
    known = torch.zeros(1, 4, 16, 16); nothing = take_lesson(L, tokens, painted, known)
    known[..., 3, 3] = torch.tensor([50., 60., 10., 1.])
    one = take_lesson(L, tokens, painted, known)
    here, there = (to_kin(L, tokens, painted, o)[0, :, 3, 3].norm() for o in ([one, nothing], [nothing, one]))
    assert here > 1.2 * there
    far = Lesson(one.look, one.off, one.place + 1)
    assert torch.allclose(to_kin(L, tokens, painted, [nothing, one, one]), to_kin(L, tokens, painted, [nothing, one, far]), atol=1e-4)


def test_a_hint_on_ink_says_nothing_of_lightness():
    L, tokens, painted = small_page()
    painted[:, 0] = 90
    passes, known = torch.ones_like(L), torch.zeros(1, 4, 16, 16)
    passes[..., 28, 28] = 0
    known[..., 3, 3] = known[..., 9, 12] = torch.tensor([50., 60., 10., 1.])
    off = correct(L, tokens, passes, painted, known)
    assert off[0, 0, 3, 3] > -15 and off[0, 0, 9, 12] < -30 and off[0, 1, 3, 3].abs() > 5


def test_ink_keeps_its_lightness_whatever_was_learned():
    L, tokens, painted = small_page()
    known = torch.zeros(1, 4, 16, 16); known[..., 3, 3] = torch.tensor([50., 60., 10., 1.])
    lesson = take_lesson(L, tokens, painted * 0, known)
    off = lambda passes: correct(L, tokens, torch.full_like(L, passes), painted, 0 * known, [lesson])
    assert off(.7)[:, 0].abs().max() == 0 < off(1.)[:, 0].abs().max() and off(.7)[:, 1:].abs().max() > 0


def test_lessons_are_short_and_points_grow_with_the_page():
    L, tokens, painted = torch.rand(1, 1, 320, 320), torch.rand(1, 8, 10, 10), torch.rand(1, 3, 40, 40)
    lesson = take_lesson(L, tokens, painted, torch.ones(1, 4, 40, 40))
    assert len(lesson.look) == 1000 and lesson.place[:, 0].mean().item() == pytest.approx(.5, abs=.05)  # from all over the page
    assert hint_sheet([(500, 900, (1, 2, 3))], (2000, 3500)).getbbox() == (490, 890, 511, 911)
    assert hint_sheet([(5, 7, (1, 2, 3))], (20, 20)).getbbox() == (4, 6, 7, 9)


def test_a_reference_is_studied_as_the_page_is_coloured(flow, page):
    printed = page.convert("L")
    assert flow.study(page, printed).off[:, 0].abs().mean() < 2  # what is known is known under the ink
    for options in (dict(vivid=1.5, budget=0, height=320), dict(mood="night"), dict(variant=2)):
        shown, studied = (flow.colorize(printed, reference=o, **options).image.tobytes() for o in (page, flow.study(page, printed, **options)))
        assert shown == studied, options


def test_a_leading_page_is_studied_as_its_chapter_is_coloured(tmp_path, flow):
    lead, bw = draw_page(11, size=SIZE).color, draw_page(12, size=SIZE).color.convert("L")
    (tmp_path/"in").mkdir(); lead.save(tmp_path/"in/p1.png"); bw.save(tmp_path/"in/p2.png")
    assert colour_book(flow, find_pages(tmp_path/"in"), tmp_path/"in", tmp_path/"out", consistent=True, vivid=1.5) == (2, 0)
    assert load_page(tmp_path/"out/p2.png").tobytes() == flow.colorize(bw, reference=lead, vivid=1.5).image.tobytes()


def test_paint_is_what_covers(flow, page):
    "A sheet without a transparent place says nothing, and the fringe of a soft brush is no paint."
    for o in (page.convert("RGBA"), Image.new("RGBA", page.size, (0, 0, 0, 200))):
        with pytest.raises(DualflowError, match="cover all of the page"): flow.colorize(page, hints=o)
    hard, fringe = (Image.new("RGBA", page.size) for _ in range(2))
    ImageDraw.Draw(fringe).ellipse((40, 40, 160, 160), fill=(0, 255, 0, 100))
    for o in (hard, fringe): ImageDraw.Draw(o).ellipse((90, 90, 110, 110), fill=(200, 40, 40, 255))
    assert flow.colorize(page, hints=fringe).image.tobytes() == flow.colorize(page, hints=hard).image.tobytes()
    assert fringe.getpixel((50, 100))[3] == 100  # what is given stays as it is
    half = Image.new("RGBA", (20, 20)); half.putpixel((5, 7), (1, 2, 3, 128)); half.putpixel((6, 7), (1, 2, 3, 127))
    assert hint_sheet(half, (20, 20)).getbbox() == (5, 7, 6, 8)


def test_moods_are_words():
    assert torch.equal(read_mood("Night"), read_mood("night")) and torch.equal(read_mood("RED"), read_mood("red"))
    assert torch.equal(read_mood("#d2b48c40"), read_mood("tan"))  # an alpha is none of its colour


def test_the_margins_of_a_mood_do_not_count():
    page = Image.new("RGB", (400, 600), "white"); page.paste("tan", (40, 40, 360, 560))
    assert torch.allclose(read_mood(page), read_mood("tan"), atol=.3)


def test_what_is_half_paper_moves_half_as_far():
    mood, paper = torch.tensor([10., -20.]), torch.tensor([0., .5, 1]).view(1, 1, 1, 3)
    assert torch.allclose(set_mood(torch.zeros(1, 3, 1, 3), mood, paper)[0, 1:, 0], torch.tensor([[10., 5, 0], [-20, -10, 0]]))


def test_a_reference_has_colours_and_may_be_a_file(tmp_path, flow, page):
    page.save(tmp_path / "p.png"); page.convert("L").save(tmp_path / "grey.png")
    for o in (page.convert("L"), tmp_path / "grey.png"):
        with pytest.raises(DualflowError, match="not in colour"): flow.colorize(page.convert("L"), reference=o)
    a, b = flow.study(page, page.convert("L")), flow.study(tmp_path / "p.png", tmp_path / "grey.png")
    assert torch.equal(a.off, b.off)
    pale = Image.blend(page.convert("L").convert("RGB"), page, .06)
    assert not has_colour(pale) and len(flow.study(pale, page.convert("L")).off)  # faint colours can be followed


def test_the_smallest_touch_is_taken_at_its_word():
    "One pixel of a cell, half covered by ink, and nothing said of the rest: the paint under it is twice as light."
    mask, passes = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    mask[..., 3, 3], passes[..., 3, 3] = 1, .5
    known = known_colour(torch.tensor([30., 10, -20]).view(1, 3, 1, 1).expand(-1, -1, 16, 16), mask, passes, (16, 16))
    assert torch.allclose(known[0, :, 0, 0], torch.tensor([60., 10, -20, 1])) and not known[0, :, 1].any()


def test_places_are_told_in_page_heights_and_tokens_by_their_length():
    lesson = take_lesson(torch.rand(1, 1, 128, 64), torch.full((1, 4, 4, 2), 3.), torch.rand(1, 3, 16, 8), torch.ones(1, 4, 16, 8))
    assert lesson.place.max(0).values.tolist() == [15 / 16, 7 / 16] and torch.allclose(lesson.look[:, 4:], torch.full((128, 4), 5.))  # 3 / (.3 * 2)


def test_paint_under_dark_ink_is_as_light_as_it_must_be_and_white_at_most():
    passes, mask = torch.full((1, 1, 8, 8), .05), torch.ones(1, 1, 8, 8)
    for L, paint in ((4., 80), (50., 100)): assert known_colour(torch.tensor([L, 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 8, 8), mask, passes, (8, 8))[0, 0, 0, 0].item() == pytest.approx(paint, abs=.01)


def test_what_a_place_says_of_another_is_what_the_process_says():
    "An error of 1 at a place of the same look; and less, if another place an eighth of the page away had none, if the tokens lie 1 apart, or if it is another page."
    L, tokens, painted = torch.full((1, 1, 8, 8), 50.), torch.zeros(1, 4, 1, 1), torch.zeros(1, 3, 1, 1)
    one = take_lesson(L, tokens, painted, torch.ones(1, 4, 1, 1))
    two = Lesson(one.look.repeat(2, 1), torch.tensor([[1., 1, 1], [0, 0, 0]]), torch.tensor([[0., 0], [.125, 0]]))
    nothing, tokens_apart = take_lesson(L, tokens, painted, torch.zeros(1, 4, 1, 1)), torch.tensor([.6, 0, 0, 0]).view(1, 4, 1, 1)
    for other, lessons, says in ((tokens, [one], .25 / 1.15), (tokens, [two], .25 / (1.15 + .25 + .85 * np.exp(-1))), (tokens_apart, [one], (.15 + .1 * np.exp(-1)) / 1.15), (tokens, [nothing, one], .25 / 1.6)):
        assert torch.allclose(to_kin(L, other, painted, lessons), torch.full((1, 3, 1, 1), says), atol=1e-4)


def test_a_hint_fades_with_the_square_of_the_height():
    known = torch.tensor([1., 0]).view(1, 1, 2, 1)
    here, beside = to_neighbours(torch.full((1, 1, 2, 1), 50.), known, known).flatten().tolist()
    assert here == pytest.approx(1, abs=.01) and beside / here == pytest.approx(1 / (1 + .8 / 4), abs=1e-3)


@pytest.mark.parametrize("sheets", range(5))
def test_a_reference_is_printed_with_as_many_sheets(sheets):
    page = draw_page(3).color
    printed = print_lightness(page_lab(page)[:, :1], "screentone", sheets=sheets).L
    assert torch.equal(print_alike(page, printed), printed)


def test_prints_are_compared_at_the_size_at_which_they_are_seen(flow, page, monkeypatch):
    seen = []
    def alike(color, L): seen.append((color.size, tuple(L.shape[-2:]))); raise DualflowError("seen")
    monkeypatch.setattr("dualflow.pipeline.print_alike", alike)
    with pytest.raises(DualflowError, match="seen"): flow.study(page, page.convert("L"), height=224)
    assert seen == [((160, 224), (224, 160))]
