"What must hold for any page, map and budget."
import tracemalloc
from functools import cache
from types import SimpleNamespace

import numpy as np, pytest, torch, torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from dualflow.attention import LOCAL_MAPS, AttentionModel, TokenBlock, colour_detail, detail_share
from dualflow.colorizers import compose, transmission
from dualflow.augmentation import scan
from dualflow.core import fit_page, grey_image, into_gamut, load_page, page_lab, page_lightness, working_page, working_size
from dualflow.drawing import draw_page
from dualflow.evaluation import zone_and_borders
from dualflow.fusion import PAPER, Painted, check_coherence, find_paper, finish_page, flow_along, harmonise, lightest_paint, merge_colorizations, protect_paper, settle, straightness, upsample_guided
from dualflow.metrics import bleed, colour_accuracy, colourfulness, palette_distance, paper_tint, seam_index, seconds
from dualflow.printing import STYLES, dot_pitch, print_lightness, readable_page, tone_dots, white_paper
from dualflow.splitting import Region, cut_patches, feather
from dualflow.streaming import working_halves
from kornia.color import rgb_to_lab
from PIL import Image


@cache
def drawn(seed): return draw_page(seed).color
def drawn_lab(seed): return page_lab(drawn(seed))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from(STYLES), st.floats(4, 9), st.floats(0, 90))
def test_true_gate_composes_to_what_the_ink_lets_through(seed, style, pitch, angle):
    g = torch.Generator().manual_seed(seed)
    L = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6, generator=g) * 100, size=(64, 64), mode="nearest")
    o = print_lightness(L, style, pitch, angle)
    assert 0 <= o.L.min() and o.L.max() <= 100
    assert (transmission(o.L, o.gate) - (1 - o.ink)).abs().max() < .03


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31))
def test_any_colour_becomes_one_that_exists_with_its_lightness(seed):
    g = torch.Generator().manual_seed(seed)
    lab = torch.rand(1, 3, 12, 12, generator=g) * torch.tensor([100., 220, 220]).view(1, 3, 1, 1) - torch.tensor([0., 110, 110]).view(1, 3, 1, 1)
    rgb = into_gamut(lab)
    assert 0 <= rgb.min() and rgb.max() <= 1
    assert (rgb_to_lab(rgb)[:, 0] - lab[:, 0]).abs().max() < 1.


def test_ink_is_never_lightened_by_a_full_gate():
    L = torch.rand(1, 1, 32, 32) * 100
    colour = torch.rand(1, 3, 32, 32) * 100
    assert (compose(colour, transmission(L, torch.ones_like(L)))[:, :1] <= L + 1e-4).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 70), st.integers(1, 70))
def test_upsampling_stays_between_its_neighbours(h, w, H, W):
    x = torch.rand(1, 2, h, w)
    out = upsample_guided(x, torch.rand(1, 1, H, W) * 100)
    assert out.shape == (1, 2, H, W) and x.min() - 1e-5 <= out.min() and out.max() <= x.max() + 1e-5


def test_harmonising_what_agrees_changes_nothing():
    page = torch.rand(1, 3, 80, 80) * 50
    corners = [(0, 0), (20, 20), (40, 0)]
    assert harmonise(cut_patches(page, corners, (40, 40)), corners, page).abs().max() < 1e-3


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.floats(.3, 5), st.floats(0, 1))
def test_what_flows_stays_between_what_was_painted(h, w, seed, outline, fade):
    g = torch.Generator().manual_seed(seed)
    guide, value, trust = torch.rand(1, 1, h, w, generator=g) * 100, torch.rand(1, 2, h, w, generator=g) * 60 - 30, torch.rand(1, 1, h, w, generator=g) + 1e-3
    flown = flow_along(guide, value, trust, outline)
    assert value.amin() - 1e-3 <= flown.min() and flown.max() <= value.amax() + 1e-3 and torch.allclose(flow_along(guide, torch.ones_like(value), trust, outline), torch.ones_like(value), atol=1e-4)
    assert (flow_along(guide, value.abs(), trust, outline, fade) <= flow_along(guide, value.abs(), trust, outline) + 1e-3).all()


@pytest.mark.parametrize("stain", [10, 20])
def test_each_thing_comes_to_its_colour_and_lightness_is_left_alone(stain):
    lab = F.avg_pool2d(drawn_lab(7)[..., :704, :960], 2)
    noise = F.interpolate(torch.randn(1, 2, 20, 28, generator=torch.Generator().manual_seed(1)) * stain, size=lab.shape[-2:], mode="bicubic")
    painted = lab + torch.cat([torch.zeros_like(lab[:, :1]), noise], 1)
    settled = settle(painted, lab[:, :1])
    off = lambda o: (o - lab)[:, 1:].norm(dim=1).mean()
    assert off(settled) < .75 * off(painted) and torch.equal(settled[:, 0], painted[:, 0])


def test_a_seam_is_seen_at_each_side_of_a_patch():
    "A step of 10 at one edge of a patch, and none at the page's own edges."
    for box, edges in (((40, 30, 20, 25), 4), ((0, 0, 20, 25), 2), ((80, 75, 20, 25), 2), ((0, 0, 100, 100), 0)):
        x, y, w, h = box
        _, border = zone_and_borders([Region(x, y, w, h)], (100, 100))
        flat = torch.zeros(1, 3, 100, 100)
        whole = flat.clone(); whole[0, 1, y:y + h, x:x + w] = 10
        assert seam_index(whole, flat, torch.from_numpy(border)) == pytest.approx(5 if edges else 0, abs=.5)
        across, along = slice(x, x + w), slice(y, y + h)
        for line, there in (((y, across), y > 0), ((y + h - 1, across), y + h < 100), ((along, x), x > 0), ((along, x + w - 1), x + w < 100)):
            step = flat.clone(); step[(0, 1, *line)] = 10  # a line along one side
            assert (seam_index(step, flat, torch.from_numpy(border)) > .5) == there, (box, line)


def surely_right(paper, lab): # Share of what was found that is white in the true page, or a pixel beside it
    truly = (F.avg_pool2d(lab, 2, ceil_mode=True) - torch.tensor(PAPER).view(1, 3, 1, 1)).norm(dim=1, keepdim=True) < 8
    return F.max_pool2d(truly.float(), 3, 1, 1)[paper > 0].mean().item()


def framed(h=700, w=500, gap=0): # A page of two framed panels; `gap`: what is missing in the upper frame
    page = torch.full((h, w), 100.)
    for top, bottom in ((20, h // 2 - 8), (h // 2 + 8, h - 20)):
        for y in (top, bottom): page[y:y + 3, 20:w - 20] = 0
        for x in (20, w - 23): page[top:bottom + 3, x:x + 3] = 0
    if gap: page[20:23, 200:200 + gap] = 100
    return page[None, None]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("worn", [False, True])
def test_margins_and_gutters_are_found_however_printed_and_scanned(style, worn):
    for seed in (2, 3, 11, 20):
        lab = drawn_lab(seed)
        L = print_lightness(lab[:, :1], style).L
        paper = find_paper(scan(L, .9, 3., 30) if worn else L)
        assert paper.shape == (1, 1, 704, 496) and set(paper.unique().tolist()) == {0, 1}
        assert paper.mean() > .1 and surely_right(paper, lab) > .98


@settings(deadline=None, max_examples=12)
@given(st.integers(400, 2000), st.sampled_from([2, 3, 11, 20]))
def test_margins_and_gutters_are_found_at_any_size(height, seed):
    page = drawn(seed)
    L = print_lightness(page_lab(page.resize((round(height * .7), height)))[:, :1], "lineart").L
    assert find_paper(L).mean() > .1


def test_margins_of_a_strip_are_those_of_its_pages():
    alone = [print_lightness(drawn_lab(o)[:, :1], "lineart").L for o in (2, 3, 11, 20)]
    strip, pages = find_paper(torch.cat(alone, 2)).mean(), sum(find_paper(o).mean() for o in alone) / 4
    assert pages > .1 and abs(strip / pages - 1) < .1


def test_strips_are_worked_on_and_learned_from_at_one_size():
    strip = Image.new("RGB", (80, 2000), "white")
    page = SimpleNamespace(color=strip, bw=None, record=SimpleNamespace(style="gray"))
    for height in (160, 80): assert working_page(page_lightness(strip), height)[1] == working_size(strip.size, height)[::-1]
    assert working_halves(page)[0].size == working_size(strip.size) == strip.size      # not a thread of 56 pixels
    page.color = Image.new("RGB", (800, 20_000))
    assert working_halves(page)[0].size == working_size((800, 20_000)) == (488, 12194)


def test_densities_may_differ_where_dots_do_not():
    L = torch.full((3, 1, 64, 64), 60.)
    some = print_lightness(L, "screentone", density=torch.tensor([.6, 1., 1.4]))
    for i, density in enumerate((.6, 1., 1.4)): assert torch.allclose(some.tone[i:i + 1], print_lightness(L[:1], "screentone", density=density).tone, atol=1e-4)
    assert some.tone[0].mean() < some.tone[1].mean() < some.tone[2].mean()
    assert print_lightness(L[:1], "screentone", density=9.).tone.mean() == pytest.approx(.9, abs=.03)  # some paper is left


def test_each_page_of_a_batch_has_its_own_sheets_and_grey():
    L = torch.tensor([90., 70., 50., 35., 10.]).repeat_interleave(64).expand(1, 1, 64, 320)
    ways = dict(pitch=torch.tensor([6., 6., 0., 0.]), sheets=torch.tensor([4, 1, 4, 2]))
    some = tone_dots(L.repeat(4, 1, 1, 1), **ways)
    for i in range(4): assert torch.allclose(some[i:i + 1], tone_dots(L, ways["pitch"][i].item(), sheets=ways["sheets"][i].item()), atol=1e-5)
    middle = some[..., 24:40, :].unflatten(-1, (5, 64))[..., 24:40].transpose(2, 3)  # (4, 1, 5 tones, 16, 16)
    assert torch.equal(middle[2].flatten(2).unique(dim=-1)[0, :, 0], torch.tensor([0, .12, .25, .42, .6]))
    assert middle[1, 0, :4].max() == 0 and middle[1, 0, 4].mean() > .5 and middle[3, 0, :3].max() == 0 and middle[3, 0, 3].min() > .4
    printed = print_lightness(L.repeat(4, 1, 1, 1), "screentone", **ways)
    assert printed.gate[2:].min() > .999 and printed.gate[0].min() < .01 and printed.tone[2:].max() == 0  # plain grey is kept, dots are not


def test_pictures_without_frames_have_no_margins_to_find():
    lab = drawn_lab(7)
    for style in STYLES:
        L = print_lightness(lab[:, :1], style).L
        assert not find_paper(L[..., 300:700, 200:700]).any()
    sky = torch.full((1, 1, 600, 400), 100.); sky[..., 350:, :] = 20           # thick: not even straight ground makes a sky paper
    assert not find_paper(sky).any() and not find_paper(torch.zeros(1, 1, 64, 64)).any() and find_paper(torch.full((1, 1, 64, 64), 100.)).all()  # nothing drawn: paper


@pytest.mark.parametrize("gap", [0, 6, 60])
def test_what_lies_behind_a_gap_in_a_frame_is_no_gutter(gap):
    paper = find_paper(framed(gap=gap))
    assert .08 < paper.mean() < .2 and paper[0, 0, 2, 2] == paper[0, 0, 175, 100] == 1 and paper[0, 0, 80, 100] == paper[0, 0, 250, 100] == 0


def test_no_page_without_dots_is_enlarged(comics):
    for file in sorted(o for o in comics.rglob("*") if o.suffix in (".jpg", ".png", ".webp"))[::29]:
        lab, (h, w) = working_page(page_lab(load_page(file)))
        for style in ("gray", "lineart"): assert not 0 < dot_pitch(print_lightness(lab[:, :1, :h, :w], style).L) < 6, file


@cache
def small_print(style): return print_lightness(page_lab(drawn(5).resize((496, 704)))[:, :1], style).L


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(("lineart", "screentone")), st.floats(56, 95), st.floats(0, 20), st.floats(0, 2.5), st.sampled_from(("L", "RGB")))
def test_dull_paper_is_seen_as_white(style, paper, ink, grain, mode):
    L = small_print(style)
    scan = grey_image((ink + L * (paper - ink) / 100 + grain * torch.randn(L.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 100)).convert(mode)
    seen, before = page_lightness(white_paper(scan)), page_lightness(scan)
    assert abs(seen[L > 99].median() - 100) < 1.5 and (seen >= before - .5).all() and seen[L < 5].median() < 40
    assert white_paper(white_paper(scan)).tobytes() == white_paper(scan).tobytes()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(("lineart", "screentone")), st.floats(.1, .45), st.floats(0, 6.3), st.floats(.7, 1))
def test_a_shadow_on_paper_is_no_tone(style, depth, angle, paper):
    L = small_print(style)
    y, x = torch.meshgrid(torch.linspace(-1, 1, L.shape[-2]), torch.linspace(-1, 1, L.shape[-1]), indexing="ij")
    shade = paper * (1 - depth * (.5 + .5 * (x * np.cos(angle) + y * np.sin(angle)) / 2**.5))
    seen = page_lightness(white_paper(grey_image((8 + .92 * L) * shade)))
    assert (seen[L > 99] > 95).float().mean() > .99 and seen[L < 5].median() < 25
    painted = grey_image(small_print("gray") * shade)
    assert white_paper(painted).tobytes() == painted.tobytes()


@pytest.mark.parametrize("dark", [0, 40, 90, 97, 100])
def test_what_need_not_be_paper_keeps_its_lightness(dark):
    for page in (grey_image(small_print("gray") * dark / 100), grey_image(torch.full((1, 1, 90, 70), float(dark))), Image.new("L", (1, 1), dark)):  # a painted page, an empty one, a pixel
        assert white_paper(page).tobytes() == page.tobytes() and white_paper(page).mode == "L"
    night = grey_image(torch.where(torch.rand(1, 1, 90, 70, generator=torch.Generator().manual_seed(0)) < .3, float(dark), 0.))  # mostly ink
    assert white_paper(night).tobytes() == night.tobytes()


@settings(deadline=None, max_examples=15)
@given(st.floats(2.6, 9), st.floats(0, 90), st.integers(200, 420), st.integers(200, 420), st.integers(300, 1408))
def test_dots_are_legible_in_the_end(pitch, angle, h, w, height):
    L = print_lightness(torch.full((1, 1, h, w), 40.), "screentone", pitch, angle).L
    page, (y, x) = readable_page(L, height)
    assert page.shape[-2] % 32 == page.shape[-1] % 32 == 0 and abs(y / x - h / w) < .02 and page.min() >= 0 and page.max() <= 100
    if height > 700: assert 4.2 < dot_pitch(page[..., :y, :x]) < max(5.5, 1.2 * pitch)


def test_dots_are_those_of_a_hundredth_of_the_page_and_the_fine_ones_count():
    dots = lambda pitch, h=64, w=64: print_lightness(torch.full((1, 1, h, w), 40.), "screentone", pitch).L
    assert dot_pitch(dots(6.)) == pytest.approx(6, abs=.4) and dot_pitch(dots(12.)) == 0 and dot_pitch(dots(6., 63, 200)) == dot_pitch(dots(6., 200, 63)) == 0
    assert dot_pitch(torch.cat([dots(3., 64, 128), dots(6., 64, 128)], 3)) == pytest.approx(3, abs=.2)
    page = torch.full((1, 1, 640, 640), 70.)
    for x, pitch in ((0, 0), (64, 5)): page[..., :64, x:x + 64] = dots(5.); assert dot_pitch(page) == pytest.approx(pitch, abs=.2)
    for contrast, pitch in ((.01, 0), (.1, 5)): assert dot_pitch(50 + contrast * (dots(5.) - 50)) == pytest.approx(pitch, abs=.2)


def test_a_page_is_enlarged_from_its_own_pixels_if_there_is_room():
    dots = lambda pitch, h, w: print_lightness(torch.full((1, 1, h, w), 40.), "screentone", pitch).L
    L = dots(4.5, 900, 640)
    page, size = readable_page(L, 600)
    assert size[0] > 700 and torch.equal(page, fit_page(L, size).clamp(0, 100))
    for o, height, size in ((dots(2.8, 300, 450), 300, (300, 450)), (dots(3., 200, 600), 200, (200, 600)), (dots(2.8, 300, 200), 300, (509, 339))): assert readable_page(o, height)[1] == size  # some are too fine, or too wide


def test_what_is_found_on_real_pages_is_paper(comics):
    found = 0
    for file in sorted(o for o in (comics / "val").rglob("*") if o.suffix in (".jpg", ".png", ".webp"))[::5]:
        lab, (h, w) = working_page(page_lab(load_page(file)))
        lab = lab[..., :h, :w]
        for style in STYLES:
            paper = find_paper(print_lightness(lab[:, :1], style).L)
            if paper.any(): found += 1; assert surely_right(paper, lab) > .85, file
    assert found


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**31))
def test_pages_of_any_size_have_paper_or_none(h, w, seed):
    paper = find_paper(torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(seed)).round() * 100)
    assert paper.shape == (1, 1, -(-h // 2), -(-w // 2))


@pytest.mark.parametrize("size", [(5000, 1), (1400, 2), (3, 500)])
def test_slivers_are_not_blown_up(size):
    tracemalloc.start()
    try:
        assert not find_paper(torch.full((1, 1, *size), 50.)).any()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally: tracemalloc.stop()


@pytest.mark.parametrize("slope", [0., .1, .5, 1.])
def test_straight_is_straight_at_any_angle(slope):
    y, x = torch.meshgrid(torch.arange(160.), torch.arange(160.), indexing="ij")
    line = y - slope * x
    assert straightness(((line > 20) & (line < 26)).numpy()) > .95               # a gutter: both sides count as one direction
    assert straightness((line + 6 * torch.sin(x / 3) > 40).numpy()) < .6         # a hedge
    assert straightness(((y - 80)**2 + (x - 80)**2 < 7**2).numpy()) < .7        # a curl


def test_patches_that_overlap_are_brought_to_agree():
    "What lies within a patch is its own; what two patches say of one place brings them closer."
    patches, page = torch.zeros(2, 3, 40, 40), torch.zeros(1, 3, 40, 60)
    patches[0, 1, 12:28, 12:28] = 10
    assert harmonise(patches[:1], [(0, 0)], page).abs().max() < 1e-4
    left, right = harmonise(patches, [(0, 0), (0, 20)], page)[:, 1]
    assert left < -.05 and right > .05


def test_a_fused_page_stays_light_and_says_where_it_was_moved():
    "A patch whose rim is too dark is lightened, but to white at most; towards its edge the page was moved less."
    patch = torch.zeros(1, 3, 96, 96); patch[:, 0] = 50; patch[:, 0, 12:-12, 12:-12] = 100
    fused = merge_colorizations(Painted(patch, [(0, 0)], torch.full((1, 1, 128, 128), 100.)), torch.tensor([100., 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 32, 32))
    assert fused.offsets[0, 0] > 20 and 0 <= fused.colour[:, 0].min() and fused.colour[:, 0].max() <= 100
    assert fused.moved[0, 0, 40, 40] == pytest.approx(fused.offsets.norm().item()) and fused.moved[0, 0, 40, 95] < .2 * fused.moved[0, 0, 40, 40]


def test_paper_loses_its_faint_colour_by_degrees():
    for L, chroma, left in ((85, 3, 1), (90, 3, .5), (95, 3, 0), (90, 14, 1), (95, 9.5, .5), (97.5, 9.5 * 4.5, .5), (99, 14 * 8, 1), (99, 5 * 8, 0)):
        assert protect_paper(torch.tensor([L, 0., chroma]).view(1, 3, 1, 1))[0, :, 0, 0].tolist() == pytest.approx([L, 0, left * chroma], abs=1e-3), (L, chroma)
    tint = torch.tensor([100., 4, 0]).view(1, 3, 1, 1).expand(-1, -1, 64, 64)
    for ink, left in ((50., 4), (100., 0)): assert torch.allclose(settle(tint, torch.full((1, 1, 64, 64), ink))[:, 1], torch.full((1, 64, 64), float(left)), atol=.01)  # paint under grey is no paper


def test_no_paint_is_lighter_than_what_was_printed():
    flat = lambda value, size=64: torch.full((1, 1, size, size), value)
    for L, light, paint in ((50., 1., 50), (50., .5, 100), (30., .5, 60), (.05, .001, 5)): assert torch.allclose(lightest_paint(flat(L), flat(light)), flat(float(paint), 32), atol=.01)
    fused = merge_colorizations(Painted(torch.full((1, 3, 64, 64), 60.), [(0, 0)], flat(100.), lightest=flat(40.)), torch.full((1, 3, 16, 16), 60.))
    assert torch.equal(fused.colour[:, :1], flat(40.)) and fused.colour[:, 1:].min() > 59


def test_a_patch_is_compared_along_all_of_its_rim():
    for side in ((slice(12, 28), slice(12)), (slice(12, 28), slice(28, None)), (slice(12), slice(12, 28)), (slice(28, None), slice(12, 28))):
        patch = torch.zeros(1, 3, 40, 40); patch[(0, 1, *side)] = 10
        assert harmonise(patch, [(0, 0)], torch.zeros(1, 3, 40, 40))[0, 1].item() == pytest.approx(-10 * 16 * 12 / (40**2 - 16**2), abs=1e-3)


def test_white_stays_white_beside_a_colour():
    "Without an outline between them a grey takes on the colour beside it; white does not."
    colour = torch.zeros(1, 3, 64, 64); colour[:, 1, :, 32:] = 40
    tint = lambda L: settle(torch.cat([torch.full_like(colour[:, :1], L), colour[:, 1:]], 1), torch.full((1, 1, 64, 64), 100.))[0, 1, :, :32].mean()
    assert tint(100.) < .8 * tint(60.)


def test_flow_fades_as_it_is_told():
    ones = torch.ones(1, 1, 4, 5)
    assert torch.allclose(flow_along(50 * ones, ones, .5 * ones, 1., fade=1.), ones / 3, atol=1e-4)


def test_where_nothing_is_alike_nearness_decides():
    "A black line between two coarse cells, one a little darker than the other."
    guide = torch.full((1, 1, 8, 16), 100.); guide[..., 8] = 0
    assert upsample_guided(torch.tensor([0., 1.]).view(1, 1, 1, 2), guide)[..., 8].mean() == pytest.approx(.5, abs=.2)


def test_a_page_is_finished_without_a_tint_on_its_paper():
    "Faint colour on white goes, a gate that is nearly sure is taken for sure."
    L = torch.full((1, 1, 32, 32), 100.)
    faint = torch.tensor([97., 2, 3]).view(1, 3, 1, 1).expand(-1, -1, 16, 16)
    assert page_lab(finish_page(faint, torch.ones_like(L), L))[:, 1:].abs().max() < .5
    dots = finish_page(faint * 0 + torch.tensor([60., 0, 0]).view(1, 3, 1, 1), torch.full_like(L, .15), L * .2)
    assert page_lightness(dots).mean() == pytest.approx(60, abs=.5)


def test_paper_reaches_to_the_ink_and_no_farther():
    page = framed()
    paper, dark = find_paper(page), F.avg_pool2d(page, 2) < 10
    assert not paper[dark].any() and (paper[0, 0, 100, :9] == 1).all()


def test_the_last_cells_count_and_lightness_is_no_colour_detail():
    assert AttentionModel(dim=32, depth=1, heads=2, widths=(8, 8)).predict(Image.new("L", (100, 90))).importance.shape == (6, 7)
    lab = torch.cat([torch.rand(1, 1, 64, 64) * 100, torch.full((1, 2, 64, 64), 30.)], 1)
    assert colour_detail(lab).max() < 1e-4


def test_the_weights_shown_are_those_used():
    torch.manual_seed(0)
    block, x = TokenBlock(16, 2), torch.randn(1, 16, 3, 4)
    tokens = (x + block.place(x)).flatten(2).transpose(1, 2)
    tokens = tokens + block.out((block.weights(x) @ block._qkv(tokens)[2]).transpose(1, 2).flatten(2))
    assert torch.allclose(block(x).flatten(2).transpose(1, 2), tokens + block.mlp(block.norm2(tokens)), atol=1e-5)


def test_dots_stand_where_pitch_and_angle_put_them():
    grey = torch.full((1, 1, 96, 96), 50.)
    for pitch, angle, step in ((8., 0., (0, 8)), (6., 0., (0, 6)), (8 / 2**.5, 45., (4, 4))):
        dots = tone_dots(grey, pitch, angle)[0, 0, 16:-16, 16:-16]
        again = lambda dy, dx: (dots[dy:, dx:] - dots[:64 - dy, :64 - dx]).abs().mean()
        assert again(*step) < .02 < .1 < again(0, 3 if angle else int(pitch) // 2)
    page = print_lightness(page_lab(draw_page(3, size=(192, 256)).color)[:, :1], "lineart", sigma=.8), print_lightness(page_lab(draw_page(3, size=(192, 256)).color)[:, :1], "lineart", sigma=1.6)
    assert page[0].ink.mean() < page[1].ink.mean()


def test_measures_say_what_their_names_say():
    true, zone = draw_page(11, size=(96, 128)).color, np.zeros((128, 96), bool)
    zone[:64] = True
    made = true.copy(); made.paste("red", (0, 0, 96, 64))
    row = colour_accuracy(made, true, zone)
    assert row["psnr_priority"] < 20 < row["psnr_fill"] and row["ciede2000_fill"] == 0 < row["ciede2000_priority"]
    red = torch.zeros(1, 3, 8, 8); red[:, 0] = 1
    assert colourfulness(red) == pytest.approx(.3 * (255**2 + 127.5**2)**.5, abs=.1)
    yellow = torch.ones(1, 3, 8, 8); yellow[:, 2] = 0
    assert colourfulness(yellow) == pytest.approx(.3 * 255, abs=.1)
    yellow[..., 4:] = 0  # half black: sqrt of the variance, and .3 of half the mean
    assert colourfulness(yellow) == pytest.approx(255 / 2 + .3 * 255 / 2, abs=.1)
    page = torch.full((1, 3, 16, 64), 40.); page[..., 32:] = 80; page[:, 1:] = 0
    assert bleed(page, page) == 0  # no colour in either
    right, wrong = page.clone(), page.clone(); right[:, 1, :, 32:] = wrong[:, 1, :, 48:] = 30
    assert bleed(right, right) == 0 < 5 < bleed(wrong, right)
    rough = wrong.clone(); rough[:, 0] = 100 * torch.rand(1, 16, 64)
    assert bleed(rough, right) == bleed(wrong, right)  # flat is what is truly flat
    straw = torch.zeros(1, 3, 4, 4); straw[:, 0] = 97; straw[:, 2, :2] = 40
    assert paper_tint(straw, straw) == 0
    white = straw.clone(); white[:, 0] = 99; white[:, 1:] = 0
    stained = white.clone(); stained[:, 0, 2:] = 80; stained[:, 1, 2:] = 12
    assert paper_tint(stained, white) == pytest.approx(6)  # also where it was painted dark
    assert palette_distance(*(torch.tensor([50., 5, b]).view(1, 3, 1, 1).expand(-1, -1, 8, 8) for b in (5, 25))) == 1


def test_seconds_are_the_median_of_calls_after_the_first(monkeypatch):
    clock = iter([0, 90, 100, 101, 200, 207, 300, 302])
    monkeypatch.setattr("dualflow.metrics.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert seconds(lambda: None) == 2


def test_a_report_counts_what_it_says():
    colour, weight, moved = torch.zeros(1, 3, 10, 10), torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    weight[..., 4:6], weight[..., 6:], colour[:, 1, :, 5:] = .4, 1, 8
    moved[..., 6:8], moved[..., 8:] = .5, 3
    assert check_coherence(colour, weight, moved) == pytest.approx({"seam": 4, "offset": 1.75, "harmonised": .2, "primary_share": .4})
    assert check_coherence(colour, 0 * weight, moved)["offset"] == check_coherence(colour, 0 * weight + .4, moved)["seam"] == 0  # no patch; nothing but a border


def test_patches_that_agree_with_each_other_and_the_page_leave_no_trace():
    plain = torch.tensor([60., 20, 10]).view(1, 3, 1, 1)
    fused = merge_colorizations(Painted(plain.expand(2, -1, 96, 96), [(0, 0), (0, 40)], torch.full((1, 1, 128, 160), 100.)), plain.expand(-1, -1, 32, 40))
    assert (fused.colour - plain).abs().max() < .1 and fused.moved.max() < .1
    assert fused.weight[0, 0, 48, 44] == 1 > fused.weight[0, 0, 48, 134]  # where one patch begins, another is whole
    apart = merge_colorizations(Painted(plain.expand(1, -1, 96, 96), [(0, 0)], torch.full((1, 1, 128, 160), 100.)), (plain - torch.tensor([0., 3, 4]).view(1, 3, 1, 1)).expand(-1, -1, 32, 40))
    assert apart.moved.max().item() == pytest.approx(5, abs=1e-3)


def test_a_patch_fades_where_the_page_goes_on_and_nowhere_else():
    for corner, whole, faint in (((0, 0), 0, -1), ((32, 32), -1, 0)):
        weight = feather(corner, (32, 32), (64, 64))[0, 0]
        assert weight[whole, whole] == 1 and weight[faint, faint] < .01


def test_what_is_shut_in_takes_what_is_known_outside():
    guide, trust = torch.full((1, 1, 3, 5), 100.), torch.zeros(1, 1, 3, 5)
    guide[..., 2], trust[..., 0] = 0, 1.
    assert torch.allclose(flow_along(guide, torch.full_like(guide, 7.), trust, outline=1.), torch.full_like(guide, 7.), atol=1e-3)


def test_the_share_of_detail_is_that_of_each_page():
    detail = torch.zeros(2, 1, 2, 4); detail[0, 0, 0, 0] = detail[1] = 1
    assert detail_share(detail, detail, .125) == detail_share(detail, detail, .01) == pytest.approx((1 + 1 / 8) / 2)  # one cell at least


def test_texture_is_felt_whichever_way_it_goes():
    for sign in (1, -1):
        dots = torch.full((1, 1, 64, 64), 50.); dots[..., ::4, ::4] += 40 * sign
        assert all(f(dots).min() > 1 for f in LOCAL_MAPS)


@pytest.mark.parametrize("width, wave, found", [(40, 0, True), (100, 0, False), (40, 5, False)])
def test_margins_are_thin_and_straight(width, wave, found):
    y, x = torch.meshgrid(torch.arange(600.), torch.arange(400.), indexing="ij")
    far = torch.minimum(torch.minimum(x, 399 - x) + wave * torch.sin(y / 6), torch.minimum(y, 599 - y) + wave * torch.sin(x / 6))
    assert find_paper(torch.where(far < width, 100., 20.)[None, None]).any() == found


def test_a_grey_rim_is_no_margin():
    page = torch.full((1, 1, 600, 400), 85.); page[..., 40:-40, 40:-40] = 20; page[..., 200:400, 100:300] = 100
    assert not find_paper(page).any()


@settings(deadline=None, max_examples=15)
@given(st.floats(3, 8), st.integers(0, 60), st.booleans())
def test_faint_ink_is_seen_as_black_where_dots_prove_that_it_is_ink(pitch, ink, text):
    L = torch.full((1, 1, 320, 448), 100.)
    L[..., :256] = print_lightness(torch.full((1, 1, 320, 256), 40.), "screentone", pitch).L
    faint = ink + L * (1 - ink / 100)
    if text: faint[..., 300:310, 300:440] = 0  # printed in black beside grey dots
    page, size = readable_page(faint)
    assert size == readable_page(L)[1] and page.min() <= (0 if text or ink > 15 else ink) and page.max() > 99
    assert (page[..., :size[0] // 2, :] - readable_page(L)[0][..., :size[0] // 2, :]).abs().mean() < (1 if ink > 15 else 4)
    flat = torch.full((1, 1, 320, 448), 99.); flat[..., :160, :200] = ink  # a painted thing
    assert torch.equal(readable_page(flat)[0], working_page(flat)[0])
