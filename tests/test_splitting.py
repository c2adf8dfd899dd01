"A page cut in two, for any map, budget and shape of page; and put together again, or refused."
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dualflow import routers, splitting
from dualflow.attention import AttentionMap, AttentionModel
from dualflow.colorizers import Networks
from dualflow.core import CELL, DualflowError, load_page
from dualflow.fusion import finish_page
from dualflow.metrics import count_macs
from dualflow.pipeline import DualFlow
from dualflow.routers import compare_routers, plot_routers, routers_table
from dualflow.splitting import as_regions, choose_patches, feather, load_attention_patches, save_attention_patches

quarters = st.integers(0, 400).map(lambda n: n / 4)  # their sums are exact, so ties are ties
maps = st.tuples(st.integers(1, 50), st.integers(1, 50)).flatmap(lambda s: arrays(np.float32, s, elements=quarters)).map(torch.from_numpy)


def cells(patches, shape, side=12):
    covered = torch.zeros(shape, dtype=torch.bool)
    for r, c, _ in patches: covered[r:r + side, c:c + side] = True
    return covered


def plainly(importance, budget, threshold, side):
    "`choose_patches`, every window summed anew."
    left, covered, chosen = importance.double(), torch.zeros(importance.shape, dtype=torch.bool), []
    while budget > 0:
        gain = left.unfold(0, min(side, left.shape[0]), 1).unfold(1, min(side, left.shape[1]), 1).mean((2, 3))
        r, c = divmod(int(gain.argmax()), gain.shape[1])
        after = covered | cells([(r, c, 0)], left.shape, side)
        if gain[r, c] <= threshold or (chosen and after.sum().item() > budget * after.numel()): break
        chosen.append((r, c)); covered, left = after, left * ~after
    return chosen


@settings(deadline=None, max_examples=40)
@given(maps, st.floats(0, 1), st.sampled_from([0., .5, 20.]), st.integers(2, 12))
def test_patches_are_those_that_gain_most(importance, budget, threshold, side):
    patches = choose_patches(importance, budget, threshold, side)
    assert [o[:2] for o in patches] == plainly(importance, budget, threshold, side)
    assert patches == choose_patches(importance.clone(), budget, threshold, side)
    for r, c, mean in patches: assert mean == pytest.approx(importance[r:r + side, c:c + side].mean().item(), rel=1e-4)


@settings(deadline=None, max_examples=40)
@given(maps, st.floats(0, 1), st.integers(2, 12))
def test_patches_stay_on_the_page_and_in_budget(importance, budget, side):
    h, w = importance.shape
    patches = choose_patches(importance, budget, side=side)
    for r, c, _ in patches: assert 0 <= r <= h - min(side, h) and 0 <= c <= w - min(side, w)
    if len(patches) > 1: assert cells(patches, (h, w), side).sum() <= budget * h * w + 1e-6
    if budget == 0 or importance.max() == 0: assert not patches
    elif budget > 0: assert patches  # the first may exceed the budget


@settings(deadline=None, max_examples=40)
@given(maps, st.integers(2, 12))
def test_no_patch_is_idle_and_all_that_matters_can_be_covered(importance, side):
    covered, gains = torch.zeros(importance.shape, dtype=torch.bool), []
    for o in choose_patches(importance, 1, side=side):
        after = covered | cells([o], importance.shape, side)
        gains.append(importance[after & ~covered].sum().item()); covered = after
    assert all(o > 0 for o in gains) and gains == sorted(gains, reverse=True)
    assert covered[importance > 0].all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (3, 12), (12, 12), (13, 11), (88, 4400)])
def test_maps_of_any_shape_flat_or_single(shape):
    flat = choose_patches(torch.ones(shape), .05)
    assert flat and (len(flat) == 1 or cells(flat, shape).float().mean() <= .05)
    assert choose_patches(torch.zeros(shape)) == []
    dot = torch.zeros(shape); dot[-1, -1] = 1e-3
    (r, c, _), = choose_patches(dot)
    assert r + 12 >= shape[0] and c + 12 >= shape[1]


def test_a_full_map_is_covered_whole_with_little_overlap():
    patches = choose_patches(torch.ones(88, 62), 1)
    assert cells(patches, (88, 62)).all() and len(patches) * 144 < 2 * 88 * 62


@pytest.mark.parametrize("bad", [torch.full((4, 4), torch.nan), torch.tensor([[1., torch.inf]]), torch.tensor([[1., -1e-3]]), torch.ones(4), torch.ones(1, 4, 4), torch.ones(0, 4)])
def test_what_is_no_map_is_refused(bad):
    with pytest.raises(DualflowError, match="importance map"): choose_patches(bad)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 300), st.integers(0, 2**31))
@example(1, 400, 64, 0)
@example(400, 1, 64, 0)
def test_regions_lie_on_the_page(width, height, working, seed):
    importance, scale = seen(width, height, working, seed)
    for o in as_regions(choose_patches(importance, 1), scale, (width, height)):
        assert 0 <= o.x < o.x + o.w <= width and 0 <= o.y < o.y + o.h <= height


@pytest.mark.parametrize("size", [(6000, 33), (33, 6000)])
def test_regions_of_a_strip_lie_where_they_were_seen(size):
    "Whose short side is rounded to 8 pixels from 8.22."
    looked = AttentionModel(dim=32, heads=2, widths=(8, 16)).predict(Image.new("L", size), height=64)
    cell = [(0, 80, 1.), (80, 0, 1.)][size[0] < size[1]]
    o, = as_regions([cell], looked.scale, size)
    assert max(o.x, o.y) == pytest.approx(80 * CELL * 6000 / max(looked.shape), abs=1)


def seen(width, height, working, seed):
    "A map of a page for which the working height is `working`, and the page's scale."
    h = min(height, working)
    w = width if height <= working else max(1, round(width * working / height))
    return torch.rand(-(-h // CELL), -(-w // CELL), generator=torch.Generator().manual_seed(seed)), height / h


def picture(width, height, mode, seed):
    rng = np.random.default_rng(seed)
    if mode == "I;16": return Image.fromarray(rng.integers(0, 2**16, (height, width), dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def attention(width, height, mode="L", working=300, seed=0):
    importance, scale = seen(width, height, working, seed)
    return AttentionMap(importance, None, scale, (width, height), picture(width, height, mode, seed))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from(["L", "RGB", "LA", "1", "P", "I;16"]), st.integers(40, 300), st.floats(0, 1), st.integers(0, 99))
def test_saved_patches_are_the_page_again(width, height, mode, working, budget, seed):
    page = attention(width, height, mode, working, seed)
    with TemporaryDirectory() as folder:
        saved = save_attention_patches(page, folder, "[a] b", budget)
        again, regions = load_attention_patches(folder, "[a] b")
        assert regions == saved and len(list(Path(folder, "important").glob("*.png"))) == len(saved)
    assert again.size == (width, height) and again.tobytes() == load_page(page.image).convert("L").tobytes()


@pytest.mark.parametrize("earlier", [None, .2, .9])
def test_killed_half_way_it_is_an_error_until_made_again(earlier, tmp_path, monkeypatch):
    page, other = (attention(300, 290, seed=o) for o in (1, 2))
    files = len(save_attention_patches(page, tmp_path, budget=.9)) + 2  # patches, background, record
    assert files > 4
    for done in range(files):
        shutil.rmtree(tmp_path)
        if earlier: save_attention_patches(other, tmp_path, budget=earlier)
        left = iter(range(done))
        def dying(write):
            def f(*args):
                if next(left, None) is None: raise KeyboardInterrupt
                return write(*args)
            return f
        with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
            for name in ("save_page", "write_aside"): m.setattr(splitting, name, dying(getattr(splitting, name)))
            save_attention_patches(page, tmp_path, budget=.9)
        if earlier and not done: assert load_attention_patches(tmp_path)[0].tobytes() == other.image.tobytes()
        else:
            with pytest.raises(DualflowError, match="no whole patches of 'page'.*dualflow-generate-attention"): load_attention_patches(tmp_path)
        save_attention_patches(page, tmp_path, budget=.9)
        assert load_attention_patches(tmp_path)[0].tobytes() == page.image.tobytes()


def files(folder): return sorted(o for o in Path(folder).rglob("*") if o.is_file())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 99), st.sampled_from(["missing", "empty", "cut", "flipped", "other"]), st.integers(0, 10**6))
def test_a_damaged_part_is_noticed(which, damage, where):
    with TemporaryDirectory() as folder:
        page = attention(250, 230, seed=3)
        save_attention_patches(page, folder, budget=.9)
        file = files(folder)[which % len(files(folder))]
        data = bytearray(file.read_bytes())
        if damage == "missing": file.unlink()
        elif damage == "empty": file.write_bytes(b"")
        elif damage == "cut": file.write_bytes(data[:where % len(data)])
        elif damage == "flipped": data[where % len(data)] ^= 1 + where % 255; file.write_bytes(data)
        else: save_attention_patches(attention(250, 230, seed=4), folder + "/x", budget=.9); shutil.copy(Path(folder, "x", file.relative_to(folder)), file)
        try: again, _ = load_attention_patches(folder)  # a byte that carries no picture may change
        except DualflowError as e: assert "dualflow-generate-attention" in str(e)
        else: assert damage == "flipped" and again.tobytes() == page.image.tobytes()


@pytest.mark.parametrize("text", ["[]", "1", '{"size": [250, 230], "crc32": 0}', '{"size": 3, "crc32": 0, "regions": []}', '{"size": [250, 230], "crc32": 0, "regions": [{"x": "a"}]}',
                                  '{"size": [250, 230], "crc32": 0, "regions": [{"x": 0.5, "y": 0, "w": 1, "h": 1}]}', '{"size": [250, 230], "crc32": 0, "regions": 7}'])
def test_a_strange_record_is_an_error_in_words(text, tmp_path):
    save_attention_patches(attention(250, 230), tmp_path)
    (tmp_path/"important"/"page.json").write_text(text)
    with pytest.raises(DualflowError, match="no whole patches"): load_attention_patches(tmp_path)


def test_pages_with_alike_names_keep_their_patches(tmp_path):
    pages = {"a": attention(400, 390, seed=5), "a__1": attention(400, 390, seed=6), "a__01": attention(400, 390, seed=7)}
    for budget in (.9, .2):
        for name, page in pages.items(): save_attention_patches(page, tmp_path, name, budget)
        for name, page in pages.items(): assert load_attention_patches(tmp_path, name)[0].tobytes() == page.image.tobytes()


def test_feathers_of_overlapping_patches_leave_no_hole():
    total = torch.zeros(1, 1, 64, 96)
    for t, l in [(0, 0), (0, 32), (0, 48)]: total[..., t:t + 64, l:l + 48] += feather((t, l), (64, 48), (64, 96))
    assert total.min() > 0


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 3), st.integers(1, 40), st.integers(0, 99))
def test_a_page_finished_in_strips_is_the_page(H, W, scale, rows, seed):
    g = torch.Generator().manual_seed(seed)
    h, w = -(-H // scale), -(-W // scale)
    colour = torch.rand(1, 3, -(-h // 2), -(-w // 2), generator=g) * torch.tensor([100., 160, 160]).view(1, 3, 1, 1) - torch.tensor([0., 80, 80]).view(1, 3, 1, 1)
    parts = colour, torch.rand(1, 1, h, w, generator=g), torch.rand(1, 1, H, W, generator=g) * 100
    strips, whole = (np.asarray(finish_page(*parts, rows=o)).astype(int) for o in (rows, H))
    assert strips.shape == (H, W, 3) and abs(strips - whole).max() <= 1


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    return DualFlow(Networks(attention=dict(dim=24, depth=1, heads=2, widths=(8, 8)), primary=dict(widths=(8, 8), token_dim=24), secondary=dict(widths=(8, 8))), "cpu")


def test_a_map_of_ones_own_says_where_patches_go(flow):
    page = picture(500, 420, "L", 0)
    mine = torch.zeros(42, 50); mine[30:36, 30:36] = 1  # finer than cells
    o, = flow.colorize(page, budget=.3, importance=mine).regions
    assert o.x <= 300 and o.x + o.w >= 360 and o.y <= 300 and o.y + o.h >= 360
    assert flow.colorize(page, importance=mine * 0).regions == [] == flow.colorize(page, budget=0, importance=mine).regions
    exact = flow.colorize(page).attention.importance
    again = flow.colorize(page, importance=exact)
    assert torch.equal(again.attention.importance, exact) and again.regions == flow.colorize(page).regions
    for bad in (mine[None], mine - 1, mine * torch.nan, mine[:0]):
        with pytest.raises(DualflowError, match="importance map"): flow.colorize(page, importance=bad)


def test_routers_side_by_side(flow):
    pages = [picture(330, 300, "RGB", o) for o in range(2)]
    rows = compare_routers(flow, pages, budgets=(.4,), style="gray")
    at = {o["router"]: o for o in rows}
    assert list(at)[:2] == ["none", "all"] and {"random", "sobel", "residual", "learned", "oracle", "hindsight"} <= set(at) and all(o["pages"] == 2 for o in rows)
    assert at["none"]["area"] == 0 and at["all"]["area"] == 1 and at["oracle"]["detail"] >= max(at[k]["detail"] for k in ("random", "sobel", "learned"))
    assert at["all"]["gmac"] == pytest.approx(count_macs(flow.colorize, pages[0].convert("L"), 1, importance=torch.ones(1, 1)), rel=1e-3)  # counted, not reckoned
    assert at["none"]["ciede2000_detail"] != pytest.approx(at["none"]["ciede2000"], abs=1e-3)
    table, lines = routers_table(rows).splitlines(), plot_routers(rows).axes[0].lines
    assert len(table) == len(rows) + 2 and table[2].startswith("| none") and table[-1].startswith("| all") and len(lines) == len(rows) - 2
    assert lines[0].get_xdata()[:3] == pytest.approx([0, 100 * at["random"]["area"], 100])


def test_patches_of_a_larger_budget_go(tmp_path):
    page = AttentionMap(torch.rand(20, 20), None, 1., (320, 320), Image.new("L", (320, 320)))
    assert len(save_attention_patches(page, tmp_path, budget=.9)) > len(few := save_attention_patches(page, tmp_path, budget=.4))
    assert len(list((tmp_path/"important").glob("*.png"))) == len(few)


def test_hindsight_goes_where_the_primary_did_better(monkeypatch):
    asked = []
    def colour(flow, bw, lab, detail, budget, importance):
        asked.append(importance)
        error = torch.full(detail.shape, 2.); error[0, 0] = 5 if budget == 0 else 1; error[1, 1] = 2 if budget == 0 else 3
        return {"patches": 0}, error
    monkeypatch.setattr(routers, "_colour", colour); monkeypatch.setattr(routers, "count_macs", lambda *args, **options: 0)
    compare_routers(DualFlow(Networks(), "cpu"), [Image.new("RGB", (32, 32), "tan")], budgets=(.5,), style="gray")
    assert asked[-1].tolist() == [[4, 0], [0, 0]]
