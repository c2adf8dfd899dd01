"Places to ask about: they leave least unknown, they are places where a brush can go, and true colours there are worth more than elsewhere."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from kornia.metrics import psnr
from PIL import Image

from dualflow.core import DualflowError, PageError, load_page, page_lightness, to_tensor
from dualflow.drawing import draw_page
from dualflow.evaluation import true_hints
from dualflow.printing import STYLES, manga_bw
from dualflow.questions import DOUBT, as_places, condition, error_correlation, most_telling, places_to_ask

PAGE = draw_page(8)


def printed(style, page=PAGE): return manga_bw(page.color, style).image


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
def test_errors_go_together_as_a_correlation_says(seed, h, w):
    "Symmetric, 1 of a place with itself, never negative, and positive definite; what is known lowers it, and answers may come in any order."
    rng = torch.Generator().manual_seed(seed)
    rho = error_correlation(100 * torch.rand(1, 1, h, w, generator=rng))
    assert rho.shape == (h * w, h * w) and torch.allclose(rho, rho.T, atol=1e-4) and torch.allclose(rho.diagonal(), torch.ones(h * w), atol=1e-4)
    assert rho.min() >= -1e-4 and rho.max() <= 1 + 1e-4 and torch.linalg.eigvalsh(rho.double()).min() > -1e-4
    known = torch.randperm(h * w, generator=rng)[:4].tolist()
    left = condition(rho, known)
    assert (left.diagonal() <= rho.diagonal() + 1e-4).all() and (left.diagonal()[known] <= DOUBT + 1e-4).all() and left.diagonal().min() > -1e-4
    one_by_one = rho
    for o in reversed(known): one_by_one = condition(one_by_one, [o])
    assert torch.allclose(left, one_by_one, atol=1e-3) and torch.allclose(condition(rho, []), rho)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 7))
def test_each_question_leaves_least_unknown(seed, n):
    "No other place that may be asked about would leave less, tried one by one; none is asked about twice."
    rng = torch.Generator().manual_seed(seed)
    rho, weight = error_correlation(100 * torch.rand(1, 1, 5, 4, generator=rng)), torch.rand(20, generator=rng)
    may = (weight >= .5).nonzero()[:, 0].tolist()
    chosen = most_telling(rho, weight, n)
    assert len(set(chosen)) == len(chosen) == min(n, len(may)) and set(chosen) <= set(may)
    for i, o in enumerate(chosen):
        unknown = {k: (condition(rho, chosen[:i] + [k]).diagonal() * weight).sum().item() for k in may if k not in chosen[:i]}
        assert unknown[o] <= min(unknown.values()) + 1e-3


@pytest.mark.parametrize("style", STYLES)
def test_a_page_asks_where_a_brush_can_go(style):
    "On the page, off the ink, off margins and gutters, no place twice; the same again, the first of many are the few, and at twice the size twice as far."
    bw = printed(style)
    asked = places_to_ask(bw, 12)
    L = page_lightness(bw)[0, 0]
    assert len(set(asked)) == 12 and places_to_ask(bw, 4) == asked[:4] == places_to_ask(bw.convert("RGB"), 4)
    margin = min(min(x, bw.width - x, y, bw.height - y) for x, y in asked)
    assert margin > 20
    for x, y in asked: assert L[max(y - 4, 0):y + 4, max(x - 4, 0):x + 4].mean() > (30 if style == "gray" else 60)
    double = places_to_ask(bw.resize((2 * bw.width, 2 * bw.height), Image.Resampling.LANCZOS), 4)
    near = [min(abs(x - 2 * a) + abs(y - 2 * b) for a, b in asked[:6]) for x, y in double]
    assert sum(o < 128 for o in near) >= 3, near


def test_white_is_a_question_where_it_is_common():
    "A balloon is none among greys; in line art all is white, and it counts."
    grey = Image.new("L", (400, 400), 120)
    grey.paste(255, (150, 150, 250, 200))
    weight = as_places(page_lightness(grey))[1]
    assert weight.max() == 1 and weight.min() < .3 and weight.mean() > .9
    assert as_places(page_lightness(Image.new("L", (400, 400), 255)))[1].min() in (0, 1)


def test_answers_move_it_on():
    "A place that is painted is not asked about again, nor is what it tells of; points, a sheet and a file say the same."
    bw = printed("gray")
    asked = places_to_ask(bw, 6)
    dabs = [(x, y, (200, 30, 40)) for x, y in asked[:3]]
    assert places_to_ask(bw, 3, hints=dabs) == asked[3:]
    sheet = Image.new("RGBA", bw.size)
    for x, y, rgb in dabs: sheet.paste((*rgb, 255), (x - 2, y - 2, x + 3, y + 3))
    moved = places_to_ask(bw, 3, hints=sheet)
    assert not set(moved) & set(asked[:3]) and set(moved) & set(asked[3:])
    assert places_to_ask(bw, 3, hints=Image.new("RGBA", bw.size)) == places_to_ask(bw, 3, hints=[]) == asked[:3]
    sheet = Image.new("RGBA", bw.size, "tan"); sheet.putpixel((0, 0), (0, 0, 0, 0))
    assert places_to_ask(bw, 3, hints=sheet)  # all is known: still no error


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 500), (700, 5), (33, 41)])
def test_small_and_odd_pages(size):
    for light in (0, 128, 255):
        asked = places_to_ask(Image.new("L", size, light), 3)
        assert len(asked) <= 3 and all(0 <= x < size[0] and 0 <= y < size[1] for x, y in asked)
    assert places_to_ask(Image.new("L", size, 128), 0) == [] and places_to_ask(Image.new("L", size, 128), 1)


def test_what_does_not_fit_is_told(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PageError, match="broken.png"): places_to_ask(tmp_path / "broken.png")
    with pytest.raises(DualflowError, match="page is 40 x 60"): places_to_ask(Image.new("L", (40, 60)), hints=Image.new("RGBA", (30, 60)))
    for n in (-1, 2.5, None):
        with pytest.raises(DualflowError, match=f"n {n}"): places_to_ask(Image.new("L", (40, 60)), n)


@pytest.mark.parametrize("style", ["gray", "lineart"])
def test_true_colours_where_it_asks_are_worth_more(flow, comics, style):
    "On real pages, five asked for bring more than five random ones do on average."
    gains = {"random": [], "asked": []}
    for file in sorted((comics / "val").rglob("*.jpg"))[::16]:
        true = load_page(file)
        true = true.resize((round(true.width * 512 / true.height), 512), Image.Resampling.LANCZOS)
        bw = printed(style, page=type("", (), {"color": true}))
        near = lambda **how: psnr(to_tensor(flow.colorize(bw, **how).image), to_tensor(true), 1.).item()
        base = near()
        for seed in range(2): gains["random"].append(near(hints=true_hints(true, np.random.default_rng(seed).integers(0, true.size, (5, 2)).tolist())) - base)
        gains["asked"].append(near(hints=true_hints(true, places_to_ask(bw))) - base)
    gains = {k: sum(o) / len(o) for k, o in gains.items()}
    assert gains["asked"] > 1.1 * gains["random"] > 0, gains


def test_no_place_is_asked_about_twice_and_paper_is_apart():
    assert sorted(most_telling(torch.ones(3, 3), torch.ones(3), 9)) == [0, 1, 2]  # though one answer tells of all
    page = torch.full((1, 1, 700, 500), 100.)
    for top in (20, 360): page[..., top:top + 320, 20:480] = 0; page[..., top + 3:top + 317, 23:477] = 60
    guide, weight, _ = as_places(page)
    assert (guide.flatten()[weight == 0] == -50).all() and (weight == 0).any() and guide.flatten()[weight > .9].min() > 0
    assert as_places(torch.rand(1, 1, 3000, 800) * 100)[0].numel() < 1700 and as_places(torch.full((1, 1, 8, 8), 50.))[2] == [(4, 4)]
    assert as_places(torch.rand(1, 1, 400, 360) * 100)[0].numel() < 1500
    page = torch.full((1, 1, 300, 200), 100.); page[..., 20:-20, 20:-20] = 0; page[..., 23:-23, 23:-23] = 60
    assert as_places(page)[0][0, 0, 18, :4].tolist() == [-50, -50, -50, 60]  # the third is half paper


def test_what_pads_a_page_is_not_asked_about(): assert len(places_to_ask(Image.new("L", (33, 41), 128), 99)) == 5 * 6


def test_a_place_counts_from_a_half_on_and_errors_fade_with_the_height_of_the_page():
    assert most_telling(torch.eye(3), torch.tensor([.49, .5, .6]), 3) == [2, 1]
    for h, w, rho in ((1, 2, 1 / (1 + .8)), (2, 1, 1 / (1 + .8 / 4))): assert error_correlation(torch.full((1, 1, h, w), 50.))[0, 1] == pytest.approx(rho, abs=1e-3)


def test_white_counts_three_times_its_share_and_light_grey_fully():
    for shade, counts in ((255, .72), (237, 1)):
        page = Image.new("L", (400, 400), 120); page.paste(shade, (0, 0, 96, 400))  # 24 % of it
        assert as_places(page_lightness(page))[1].min() == pytest.approx(counts, abs=.01)
