"Shards hold what the dataset holds; every page comes once an epoch, in an order that seed and epoch decide, whoever reads it and whatever is damaged; limits hold."
import json, pickle, tarfile, tracemalloc, warnings, weakref

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from dualflow import cli, streaming
from dualflow.augmentation import Recipe, add_panels, cut_view, draw_recipe, print_views, scan
from dualflow.core import WORKING_HEIGHT, DualflowError, Workspace, load_page, page_lightness, save_page
from dualflow.dataset import DatasetLoader, Page, PageRecord
from dualflow.drawing import draw_page
from dualflow.printing import STYLES, manga_bw
from dualflow.streaming import INDEX, PatchCache, ShardPages, ShardViews, bench_streaming, encode_page, shard_dataset, working_halves

def names(pages): return [o.name for o in pages]  # of a DataLoader's batch, too, in processes that are no forks
gap = lambda a, b: np.abs(np.array(a).astype(int) - np.array(b))


def add_page(root, chapter, name, color, bw=None, style="original", ending="png"):
    "One pair of a dataset, as `create_dataset` leaves it."
    space = Workspace(root).create()
    record = PageRecord(f"{chapter}__{name}", chapter, list(color.size), f"{chapter}__{name}.{ending}", f"{chapter}__{name}.png", style, {"color": {"file": "né à 京.png", "sha256": "0" * 64}})
    save_page(color, space.color/record.color)
    page = Page(record, space)
    save_page(bw or manga_bw(page.color, style).image, space.bw/record.bw)
    page.save()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A dataset of 40 small pages in five chapters, a quarter of them with B/W originals, some of them JPEG."
    root = tmp_path_factory.mktemp("set")
    drawn = [draw_page(i, size=(48, 64)).color for i in range(4)]
    for i in range(40):
        page = Image.fromarray(np.roll(drawn[i % 4], i, 1))
        bw = {} if i % 4 else {"bw": page.convert("L").point(lambda v: 255 * (v > 128)), "style": "original"}
        add_page(root/"dataset", f"ch.{i // 8}", f"p{i}", page, **{"style": STYLES[i % 3], "ending": "jpg" if i % 5 == 0 else "png", **bw})
    return root/"dataset"


@pytest.fixture(scope="module")
def shards(folder):
    shard_dataset(folder, folder.parent/"shards", shard_mb=.03, quality=None)
    return folder.parent/"shards"


def test_round_trip_is_exact_where_it_is_asked_for(folder, shards):
    for split in ("train", "valid"):
        pages = {o.name: o for o in ShardPages(shards, split)}
        true = DatasetLoader(folder, split=split)
        assert len(true) and set(pages) == set(names(true)) and len(ShardPages(shards, split)) == len(true)
        for o in true:
            page = pages[o.name]
            assert page.record == o.record and not gap(page.color, o.color).any() and not gap(page.bw, o.bw).any()
            assert ("bw" in {k.split(".")[0] for k in page.data}) == (o.record.style == "original")


def test_round_trip_at_a_stated_quality(folder, tmp_path):
    index = shard_dataset(folder, tmp_path, quality=92)
    assert index["complete"] and len(index["shards"]) == 2
    true = {o.name: o for o in DatasetLoader(folder, split="train")}
    for page in ShardPages(tmp_path):
        o = true[page.name]
        assert gap(page.color, o.color).mean() < 6
        if o.record.color.endswith("jpg"): assert page.data["color.jpg"] == (o.space.color/o.record.color).read_bytes()
        if o.record.style == "original": assert not gap(page.bw, o.bw).any()  # PNG is the smaller one for hard dots


def test_smaller_of_png_and_jpeg():
    flat, noise = Image.new("RGB", (64, 64), "red"), Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    assert encode_page(flat)[0] == "png" and encode_page(noise)[0] == "jpg" and encode_page(noise, None)[0] == "png"
    assert len(encode_page(noise, 50)[1]) < len(encode_page(noise)[1]) < len(encode_page(noise, None)[1])
    assert encode_page(noise.convert("L"))[0] == "jpg" and gap(load_page(encode_page(noise)[1]), noise).mean() < 10  # its colours are not reduced


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_large_pages_are_stored_at_working_size(tmp_path, ending):
    page = Image.effect_noise((WORKING_HEIGHT, 2 * WORKING_HEIGHT), 40).convert("RGB")
    add_page(tmp_path/"dataset", "one", "p1", page, page.convert("L"), ending=ending)
    shard_dataset(tmp_path/"dataset", tmp_path/"shards", quality=None)
    stored, true = next(iter(ShardPages(tmp_path/"shards"))), DatasetLoader(tmp_path/"dataset")[0]
    assert stored.color.size == stored.bw.size == (WORKING_HEIGHT // 2, WORKING_HEIGHT) and stored.record.original_size == [WORKING_HEIGHT, 2 * WORKING_HEIGHT]
    for a, b in zip(working_halves(stored), working_halves(true)): assert not gap(a, b).any()


def test_webdataset_reads_the_shards(shards):
    wds = pytest.importorskip("webdataset")
    for o in json.loads((shards/INDEX).read_text())["shards"]:
        samples = list(wds.WebDataset(str(shards/o["file"]), shardshuffle=False).decode("rgb8"))
        assert [s["__key__"] for s in samples] == [f"{k:08}" for k in range(o["first"], o["first"] + o["pages"])]
        assert all(s["json"]["record"]["name"] and next(v for k, v in s.items() if k.startswith("color")).shape == (64, 48, 3) for s in samples)


# The order

@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 7), min_size=1, max_size=9), mix=st.integers(1, 5), seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_an_epoch_has_every_page_once(counts, mix, seed, epoch):
    pages = ShardPages.__new__(ShardPages)
    pages.seed, pages.mix, pages.shards = seed, mix, [{"first": sum(counts[:i]), "pages": n} for i, n in enumerate(counts)]
    order = list(pages.places(epoch))
    assert sorted(k for _, k in order) == list(range(sum(counts))) and order == list(pages.places(epoch))
    turn = [s for s, _ in order]  # shards are opened a few at a time, and never again
    for i in range(len(turn)): assert len(set(turn[:i]) & set(turn[i:])) <= mix


def test_the_order_hangs_on_seed_and_epoch(shards):
    order = lambda seed, epoch: names(ShardPages(shards, seed=seed).set_epoch(epoch))
    assert order(1, 3) == order(1, 3) and len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1)}) == 4
    pages = ShardPages(shards, mix=1)
    pages.shards = [{"first": 10 * i, "pages": 10} for i in range(10)]
    turns = [[*zip(*pages.places(epoch))] for epoch in (0, 1)]  # shards take turns, and so do the pages of each
    assert turns[0][0] != turns[1][0] and all(list(shard) != sorted(shard) and list(page[:10]) != sorted(page[:10]) for shard, page in turns)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("chunk, batch", [(4, 4), (1, 4)])
def test_workers_share_one_order(shards, workers, chunk, batch):
    pages = ShardPages(shards, mix=2, chunk=chunk).set_epoch(5)
    whole = names(pages)
    loaded = sum(DataLoader(pages, batch_size=batch, num_workers=workers, collate_fn=names), [])
    assert sorted(loaded) == sorted(whole) and (loaded == whole or (chunk != batch and workers > 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_epoch_goes_on(shards, workers):
    pages = ShardPages(shards, mix=2, chunk=4)
    load = lambda **o: sum(DataLoader(pages.set_epoch(2, **o), batch_size=4, num_workers=workers, collate_fn=names), [])
    whole = load()
    for seen in (4, 12, len(whole) - 1, len(whole)): assert load(seen=seen) == whole[seen:]
    assert load() == whole


def test_workers_that_live_on_hear_of_a_new_epoch(shards):
    pages = ShardPages(shards, chunk=4)
    loader, alone = DataLoader(pages, batch_size=4, num_workers=2, persistent_workers=True, collate_fn=names), ShardPages(shards)
    for epoch in (0, 1):
        pages.set_epoch(epoch)
        assert sum(loader, []) == names(alone.set_epoch(epoch))


# Views

def test_views_are_cut_views_whoever_cuts_them(shards):
    pages = ShardPages(shards, chunk=2).set_epoch(1)
    views = ShardViews(pages, size=32)
    alone = list(views)
    assert len(alone) == len(views) == len(pages)
    page = next(iter(pages))
    for a, b in zip(alone[0], cut_view(*working_halves(page), np.random.default_rng((0, 1, page.place)), 32)): assert torch.equal(a, b)
    loaded = list(DataLoader(views, batch_size=2, num_workers=2))
    for i in range(3): assert torch.equal(torch.cat([o[i] for o in loaded]), torch.stack([o[i] for o in alone]))
    pages.set_epoch(1, seen=6)
    assert all(torch.equal(a, b) for one, two in zip(views, alone[6:]) for a, b in zip(one, two))
    recipes = lambda views: {tuple(o[2].tolist()) for o in views if o[2][0]}  # of what is printed
    assert recipes(alone) and not recipes(alone) & (recipes(ShardViews(pages.set_epoch(2), size=32)) | recipes(ShardViews(ShardPages(shards, seed=1, chunk=2).set_epoch(1), size=32)))
    fixed = [o[2] for o in ShardViews(ShardPages(shards, "valid"), 32, fixed=True)]
    assert [o[1] for o in fixed] == [i % 3 for i in range(len(fixed))] and all(o[5:].tolist() == list(Recipe()[5:]) for o in fixed)


def test_panels_come_from_other_views(shards):
    pages = ShardPages(shards, chunk=40).set_epoch(1)
    plain, some, all_ = (list(ShardViews(pages, size=64, panels=o)) for o in (0, .5, 1))
    same = lambda views: [all(torch.equal(a, b) for a, b in zip(one, two)) for one, two in zip(plain, views)]
    assert 0 < np.mean(same(all_)) < .3 < np.mean(same(some)) < .9  # printed and scanned pages do not mix
    squares = lambda o: {p.tobytes() for p in o[0].unfold(1, 8, 1).unfold(2, 8, 1).permute(1, 2, 0, 3, 4).reshape(-1, 192).numpy()}  # all of 8 x 8 pixels
    owned, changed = [squares(o) for o in plain], [n for n, o in enumerate(same(all_)) if not o]
    for n in changed:
        assert torch.equal(plain[n][2], all_[n][2])  # a panel is printed like the page it lies on
        assert (squares(all_[n]) - owned[n]) & set().union(*owned[:n], *owned[n + 1:])  # and shows what another view shows


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_panels_are_the_same_for_any_number_of_workers_and_after_an_interruption(shards, chunk):
    views = ShardViews(ShardPages(shards, chunk=chunk).set_epoch(2), size=64, panels=1)
    alone = list(views)
    plain = list(ShardViews(ShardPages(shards, chunk=chunk).set_epoch(2), size=64))
    assert any(not torch.equal(a, b) for (a, *_), (b, *_) in zip(alone, plain)) == (chunk > 1)  # alone in its chunk, a view has nobody to borrow from
    for workers in (1, 2, 3):
        for i, o in enumerate(DataLoader(views, batch_size=chunk, num_workers=workers, drop_last=True)):
            assert torch.equal(o[0], torch.stack([a for a, *_ in alone[i * chunk:(i + 1) * chunk]])), (workers, i)
    views.pages.set_epoch(2, seen=2 * chunk)
    assert all(torch.equal(a, b) for (a, *_), (b, *_) in zip(views, alone[2 * chunk:], strict=True))


def test_fastai_loads_them(shards):
    from fastai.data.load import DataLoader as FastLoader
    views = ShardViews(ShardPages(shards, chunk=4), size=32)
    batches = [[o[0] for o in FastLoader(views, bs=4, num_workers=workers)] for workers in (0, 2)]
    assert sum(map(len, batches[0])) == len(views) and torch.equal(*(torch.cat(o) for o in batches))


# Writing

def test_an_interrupted_run_goes_on_and_ends_the_same(folder, shards, tmp_path):
    def stop(number, total, name, trouble):
        if number == 17: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): shard_dataset(folder, tmp_path, .03, None, on_page=stop)
    left = json.loads((tmp_path/INDEX).read_text())
    assert 0 < left["done"] < 17 and not left["complete"] and {o.name for o in tmp_path.iterdir()} == {INDEX, *(o["file"] for o in left["shards"])}
    with pytest.raises(DualflowError, match="not finished"): ShardPages(tmp_path)
    numbers = []
    shard_dataset(folder, tmp_path, .03, None, on_page=lambda number, *_: numbers.append(number))
    assert numbers == list(range(left["done"] + 1, 41))
    assert {o.name: o.read_bytes() for o in tmp_path.iterdir()} == {o.name: o.read_bytes() for o in shards.iterdir()}
    shard_dataset(folder, tmp_path, .03, None, on_page=lambda *_: pytest.fail("there is nothing left to do"))


def test_other_settings_start_again(folder, tmp_path):
    many = shard_dataset(folder, tmp_path, .03)
    few = shard_dataset(folder, tmp_path, 1)
    assert many["fingerprint"] != few["fingerprint"] and len(many["shards"]) > len(few["shards"]) == 2
    assert {o.name for o in tmp_path.iterdir()} == {INDEX, "train-00000.tar", "valid-00000.tar"}


def test_shards_of_an_older_kind_are_made_again(tmp_path, monkeypatch):
    add_page(tmp_path/"dataset", "one", "p1", Image.new("RGB", (32, 32), "tan"), style="gray")
    shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    monkeypatch.setattr(streaming, "SCHEMA", streaming.SCHEMA + 1)
    with pytest.raises(DualflowError, match="of an older kind; run dualflow-shard-dataset again"): ShardPages(tmp_path/"shards")
    assert shard_dataset(tmp_path/"dataset", tmp_path/"shards")["schema"] == streaming.SCHEMA and len(ShardPages(tmp_path/"shards")) == 1


def test_an_index_that_leads_out_of_its_folder_deletes_nothing_there(tmp_path):
    add_page(tmp_path/"dataset", "one", "p1", Image.new("RGB", (32, 32), "tan"), style="gray")
    index = shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    (tmp_path/"mine.tar").write_text("mine")
    (tmp_path/"shards"/INDEX).write_text(json.dumps({**index, "fingerprint": "other", "shards": [{**index["shards"][0], "file": "../mine.tar"}]}))
    assert shard_dataset(tmp_path/"dataset", tmp_path/"shards") == index and (tmp_path/"mine.tar").read_text() == "mine"


def test_a_shard_ends_with_the_page_that_takes_it_to_its_size(shards):
    with tarfile.open(shards/"train-00000.tar") as tar: entries = tar.getmembers()
    last = next(o.offset for o in entries if o.name.split(".")[0] == entries[-1].name.split(".")[0])
    assert last < 30_000 <= entries[-1].offset_data + entries[-1].size + 512


def test_pages_that_have_changed_are_packed_anew(tmp_path):
    for style in ("gray", "lineart"):
        add_page(tmp_path/"dataset", "one", "p1", Image.new("RGB", (32, 32), "tan"), style=style)
        shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    assert [o.record.style for o in ShardPages(tmp_path/"shards")] == ["lineart"]


def test_shards_that_go_are_not_spoken_of(folder, tmp_path):
    "Other settings are begun and given up; then the first ones are wanted again."
    before = shard_dataset(folder, tmp_path, .03)
    def cut(*_): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): shard_dataset(folder, tmp_path, .03, 80, on_page=cut)
    assert shard_dataset(folder, tmp_path, .03) == before and sorted(o.name for o in ShardPages(tmp_path)) == sorted(o.name for o in DatasetLoader(folder, "train"))


def test_unreadable_pages_are_left_out(tmp_path):
    for i in range(4): add_page(tmp_path/"dataset", "one", f"p{i}", Image.new("RGB", (32, 32), (60 * i, 0, 0)), style="gray")
    broken = next((tmp_path/"dataset/source/color").glob("*p2.png"))
    broken.write_bytes(broken.read_bytes()[:40])
    index = shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    assert [o["page"] for o in index["left_out"]] == [broken.stem] and index["left_out"][0]["reason"]
    assert sorted(names(ShardPages(tmp_path/"shards"))) == [broken.stem[:-1] + i for i in "013"]
    assert cli.shard_dataset(["--dataset_dir", str(tmp_path/"dataset"), "--target_dir", str(tmp_path/"again")]) == 1


def test_shards_do_not_hide_a_dataset(folder, shards, tmp_path):
    with pytest.raises(DualflowError, match="a dataset, which shards would hide"): shard_dataset(folder, folder)
    for command, option in ((cli.train, "--dataset_dir"), (cli.create_dataset, "--target_dir")):
        assert command([option, str(shards), "--source_dir", str(folder)]) == 1 and not (shards/"metadata").exists()
    damaged = json.loads((shards/INDEX).read_text())
    damaged["shards"][0]["pages"] = "x"
    (tmp_path/INDEX).write_text(json.dumps(damaged))
    with pytest.raises(DualflowError, match="damaged index"): ShardPages(tmp_path)


def test_errors_in_words(folder, tmp_path):
    with pytest.raises(DualflowError, match="no shards here.*dualflow-shard-dataset"): ShardPages(tmp_path)
    with pytest.raises(DualflowError, match="not a dataset"): shard_dataset(tmp_path, tmp_path/"out")
    for settings_ in (dict(shard_mb=0), dict(quality=0), dict(quality=101)):
        with pytest.raises(DualflowError, match="must be above 0"): shard_dataset(folder, tmp_path, **settings_)
    (tmp_path/"file").write_text("")
    with pytest.raises(DualflowError, match="cannot be written"): shard_dataset(folder, tmp_path/"file/below")
    shard_dataset(folder, tmp_path/"shards")
    with pytest.raises(DualflowError, match="these are shards.*name the dataset"): DatasetLoader(tmp_path/"shards", "valid")
    for o in (tmp_path/"shards").glob("*.tar"): o.unlink()
    with pytest.raises(DualflowError, match="are gone"): ShardPages(tmp_path/"shards")
    (tmp_path/"shards"/INDEX).write_text("{")
    with pytest.raises(DualflowError, match="damaged index"): ShardPages(tmp_path/"shards")


# Damage

def read_all(shards):
    "What a reader gets, and what it is told."
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "unclosed event loop")  # what an earlier test left lying; the collector may come by here
        return {o.name: o for o in ShardPages(shards)}, [str(o.message) for o in told]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_costs_what_it_hits_and_is_named(shards, data):
    file = shards/data.draw(st.sampled_from([o["file"] for o in ShardPages(shards).shards]))
    whole, true = file.read_bytes(), read_all(shards)[0]
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    try:
        file.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1:])
        got, told = read_all(shards)
    finally: file.write_bytes(whole)
    assert all(o.record == true[k].record and o.data == true[k].data for k, o in got.items())  # nothing wrong comes through
    assert cut or len(true) - len(got) <= 1  # one byte costs one page at most
    assert (len(got) == len(true)) == (not told) and all(str(file) in o and "dualflow-shard-dataset" in o for o in told)


def test_a_missing_shard_is_named_and_the_rest_goes_on(shards):
    file = shards/ShardPages(shards).shards[0]["file"]
    whole = file.read_bytes()
    try:
        file.unlink()
        got, told = read_all(shards)
        loaded = sum(DataLoader(ShardPages(shards, chunk=4), batch_size=4, num_workers=2, collate_fn=names), [])
    finally: file.write_bytes(whole)
    assert len(told) == 1 and f"{file}: " in told[0] and len(got) == len(ShardPages(shards)) - ShardPages(shards).shards[0]["pages"]
    assert sorted(loaded) == sorted(got)


# Limits

def test_memory_does_not_grow(shards, tmp_path):
    "Shards of 1 and of 12 times as many pages: the same peak, and a page is let go when the next one comes."
    index = json.loads((shards/INDEX).read_text())
    long = {**index, "shards": []}
    for turn in range(12):
        for o in index["shards"]:
            name, first = f"{turn}-{o['file']}", o["first"] + turn * 1000
            with tarfile.open(shards/o["file"]) as old, tarfile.open(tmp_path/name, "w") as new:
                for entry in old:
                    data = old.extractfile(entry)
                    key, _, ending = entry.name.partition(".")
                    entry.name = f"{int(key) + turn * 1000:08}.{ending}"
                    new.addfile(entry, data)
            long["shards"].append({**o, "file": name, "first": first})
    (tmp_path/INDEX).write_text(json.dumps(long))

    def peak(where):
        n, alive, last = 0, 0, []
        tracemalloc.start()
        for n, page in enumerate(ShardPages(where, mix=2), 1):
            working_halves(page)
            last = [*last[-9:], weakref.ref(page)]
            alive = max(alive, sum(o() is not None for o in last))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return n, alive, most
    peak(shards)  # warm up
    (few, _, low), (many, alive, high) = peak(shards), peak(tmp_path)
    assert many == 12 * few and alive <= 2 and high < 1.3 * low + 50_000


@settings(max_examples=150, deadline=None)
@given(limit=st.integers(0, 300), asked=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 120)), max_size=60))
def test_the_cache_keeps_its_limit_and_what_was_asked_for_last(limit, asked):
    cache, sizes, model = PatchCache(limit / 1e6), {}, []
    for key, size in asked:
        size = sizes.setdefault(key, size)
        kept = key in model
        value = cache.get(key, lambda: (np.full(size // 2, key, np.uint8), bytes(size - size // 2)) if not kept else pytest.fail("it was there"))
        assert (value[0] == key).all()
        if kept: model.remove(key)
        if kept or size <= cache.limit: model.append(key)
        while sum(sizes[o] for o in model) > cache.limit: model.pop(0)
        assert list(cache.kept) == model and cache.held == sum(sizes[o] for o in model) <= cache.limit


def test_a_cache_sent_to_another_process_is_empty():
    cache = PatchCache(1)
    cache.get("a", lambda: b"x" * 1000)
    sent = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 1000 and (sent.held, sent.limit, len(sent.kept)) == (0, cache.limit, 0) and cache.held == 1000
    assert sent.get("a", lambda: b"y") == b"y" and sent.held == 1


def test_a_worker_uses_the_cache_and_adds_nothing(monkeypatch):
    cache = PatchCache(1)
    cache.get("a", lambda: b"x")
    monkeypatch.setattr(streaming, "get_worker_info", lambda: "some")
    assert (cache.get("a", None), cache.get("b", lambda: b"yy")) == (b"x", b"yy") and (list(cache.kept), cache.held, cache.hits) == (["a"], 1, 1)


def test_the_cache_counts_pictures_as_they_lie_in_memory():
    cache = PatchCache(1)
    halves = cache.get(0, lambda: (Image.new("RGB", (10, 10)), None, Image.new("L", (10, 10)), torch.zeros(3, 4)))
    assert cache.held == 400 + 100 + 48 and cache.get(0, None) is halves and cache.hits == 1


def test_bench():
    lines = bench_streaming(30, (48, 64))
    assert lines["pages"] == "30 of 48 x 64" and {"  resident after 3 pages", "  resident after 30 pages"} < set(lines)
    assert all(float(v.split()[0]) > 0 for k, v in lines.items() if v.endswith("pages/s"))


def test_halves_are_flipped_together():
    page = draw_page(3, size=(320, 448)).color.convert("L").convert("RGB")
    for seed in range(6):
        rgb, L, _ = cut_view(page, page.convert("L"), np.random.default_rng(seed), 64)
        assert (page_lightness(Image.fromarray(rgb.permute(1, 2, 0).numpy()))[0] - L).abs().max() < 1


def test_a_recipe_is_followed():
    "Vivid, lighter or darker, turned, noisy: each for itself."
    rgb = torch.from_numpy(np.array(draw_page(3, size=(64, 64)).color)).permute(2, 0, 1)[None]
    made = lambda **o: print_views((rgb, torch.zeros(1, 1, 64, 64), torch.tensor([Recipe(**o)], dtype=torch.float32)))
    L, true = made()
    assert torch.allclose(made(vivid=1.2)[1][:, 1:3], 1.2 * true[:, 1:3], atol=1e-3)
    assert torch.allclose(made(tone=2)[1][:, :1], (true[:, :1] / 100).clamp(0, 1)**2 * 100, atol=.1)
    assert torch.allclose(made(turn=90)[1][0, 1], torch.rot90(true[0, 1]), atol=1.) or torch.allclose(made(turn=90)[1][0, 1], torch.rot90(true[0, 1], -1), atol=1.)
    L, true = made(paper=.9)
    assert torch.equal(true[:, 4:], L) and not torch.equal(true[:, :1], L)
    white = print_views((torch.full((1, 3, 64, 64), 255), torch.zeros(1, 1, 64, 64), torch.tensor([Recipe(turn=10)], dtype=torch.float32)))
    assert white[1][:, 0].min() > 99  # no black corners
    noisy = scan(torch.full((1, 1, 64, 64), 50.), 1, 2, 0)
    assert noisy.std() == pytest.approx(2, abs=.2)


def test_a_scan_is_neither_darkened_nor_lightened(): assert all(draw_recipe(np.random.default_rng(i), made=False).tone == 1 for i in range(40))


@pytest.mark.parametrize("size", [(300, 40), (40, 300)])
def test_views_of_wide_and_high_pages_lie_within(size):
    for seed in range(6): assert cut_view(Image.new("RGB", size, "tan"), None, np.random.default_rng(seed), 64)[0].float().std((1, 2)).max() == 0


def test_panels_are_framed_at_the_rim_too():
    view, other = ((torch.full((3, 32, 32), o, dtype=torch.uint8), torch.full((1, 32, 32), float(o)), torch.zeros(13)) for o in (0, 60))
    for seed in range(20):
        color, L, _ = add_panels(view, [other], np.random.default_rng(seed))
        near = torch.nn.functional.max_pool2d((color[:1] == 60).float(), 3, 1, 1) > 0
        assert near.any() and not (near & (color[:1] == 0)).any() and torch.equal(color[:1] == 255, L == 100) and (L == 100).any()
