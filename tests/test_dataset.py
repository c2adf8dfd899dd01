"Whatever a person brings: pages of every origin become a dataset, or are refused in words; nothing is lost, and nothing is half done."
import errno, io, json, os, random, shutil, signal, struct, subprocess, sys, time, unicodedata, zipfile, zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pypdfium2 as pdfium
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from skimage.transform import SimilarityTransform

from dualflow import cli
from dualflow.alignment import FINE, IN_PLACE, Alignment, align_pair, find_alignment, in_place, lay_over
from dualflow.checking import NEAR, find_duplicates, find_leftovers, fix_dataset, prune_dataset, validate_dataset
from dualflow.core import DualflowError, PageError, Workspace, load_page, png, save_page
from dualflow.dataset import SCHEMA, DatasetLoader, _style_for, create_dataset, drop_maps, file_name, held_out, is_grey, migrate, read_record, read_records
from dualflow.drawing import draw_page
from dualflow.printing import STYLES, manga_bw
from dualflow.sources import Source, find_pages, pair_key, render_pdf
from dualflow.streaming import fingerprint
from dualflow.terminal import counter

ROOT = Path(__file__).parents[1]
PAGES = [draw_page(i, size=(320, 448)).color for i in range(6)]
LARGE = draw_page(7).color


def bw(page, style="gray"): return manga_bw(page, style).image
LARGE_BW = {o: bw(LARGE, o) for o in STYLES}


def moved(page, dx, dy, scale, degrees, cut=0):
    "`page` as another scanner sees it, and the true map from its pixels to the scan's."
    middle = np.array(page.size) / 2
    true = (SimilarityTransform(translation=-middle) + SimilarityTransform(scale=scale, rotation=np.deg2rad(degrees))
            + SimilarityTransform(translation=middle * scale + (dx - cut, dy - cut))).params
    return lay_over(page, np.linalg.inv(true), [round(o * scale) - 2 * cut for o in page.size]), true


def corner_error(matrix, true, size):
    corners = np.array([(x, y, 1) for x in (0, size[0]) for y in (0, size[1])], float)
    return np.hypot(*((corners @ (np.linalg.inv(true) @ matrix).T - corners)[:, :2]).T).max()


def bomb(width=40000, height=25000):
    "A PNG of a few bytes whose header promises 10^9 pixels."
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def tree(folder): return {o.relative_to(folder): o.read_bytes() for o in Path(folder).rglob("*") if o.is_file()}
def kinds(problems, *severities): return sorted((o["page"], o["kind"]) for o in problems if not severities or o["severity"] in severities)


@pytest.fixture
def mine(tmp_path):
    for i in range(3): save_page(PAGES[i], tmp_path / f"mine/ch/p{i}.png")
    return tmp_path / "mine"


# Pairs that match

@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("move", [(31, -17, 1., 0.), (-40, 8, .8, 2.), (12, 25, 1.25, -2.), (5, 9, 1.1, .7, 60), (0, 0, .93, 0.)], ids=str)
def test_moves_are_recovered_within_a_pixel(style, move):
    scan, true = moved(LARGE_BW[style], *move)
    found = find_alignment(LARGE, scan)
    assert corner_error(found.matrix, true, LARGE.size) < 1 and found.agreement > .6


@settings(deadline=None, max_examples=4)
@given(st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(.8, 1.25), st.floats(-2, 2), st.integers(0, 40)), st.sampled_from(STYLES))
def test_any_move_is_recovered(move, style):
    scan, true = moved(LARGE_BW[style], *move)
    assert corner_error(find_alignment(LARGE, scan).matrix, true, LARGE.size) < 1


def test_aligned_halves_lie_on_each_other():
    scan, _ = moved(LARGE_BW["gray"], 10, -6, .9, 1.)
    cut, laid, done = align_pair(LARGE, scan)
    assert cut.size == laid.size and done[0]["residual"] < 1 and cut.tobytes() == LARGE.crop(done[1]["cut_to"]).tobytes()  # cut, never resampled
    truth = np.asarray(LARGE_BW["gray"].crop(done[1]["cut_to"]), float)
    assert np.abs(np.asarray(laid.convert("L"), float) - truth)[5:-5, 5:-5].mean() < 4
    whole, laid, done = align_pair(LARGE, moved(LARGE_BW["gray"], 0, 0, 1.2, 0.)[0])
    assert whole is LARGE and len(done) == 1  # all of it is covered, so the colour half is as it was


@pytest.mark.parametrize("style", STYLES)
def test_pairs_in_place_are_left_alone_and_strangers_refused(style):
    for page, half in ((LARGE, LARGE_BW[style]), (PAGES[0], bw(PAGES[0], style))):
        kept, laid, done = align_pair(page, half)
        assert kept is page and laid is half and done[0]["kept"] == "in place"
    for stranger in (bw(PAGES[1], style).resize(LARGE.size), Image.fromarray(np.random.default_rng(0).integers(0, 255, (420, 300), np.uint8))):
        with pytest.raises(PageError, match="does not show the same drawing"): align_pair(LARGE, stranger)
    with pytest.raises(PageError): align_pair(LARGE, half.crop((0, 0, 60, 60)))


# What people bring

def test_folders_archives_and_pdfs_of_all_sizes(tmp_path, capsys):
    mine = tmp_path / "mine"
    save_page(PAGES[0], mine / "one/color/p1.png"); save_page(bw(PAGES[0]).resize((480, 672)), mine / "one/bw/p1.jpg")
    with zipfile.ZipFile(mine / "two.cbz", "w") as z: z.writestr("a/p1.png", png(PAGES[1])); z.writestr("a/p10.png", png(PAGES[2].resize((200, 280))))
    PAGES[3].save(mine / "three.pdf", save_all=True, append_images=[PAGES[4]], resolution=150, quality=95)
    (mine / "four.cbr").write_bytes(b"Rar!"); (mine / "five.pdf").write_bytes(b"%PDF-1.4 no"); (mine / "notes.txt").write_text("not a page")
    assert cli.create_dataset(["--source_dir", str(mine), "--target_dir", str(tmp_path / "d")]) == 1
    out = capsys.readouterr()
    assert "found 6 pages in 2 folders and 2 archives: 1 pairs by name, 4 pages without a B/W half" in out.out and "1 aligned, 4 B/W made" in out.out
    assert "four.cbr" in out.err and "five.pdf" in out.err and "notes" not in out.err
    loader = DatasetLoader(tmp_path / "d")
    assert sorted(o.color.size for o in loader) == [(200, 280), *[(320, 448)] * 4] and all(o.bw.size == o.color.size for o in loader)
    aligned = next(o.record for o in loader if o.record.style == "original")
    assert aligned.transformations[0]["from_size"] == [480, 672] and aligned.transformations[0]["residual"] < 1
    assert (loader.space.color / aligned.color).read_bytes() == (mine / "one/color/p1.png").read_bytes()
    assert validate_dataset(tmp_path / "d") == []


def test_only_what_is_new_is_done(mine, tmp_path):
    assert create_dataset(mine, tmp_path / "d")["done"] == {"B/W made": 3}
    before = {o: (tmp_path / "d" / o).stat().st_mtime_ns for o in tree(tmp_path / "d") if o.name != "dataset_info.json"}
    assert create_dataset(mine, tmp_path / "d")["done"] == {"unchanged": 3}
    assert all((tmp_path / "d" / o).stat().st_mtime_ns == v for o, v in before.items())
    save_page(PAGES[4], mine / "ch/p1.png"); save_page(bw(PAGES[2]), mine / "ch/p2_bw.png"); save_page(PAGES[5], mine / "ch/p9.png")
    (mine / "ch/p2.png").rename(mine / "ch/p2_color.png")
    assert create_dataset(mine, tmp_path / "d")["done"] == {"unchanged": 1, "B/W made": 2, "paired": 1}
    assert len(DatasetLoader(tmp_path / "d")) == 4 and validate_dataset(tmp_path / "d") == []
    save_page(PAGES[3], tmp_path / "other/ch/p1.png")  # the same name from elsewhere is another page
    create_dataset(tmp_path / "other/ch", tmp_path / "d")
    assert len(DatasetLoader(tmp_path / "d")) == 5 and {o.name: o for o in DatasetLoader(tmp_path / "d")}["ch__p1"].color.tobytes() == PAGES[4].tobytes()
    (tmp_path / "mine").rename(tmp_path / "moved")  # the same pages from a folder of another name are the same pages
    assert create_dataset(tmp_path / "moved", tmp_path / "d")["done"] == {"unchanged": 4}
    assert len(DatasetLoader(tmp_path / "d")) == 5
    save_page(PAGES[5], tmp_path / "moved/ch/p0.png")  # and one that is changed there is changed, not new
    assert create_dataset(tmp_path / "moved", tmp_path / "d")["done"] == {"unchanged": 3, "B/W made": 1} and len(DatasetLoader(tmp_path / "d")) == 5
    shutil.copytree(tmp_path / "moved", tmp_path / "backup")  # a copy beside it is no move
    assert create_dataset(tmp_path / "backup", tmp_path / "d")["done"] == {"unchanged": 4}
    save_page(PAGES[2], tmp_path / "moved/ch/p0.png")
    assert create_dataset(tmp_path / "moved", tmp_path / "d")["done"] == {"unchanged": 3, "B/W made": 1} and len(DatasetLoader(tmp_path / "d")) == 5
    edit(tmp_path / "d", 0, source={})  # a record need not say where its page is from
    create_dataset(tmp_path / "moved", tmp_path / "d")


def test_a_target_within_the_source_is_no_source(mine, tmp_path, capsys):
    for _ in range(3): info = create_dataset(mine, mine / "d")
    assert info["pages"] == 3 and info["done"] == {"unchanged": 3}
    save_page(bw(PAGES[0]), tmp_path / "grey/p.png")
    own = {o: o.read_bytes() for o in (tmp_path / "grey").rglob("*.png")}
    assert colorize(tmp_path / "grey", tmp_path / "grey/out") == 1 and "lies in the input" in capsys.readouterr().err
    assert {o: o.read_bytes() for o in (tmp_path / "grey").rglob("*") if o.is_file()} == own


@pytest.mark.parametrize("size, kept", [((320, 448), True), ((300, 400), False)])
def test_a_blank_half_stops_nothing(mine, tmp_path, size, kept):
    "Nothing on it says where it lies: in place it is believed, in another size it is left out."
    save_page(PAGES[4], mine / "ch/q_color.png"); save_page(Image.new("L", size, 255), mine / "ch/q_bw.png")
    thin = Image.new("RGB", (1, 100), (200, 60, 40)); thin.paste((40, 60, 200), (0, 0, 1, 50)); save_page(thin, mine / "ch/thin.png")
    info = create_dataset(mine, tmp_path / "d", "screentone")
    assert info["pages"] == 4 + kept and len(info["left_out"]) == 1 - kept


def test_killed_at_any_moment(tmp_path):
    mine, target, dice = tmp_path / "mine", tmp_path / "d", random.Random(0)
    for i in range(24): save_page(PAGES[i % 6].resize((64 + i, 96)), mine / f"c{i % 3}/p{i}.png")
    code = "import sys, time; from dualflow.dataset import create_dataset; print('go', flush=True); create_dataset(*sys.argv[1:], style='lineart')"
    done = []
    for attempt in range(3):
        if attempt == 1: save_page(PAGES[5].resize((70, 96)), mine / "c0/p0.png")  # a source changes in between
        worker = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, mine, target], stdout=subprocess.PIPE)
        worker.stdout.readline()
        while not any((target / "metadata").glob("[!.]*.json")): assert worker.poll() is None
        time.sleep(dice.uniform(.05, .6))
        worker.send_signal(signal.SIGKILL); worker.wait()
        problems = validate_dataset(target)
        assert not kinds(problems, "error"), problems
        done.append(len(read_records(Workspace(target))))
    assert done == sorted(done)
    create_dataset(mine, target, style="lineart")
    prune_dataset(target)
    assert not kinds(validate_dataset(target), "error", "note") and len(DatasetLoader(target)) == 24


@pytest.mark.parametrize("cut", range(8))
def test_cut_off_between_any_two_renames(mine, tmp_path, monkeypatch, cut):
    "As kill -9 would, at every step of a page that is added and of one that replaces another."
    class Killed(BaseException): pass
    steps, replace, unlink = [], os.replace, os.unlink
    def step(do):
        def act(*args, **options):
            steps.append(1)
            if len(steps) > cut: raise Killed
            if do is replace or os.path.exists(args[0]): do(*args)
        return act
    create_dataset(mine, tmp_path / "d")
    save_page(PAGES[4], mine / "ch/p1.png"); save_page(PAGES[5], mine / "ch/p3.png")
    monkeypatch.setattr(os, "replace", step(replace)); monkeypatch.setattr(Path, "unlink", step(unlink)); monkeypatch.setattr(os, "unlink", lambda o: None)  # what is killed clears nothing away
    try: create_dataset(mine, tmp_path / "d")
    except Killed: pass
    else: assert cut > 7
    monkeypatch.undo()
    assert not kinds(validate_dataset(tmp_path / "d"), "error")
    create_dataset(mine, tmp_path / "d"); prune_dataset(tmp_path / "d")
    assert validate_dataset(tmp_path / "d") == [] and len(DatasetLoader(tmp_path / "d")) == 4


# Bad input

NAMES = ["第一話 表紙", "صفحة ١", "🎉", "🐟", "con.", "a  b", "a-b", "é" * 120, "-rf", "p1'; --"]


@settings(deadline=None, max_examples=50)
@given(st.sets(st.text(min_size=1), min_size=2, max_size=60), st.text(min_size=1))
def test_chapters_held_out_stay_so_as_others_come(chapters, new):
    before, after = held_out(chapters), held_out(chapters | {new})
    assert 1 <= len(before) <= len(chapters) / 2 and before <= chapters
    assert len(before - after) <= (len(before) == 1)  # where only the lowest of few is held out, a lower one takes its place
    many = {f"{o}{i}" for o in chapters for i in range(40)}
    assert held_out(many) <= held_out(many | {new}) and len(many) * .02 < len(held_out(many)) < len(many) * .3


def test_names_in_any_script(tmp_path):
    for i, name in enumerate(NAMES): save_page(PAGES[i % 6].resize((64 + i, 96)), tmp_path / "mine" / f"章 {i % 2}" / f"{name}.png")
    info = create_dataset(tmp_path / "mine", tmp_path / "d")
    assert info["pages"] == len(NAMES) and not info["left_out"] and not kinds(validate_dataset(tmp_path / "d"), "error", "note")
    assert {o.record.source["color"]["file"] for o in DatasetLoader(tmp_path / "d")} == {str(o) for o in (tmp_path / "mine").rglob("*.png")}


@settings(deadline=None, max_examples=200)
@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_file_names_are_safe_and_apart(a, b):
    one, two = file_name("c", a), file_name("c", b)
    assert "/" not in one and "\0" not in one and not one.startswith(".") and len(one.encode("utf-8", "replace")) <= 170
    if a != b: assert one != two


def test_accents_and_vowel_signs_are_of_their_letters():
    for name in ("पृष्ठ_१", "หน้า", "நான்கு", unicodedata.normalize("NFD", "Été"), unicodedata.normalize("NFD", "が")): assert file_name("c", name) == f"c__{name}"
    assert file_name("c", "☀\ufe0f!\u0301x").startswith("c__x-") and file_name("c", "a--b c").startswith("c__a--b-c-")  # those of none go


def test_a_torn_page_whose_name_is_in_another_encoding_stops_nothing(mine, tmp_path):
    try: (mine / "ch" / os.fsdecode(b"\x8a.png")).write_bytes(b"torn")
    except OSError: pytest.skip("no such names on this disk")
    assert create_dataset(mine, tmp_path / "d")["pages"] == 3
    assert json.loads((tmp_path / "d/dataset_info.json").read_text(encoding="utf-8"))["left_out"][0]["page"] == str(mine / "ch" / os.fsdecode(b"\x8a.png"))


def test_bad_pages_are_left_out_and_the_rest_is_done(mine, tmp_path):
    (mine / "ch/bomb.png").write_bytes(bomb()); (mine / "ch/torn.jpg").write_bytes(b"\xff\xd8\xff"); (mine / "ch/empty.png").write_bytes(b"")
    save_page(bw(PAGES[4]), mine / "ch/grey.png"); save_page(bw(PAGES[4]), mine / "ch/lone_bw.png")
    save_page(PAGES[5], mine / "ch/q_color.png"); save_page(bw(PAGES[4]), mine / "ch/q_bw.png")
    with zipfile.ZipFile(mine / "evil.cbz", "w") as z:
        for name in ("../../out.png", "/abs.png", "..\\..\\win.png", "C:/x.png"): z.writestr(name, png(PAGES[3].resize((64 + len(name), 96))))
        z.writestr("zeros.png", bytes(1000))
    before, around = tree(mine), set(tmp_path.parent.iterdir())
    info = create_dataset(mine, tmp_path / "d")
    assert info["pages"] == 7
    reasons = {Path(o["page"]).name.split(":")[-1]: o["reason"] for o in info["left_out"]}
    assert set(reasons) == {"bomb.png", "torn.jpg", "empty.png", "grey.png", "lone_bw.png", "q_bw.png", "zeros.png"}
    assert "limit" in reasons["bomb.png"] and "no colour" in reasons["grey.png"] and "without its colour" in reasons["lone_bw.png"] and "same drawing" in reasons["q_bw.png"]
    assert tree(mine) == before and set(tmp_path.parent.iterdir()) == around and {o.name for o in tmp_path.iterdir()} == {"mine", "d"}
    assert not kinds(validate_dataset(tmp_path / "d"), "error", "note")


def test_a_page_left_out_is_told_with_its_file(mine, tmp_path, capsys):
    (mine / "ch/torn.jpg").write_bytes(b"\xff\xd8\xff"); (mine / "ch/gone.png").symlink_to("nowhere")
    assert cli.create_dataset(["--source_dir", str(mine), "--target_dir", str(tmp_path / "d")]) == 1
    said = capsys.readouterr().err
    assert f"{mine / 'ch/torn.jpg'}: left out, not a picture" in said and "gone.png: left out, cannot be read (No such file or directory); copy" in said


def test_a_page_that_may_not_be_read_is_told_so(mine, monkeypatch):
    def denied(self): raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(PageError, match="p0.png: no permission to read it; allow that"): find_pages(mine)[0].read()


def test_what_takes_long_gives_a_sign_of_life(capsys):
    often, seldom = counter(0), counter(60)
    for i in (1, 2): often(i, 2); seldom(i, 2)
    assert capsys.readouterr().out.split() == ["[1/2]", "[2/2]", "[2/2]"]


def test_an_archive_may_not_promise_the_moon(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "big.cbz", "w", zipfile.ZIP_DEFLATED) as z: z.writestr("p.png", bytes(3_000_000))
    monkeypatch.setattr("dualflow.sources.MAX_BYTES", 1_000_000)
    with pytest.raises(PageError, match="unpacks to more"): find_pages(tmp_path)[0].read()


@pytest.mark.parametrize("kind, words", [(zipfile.ZIP_DEFLATED, "Bad CRC"), (zipfile.ZIP_BZIP2, "ordinary zip"), (zipfile.ZIP_LZMA, "ordinary zip")])
def test_an_archive_that_lies_takes_no_memory(tmp_path, kind, words):
    "Its header says 1000 bytes, and it holds 50 million."
    import tracemalloc
    with zipfile.ZipFile(tmp_path / "b.cbz", "w", kind) as z: z.writestr("p.png", bytes(50_000_000))
    data = (tmp_path / "b.cbz").read_bytes()
    (tmp_path / "b.cbz").write_bytes(data.replace(struct.pack("<I", 50_000_000), struct.pack("<I", 1000)))
    page = find_pages(tmp_path)[0]
    tracemalloc.start()
    with pytest.raises(PageError, match=words): page.read()
    peak = tracemalloc.get_traced_memory()[1]; tracemalloc.stop()
    assert peak < 5_000_000


def no_room(monkeypatch, times):
    "The disk is full for the next `times` pages."
    left, write = [times], Path.write_bytes
    def full(self, data):
        if left[0] > 0 and "source" in self.parts:
            left[0] -= 1; write(self, data[:len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)
    monkeypatch.setattr(Path, "write_bytes", full)


def test_books_that_cannot_be_opened_are_named_with_the_remedy(tmp_path, capsys):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z: z.writestr("p\u00e9.png", b"x")
    (tmp_path / "bad.cbz").write_bytes(data.getvalue().replace("\u00e9".encode(), b"\xff\xfe")); (tmp_path / "old.cbr").write_bytes(b"Rar!")
    for name, words in (("bad.cbz", "cannot be opened"), ("old.cbr", "make a CBZ")):
        assert cli.colorize(["--input", str(tmp_path / name), "--output", str(tmp_path / "o.cbz")]) == 1
        said = capsys.readouterr()
        assert name in said.err and words in said.err and "weights" not in said.out


def test_full_disk(mine, tmp_path, monkeypatch):
    create_dataset(mine, tmp_path / "d")
    before = tree(tmp_path / "d")
    for i in (0, 1): save_page(PAGES[4 + i], mine / f"ch/p{i}.png")
    no_room(monkeypatch, 1)
    info = create_dataset(mine, tmp_path / "d")
    assert info["done"] == {"left out": 1, "B/W made": 1, "unchanged": 1} and "No space left" in info["left_out"][0]["reason"]
    after = tree(tmp_path / "d")
    assert set(after) == set(before) and all(after[o] == before[o] for o in before if "p0" in o.name)  # the old page is all there
    assert validate_dataset(tmp_path / "d") == []
    monkeypatch.undo()
    assert create_dataset(mine, tmp_path / "d")["done"] == {"B/W made": 1, "unchanged": 2}


def test_targets_that_cannot_be_written(mine, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DualflowError, match="cannot be written"): create_dataset(mine, tmp_path / "file/d")
    def denied(self, *args, **options): raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr(Path, "mkdir", denied)
    assert cli.create_dataset(["--source_dir", str(mine), "--target_dir", str(tmp_path / "d")]) == 1
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "d").exists()


# Is it whole?

@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    for i in range(3): save_page(PAGES[i], folder / f"mine/ch/p{i}.png")
    save_page(PAGES[4], folder / "mine/ch/p4_color.png"); save_page(bw(PAGES[4], "lineart"), folder / "mine/ch/p4_bw.png")
    create_dataset(folder / "mine", folder / "d", style="gray")
    return folder


@pytest.fixture
def data(built, tmp_path):
    for o in ("mine", "d"): shutil.copytree(built / o, tmp_path / o)
    return tmp_path / "d"


def half(data, kind, i): return getattr(Workspace(data), kind) / getattr(read_record(data / f"metadata/ch__p{i}.json"), kind)
def edit(data, i, **values):
    file = data / f"metadata/ch__p{i}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


HARM = {  # what is done; what is reported, and whether it can be mended
    "B/W lost": (lambda d: half(d, "bw", 0).unlink(), "missing", True), "colour lost": (lambda d: half(d, "color", 0).unlink(), "missing", False),
    "scan lost": (lambda d: half(d, "bw", 4).unlink(), "missing", False),
    "B/W torn": (lambda d: half(d, "bw", 0).write_bytes(half(d, "bw", 0).read_bytes()[:900]), "unreadable", True),
    "B/W changed": (lambda d: save_page(bw(PAGES[0], "lineart"), half(d, "bw", 0)), "changed", True),
    "B/W of another size": (lambda d: save_page(bw(PAGES[0]).resize((99, 99)), half(d, "bw", 0)), "size", True),
    "colour changed": (lambda d: save_page(PAGES[5], half(d, "color", 0)), "changed", False),
    "colour drained": (lambda d: save_page(bw(PAGES[0]), half(d, "color", 0)), "no colour", False),
    "scan shifted": (lambda d: save_page(moved(bw(PAGES[4]), 8, 5, 1., 0.)[0], half(d, "bw", 4)), "misaligned", False),
    "wrong size noted": (lambda d: edit(d, 0, original_size=[1, 2]), "metadata", True),
    "stale map": (lambda d: edit(d, 0, attention_regions=[{"x": 0, "y": 0, "w": 9, "h": 9, "importance": 1.}], attention_of="other"), "stale map", True),
    "map beyond the page": (lambda d: edit(d, 0, attention_regions=[{"x": 0, "y": 0, "w": 9999, "h": 9, "importance": 1.}]), "stale map", True),
    "map above the page": (lambda d: edit(d, 0, attention_regions=[{"x": 0, "y": -1, "w": 9, "h": 9, "importance": 1.}]), "stale map", True),
    "page without a width": (lambda d: edit(d, 0, original_size=[0, 5]), "damaged metadata", False),
    "record torn": (lambda d: (d / "metadata/ch__p0.json").write_text("{"), "damaged metadata", False),
    "record of another": (lambda d: edit(d, 0, name="ch__p1"), "damaged metadata", False),
    "record that leads out": (lambda d: edit(d, 0, color="../../../x.png"), "damaged metadata", False),
    "chapter that is a number": (lambda d: edit(d, 0, chapter=1), "damaged metadata", False), "chapter that is a list": (lambda d: edit(d, 0, chapter=["ch"]), "damaged metadata", False),
    "unknown style": (lambda d: edit(d, 0, style="grey"), "damaged metadata", False), "source that is a number": (lambda d: edit(d, 0, source={"color": {"file": 5, "sha256": "0"}}), "damaged metadata", False),
    "regions in words": (lambda d: edit(d, 0, attention_regions=[{k: "1" for k in ("x", "y", "w", "h", "importance")}]), "damaged metadata", False),
}


@pytest.mark.parametrize("harm, kind, fixable", HARM.values(), ids=HARM)
def test_harm_is_seen_and_mended(data, harm, kind, fixable):
    harm(data)
    outside = {o: v for o, v in tree(data / "source").items() if o.parts[0] == "color" or "p4" in o.name}
    problems = validate_dataset(data)
    found = [o for o in problems if o["kind"] == kind and o["severity"] == "error"]
    assert found and found[0]["fixable"] == fixable, problems
    if kind == "misaligned": assert "lies about 9 pixels off" in found[0]["problem"]
    fix_dataset(data, problems)
    left = kinds(validate_dataset(data))
    assert left == [] if fixable else left
    assert {o: v for o, v in tree(data / "source").items() if o in outside} == outside  # what came from outside was only read
    assert prune_dataset(data) == ([], 0)  # and none of it counts as a leftover
    create_dataset(data.parent / "mine", data, style="gray")  # from the sources, everything can be had again
    assert validate_dataset(data) == []


def test_what_cannot_be_mended_hinders_nothing(data, capsys):
    "One page has lost its colours and its map is stale, another its B/W half, a third both a scan and a schema."
    half(data, "color", 0).unlink(); edit(data, 0, attention_regions=[{"x": 0, "y": 0, "w": 9, "h": 9, "importance": 1.}], attention_of="other")
    half(data, "bw", 1).unlink(); half(data, "bw", 4).unlink(); edit(data, 4, schema=1)
    assert cli.validate_dataset(["--dataset_dir", str(data), "--fix"]) == 1
    out = capsys.readouterr()
    assert half(data, "bw", 1).is_file() and ("ch__p1", "missing") not in kinds(validate_dataset(data)) and not out.err
    assert out.out.endswith("made again by dualflow-create-dataset, of the pages it came from\n")
    for o in (data / "source/color").iterdir(): o.unlink()
    assert ("ch__p1", "missing") in kinds(validate_dataset(data), "error")  # not a single page is left to be compared with another


def test_leftovers_are_notes_and_can_be_pruned(data, capsys):
    (data / "metadata/.ch__p9-abcd1234.json").write_text("{"); (data / "source/bw/gone.png").write_bytes(bytes(600_000)); (data / "source/bw/.keep").write_text("")
    (data / "attention_maps/patches/important/gone__00.png").write_bytes(bytes(500)); (data / "attention_maps/patches/important/ch__p0__00.png").write_bytes(b"mine")
    (data / "dataset_info.json").write_text("{}")
    save_page(PAGES[0], data.parent / "mine/ch2/again.png"); create_dataset(data.parent / "mine/ch2", data); (data / "dataset_info.json").unlink()
    command = lambda *more: (cli.validate_dataset(["--dataset_dir", str(data), *more]), capsys.readouterr().out)
    status, out = command()
    assert status == 0 and "1 warnings, 4 notes" in out and out.splitlines()[0].split() == ["severity", "page", "kind", "--fix", "problem"]
    assert kinds(json.loads(command("--json")[1]), "warning") == [("ch__p0", "duplicate")] or kinds(json.loads(command("--json")[1]), "warning") == [("ch2__again", "duplicate")]
    status, out = command("--prune", "--fix")
    assert status == 0 and "3 files removed, 0.6 MB freed" in out and "1 mended" in out and "1 problems: 0 errors, 1 warnings, 0 notes" in out
    assert (data / "source/bw/.keep").exists() and (data / "attention_maps/patches/important/ch__p0__00.png").exists()
    half(data, "bw", 0).unlink()
    assert command()[0] == 1 and command("--fix")[0] == 0


def test_what_somebody_else_put_there_stays(data, capsys):
    "Only pictures and records count as leftovers; each that goes is named."
    (data / "source/bw/notes.txt").write_text("mine"); save_page(PAGES[5], data / "source/color/stray.png")
    assert cli.validate_dataset(["--dataset_dir", str(data), "--prune"]) == 0
    out = capsys.readouterr().out
    assert (data / "source/bw/notes.txt").read_text() == "mine" and f"removed: {data / 'source/color/stray.png'}" in out and "1 files removed" in out and "0 problems" in out


def test_a_page_whose_name_ends_like_a_patch_is_no_leftover(tmp_path):
    "Nor is what a damaged record may speak of; a half that its record does not name is one."
    space = Workspace(tmp_path).create()
    for o in ("source/color/ch__12.png", "source/bw/ch__12.png", "source/bw/lost.png", "attention_maps/patches/background/ch__12.png", "attention_maps/patches/important/ch__12.json", "attention_maps/patches/important/ch__12__00.png"): (tmp_path / o).touch()
    (tmp_path / "source/color/ch__12.jpg").touch()
    assert find_leftovers(space, {"ch__12": SimpleNamespace(color="ch__12.png", bw="ch__12.png"), "lost": PageError("lost", "damaged")}) == [("orphan", tmp_path / "source/color/ch__12.jpg")]


def test_a_chapter_under_a_new_name_is_seen_twice(tmp_path, capsys):
    "Pages whose originals are gone are named, and a page on both sides of the split is said to be one."
    i = 0
    while held_out({"a", f"b{i}"}) != {"a"}: i += 1
    for k in range(2): save_page(PAGES[k], tmp_path / f"mine/a/p{k}.png")
    make = lambda: cli.create_dataset(["--source_dir", str(tmp_path / "mine"), "--target_dir", str(tmp_path / "d")])
    assert make() == 0 and "originals" not in capsys.readouterr().out
    (tmp_path / "mine/a").rename(tmp_path / f"mine/b{i}")
    assert make() == 0 and "2 pages are kept whose originals are not there any more, or not connected, such as a__p0" in capsys.readouterr().out
    assert sum("held out" in o["problem"] for o in validate_dataset(tmp_path / "d") if o["kind"] == "duplicate") == 2
    for o in (tmp_path / "d/metadata").glob("a__*"): o.unlink()  # as it was told
    assert cli.validate_dataset(["--dataset_dir", str(tmp_path / "d"), "--prune", "--fix"]) == 0 and len(DatasetLoader(tmp_path / "d")) == 2
    capsys.readouterr()
    assert make() == 0 and "any more" not in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "mine/c.cbz", "w") as z: z.writestr("x/1.png", png(PAGES[3]))  # a page of an archive is there as long as that is
    assert make() == 0 and "any more" not in capsys.readouterr().out
    (tmp_path / "mine/c.cbz").unlink()
    assert make() == 0 and "1 pages are kept" in capsys.readouterr().out


def test_an_empty_dataset_is_no_good_one(tmp_path):
    Workspace(tmp_path / "d").create()
    assert ("dataset_info.json", "empty") in kinds(validate_dataset(tmp_path / "d"), "error")


def test_schemas_are_migrated_or_refused(data):
    record = json.loads((data / "metadata/ch__p0.json").read_text())
    old = {k: v for k, v in record.items() if k not in ("files", "attention_of")} | {"schema": 1}
    (data / "metadata/ch__p0.json").write_text(json.dumps(old))
    assert DatasetLoader(data)[0].record.files == {"color": old["source"]["color"]["sha256"]} and old["schema"] == 1
    problems = validate_dataset(data)
    assert kinds(problems) == [("ch__p0", "old schema")] and problems[0]["severity"] == "note"
    assert create_dataset(data.parent / "mine", data, style="gray")["done"] == {"unchanged": 4}
    fix_dataset(data, problems)
    assert json.loads((data / "metadata/ch__p0.json").read_text()) | {"source": record["source"]} == record and validate_dataset(data) == []  # which has moved
    edit(data, 0, schema=SCHEMA + 1)
    for act in (DatasetLoader, validate_dataset, lambda d: create_dataset(data.parent / "mine", d)):
        with pytest.raises(DualflowError, match=f"schema {SCHEMA + 1}.*update dualflow"): act(data)


def test_a_dataset_written_by_schema_1(mine, tmp_path):
    "Folders from before the made halves were hashed: whole, with their index, as that version wrote them."
    create_dataset(mine, data := tmp_path / "data", style="lineart")
    now = tree(data / "metadata")
    for i in range(3):
        made = json.loads((data / f"metadata/ch__p{i}.json").read_text())
        text = json.dumps({"name": f"ch__p{i}", "chapter": "ch", "original_size": [320, 448], "color": f"ch__p{i}.png", "bw": f"ch__p{i}.png", "style": "lineart",
                           "source": {"color": {"file": f"mine/ch/p{i}.png", "sha256": made["source"]["color"]["sha256"]}},
                           "transformations": [{"half": "bw", "made_from": "color", "style": "lineart"}], "attention_regions": [], "schema": 1}, indent=1)
        (data / f"metadata/ch__p{i}.json").write_text(text)
    (data / "dataset_info.json").write_text(json.dumps({"schema": 1, "pages": 3, "chapters": {"ch": 3}, "styles": {"lineart": 3}, "left_out": []}))
    old = tree(data)
    loader = DatasetLoader(data)
    assert len(loader) == 3 and all(o.schema == SCHEMA and set(o.files) == {"color"} for o in loader.records) and loader[0].record.style == "lineart"
    problems = validate_dataset(data)
    assert {o["severity"] for o in problems} == {"note"} and kinds(problems) == [*((f"ch__p{i}", "old schema") for i in range(3)), ("dataset_info.json", "info")] and tree(data) == old  # reading changes nothing
    fix_dataset(data, problems)
    assert validate_dataset(data) == [] and tree(data / "metadata").keys() == now.keys() and all(json.loads(o)["schema"] == SCHEMA for o in tree(data / "metadata").values())


def test_the_dataset_that_comes_with_the_project():
    loader = DatasetLoader(ROOT / "data/dataset")
    assert len(loader) == 8 and all(o.schema == SCHEMA for o in loader.records)
    assert not kinds(validate_dataset(ROOT / "data/dataset"), "error", "warning")


# Colouring

class Flow:
    "Stands in for the networks: colours by turning grey into green."
    device, nets = "cpu", type("", (), {"parameters": lambda self: []})()
    def colorize(self, page, budget, vivid, variant, mood, hints, reference):
        return type("", (), {"image": Image.merge("RGB", (page.convert("L"), Image.new("L", page.size, 200), page.convert("L"))), "regions": [], "seconds": {}})()


@pytest.fixture
def flow(monkeypatch):
    monkeypatch.setattr("dualflow.pipeline.DualFlow.from_pretrained", lambda weights: Flow())
    monkeypatch.setattr("dualflow.books.digest", lambda nets: "none")


def colorize(*args): return cli.colorize(["--input", str(args[0]), "--output", str(args[1]), *args[2:]])


def test_colouring_what_people_bring(tmp_path, flow, capsys):
    mine = tmp_path / "mine"
    for name in ("p.png", "p.jpg", "ページ/" + "é" * 120 + ".png"): save_page(bw(PAGES[0]), mine / name)
    (mine / "bomb.png").write_bytes(bomb())
    with zipfile.ZipFile(mine / "evil.cbz", "w") as z:
        for name in ("../../out.png", "/abs.png", "..\\win.png", "a/p.png", "b/p.png"): z.writestr(name, png(bw(PAGES[1])))
    bw(PAGES[2]).save(mine / "book.pdf", save_all=True, append_images=[bw(PAGES[3])], resolution=150)
    around = set(tmp_path.parent.iterdir())
    assert colorize(mine, tmp_path / "out") == 1
    out = capsys.readouterr()
    assert "10 of 11 pages written" in out.out and "bomb.png" in out.err and "limit" in out.err
    names = {o.relative_to(tmp_path / "out").as_posix() for o in (tmp_path / "out").rglob("*.png")}
    assert {"p.png", "p_jpg.png", "evil/out.png", "evil/abs.png", "evil/win.png", "evil/a/p.png", "evil/b/p.png", "book/001.png", "book/002.png"} <= names and len(names) == 10
    assert set(tmp_path.parent.iterdir()) == around and {o.name for o in tmp_path.iterdir()} == {"mine", "out"}
    for book, count in (("evil.cbz", 5), ("book.pdf", 2)):
        assert colorize(mine / book, tmp_path / "book.cbz") == 0
        with zipfile.ZipFile(tmp_path / "book.cbz") as z:
            assert len(set(z.namelist())) == count and not [o for o in z.namelist() if o.startswith("/") or ".." in o.split("/")]
            assert load_page(z.read(z.namelist()[0])).size == (320, 448)


def test_colouring_goes_on_after_a_page_that_cannot_be_kept(tmp_path, flow, monkeypatch, capsys):
    for i in range(3): save_page(bw(PAGES[i]), tmp_path / f"mine/p{i}.png")
    save = Image.Image.save
    def full(self, file, *args, **options):
        if ".p1-" in str(file): Path(file).write_bytes(b"half"); raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(self, file, *args, **options)
    monkeypatch.setattr(Image.Image, "save", full)
    assert colorize(tmp_path / "mine", tmp_path / "out") == 1
    out = capsys.readouterr()
    assert "2 of 3 pages written" in out.out and "No space left" in out.err and sorted(o.name for o in (tmp_path / "out").iterdir()) == ["p0.png", "p2.png"]
    def written(self, *args): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with zipfile.ZipFile(tmp_path / "b.cbz", "w") as z: z.writestr("p0.png", png(bw(PAGES[0])))
    with monkeypatch.context() as m:
        m.setattr(zipfile.ZipFile, "write", written)
        assert colorize(tmp_path / "b.cbz", tmp_path / "out/b.cbz") == 1
    assert "No space left" in capsys.readouterr().err and sorted(o.name for o in (tmp_path / "out").iterdir()) == [".b.cbz.pages", "p0.png", "p2.png"]
    assert colorize(tmp_path / "b.cbz", tmp_path / "out/b.cbz", "--resume") == 0 and "1 there already" in capsys.readouterr().out  # what was coloured is not lost
    assert sorted(o.name for o in (tmp_path / "out").iterdir()) == ["b.cbz", "p0.png", "p2.png"]


def test_where_nothing_can_be_written_nothing_is_coloured(tmp_path, monkeypatch, capsys):
    save_page(bw(PAGES[0]), tmp_path / "p.png")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("dualflow.pipeline.DualFlow.from_pretrained", lambda weights: pytest.fail("coloured for nothing"))
    assert colorize(tmp_path / "p.png", tmp_path / "file/p.png") == 1 and "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *o: False)
    assert colorize(tmp_path / "p.png", tmp_path / "new/p.png") == 1 and "no permission" in capsys.readouterr().err


def test_maps_of_pages_with_alike_names_stay(tmp_path):
    space = Workspace(tmp_path).create()
    for o in ("a__00", "a__b__00", "a__1__00"): (space.important/f"{o}.png").touch()
    drop_maps(space, "a")
    assert sorted(o.name for o in space.important.iterdir()) == ["a__1__00.png", "a__b__00.png"]


def test_names_that_differ_in_case_alone_are_kept_apart(tmp_path):
    for i, name in enumerate(("aB", "Ab")): save_page(draw_page(i, size=(96, 128)).color, tmp_path / f"mine/Ch/{name}.png")
    create_dataset(tmp_path / "mine", tmp_path / "d")
    assert len({o.name.casefold() for o in DatasetLoader(tmp_path / "d")}) == 2


def test_mixed_is_a_mixture(): assert {_style_for(str(i), "mixed") for i in range(40)} == set(STYLES) and _style_for("a", "gray") == "gray"


def test_a_map_goes_with_the_half_it_was_found_in(tmp_path):
    save_page(draw_page(1, size=(96, 128)).color, tmp_path / "mine/ch/p0.png")
    create_dataset(tmp_path / "mine", data := tmp_path / "d", style="gray")
    file = data / "metadata/ch__p0.json"
    for of, left in (("other", 0), (read_record(file).files["bw"], 1)):
        file.write_text(json.dumps(json.loads(file.read_text()) | dict(attention_regions=[{"x": 0, "y": 0, "w": 9, "h": 9, "importance": 1.}], attention_of=of)))
        next((data / "source/bw").glob("*")).unlink()
        fix_dataset(data, validate_dataset(data))
        assert len(read_record(file).attention_regions) == left and validate_dataset(data) == []


def test_a_scan_of_a_small_part_is_refused():
    with pytest.raises(PageError, match="in common"): align_pair(LARGE, LARGE_BW["gray"].crop((0, 0, LARGE.width, LARGE.height * 3 // 10)))


def test_other_pixels_under_the_same_names_are_other_pages(tmp_path):
    prints = []
    for seed in (1, 2):
        save_page(draw_page(seed, size=(96, 128)).color, tmp_path / "mine/ch/p0.png")
        create_dataset(tmp_path / "mine", tmp_path / "d")
        prints.append(fingerprint(tmp_path / "d"))
    assert prints[0]["pages"] == prints[1]["pages"] and prints[0]["sha256"] != prints[1]["sha256"]


def test_a_series_keeps_its_last_letter():
    chapter = lambda name: pair_key(Source(Path(name), chapter="b"))[0]
    assert [chapter(o) for o in ("strip01.png", "camp1.png", "cam1.png")] == ["b/strip", "b/camp", "b/cam"]
    assert [chapter(o) for o in ("E18P03.png", "p3.png", "moon_07.png", "page_001.png", "ch2p05.png", "map-p3.png")] == ["b/E18", "b", "b/moon", "b", "b/ch2", "b/map"]


def test_a_split_is_one_of_two(tmp_path):
    save_page(PAGES[0], tmp_path / "mine/p.png"); create_dataset(tmp_path / "mine", tmp_path / "d")
    with pytest.raises(DualflowError, match="'val' is neither train nor valid"): DatasetLoader(tmp_path / "d", "val")


def test_what_the_kit_made_of_a_dataset_is_no_page(tmp_path):
    for i, o in enumerate(PAGES[:2]): save_page(o, tmp_path / f"mine/ch/p{i}.png")
    for name in ("work/dataset", "other"):  # training lies beside a folder called dataset, in any other
        create_dataset(tmp_path / "mine", tmp_path / name)
        space = Workspace(tmp_path / name)
        for o in (space.important, space.background, space.visualization): save_page(PAGES[2], o / "p.png")
    assert len(find_pages(tmp_path / "work")) == len(find_pages(tmp_path / "other")) == len(find_pages(tmp_path / "other/source")) == 4 and len(find_pages(tmp_path)) == 10
    assert len(find_pages(tmp_path / "other/training")) == 1  # unless they are asked for
    assert create_dataset(tmp_path / "other", tmp_path / "copy")["done"] == {"paired": 2}


def test_pages_come_in_the_order_in_which_they_are_read(tmp_path):
    for o in ("b10", "B9", "a", "1²3"): save_page(PAGES[0].resize((8, 8)), tmp_path / f"{o}.png")
    assert [o.name for o in find_pages(tmp_path)] == ["1²3", "a", "B9", "b10"]


def test_folders_and_books_are_chapters(tmp_path):
    for o in ("p", "one/p", "one/deep/p"): save_page(PAGES[0].resize((8, 8)), tmp_path / f"mine/{o}.png")
    with zipfile.ZipFile(tmp_path / "mine/one/book.cbz", "w") as z: z.writestr("x/p.png", b"")
    assert sorted(o.chapter for o in find_pages(tmp_path / "mine")) == ["mine", "one", "one/book", "one/deep"]


@pytest.mark.parametrize("name, kind", [("p1_BW", "bw"), ("p1 b&w", "bw"), ("p1.Raw", "bw"), ("p1-mono", "bw"), ("p1_colored", "color"), ("p1_Coloured", "color"), ("p1_hair", "")])
def test_the_word_for_a_half_is_no_part_of_its_name(name, kind):
    assert pair_key(Source(Path(f"{name}.png"), chapter="c"))[1:] == ("p1" if kind else name, kind)
    assert pair_key(Source(Path(f"{name[3:]}.png"), chapter="c")) == ("c", "page" if kind else name[3:], kind)


def test_a_locked_page_is_told_with_its_remedy(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.cbz", "w") as z: z.writestr("p.png", b"x")
    whole = (tmp_path / "b.cbz").read_bytes()
    def read(flag):
        data = bytearray(whole); data[6] |= flag; data[data.find(b"PK\x01\x02") + 8] |= flag
        (tmp_path / "b.cbz").write_bytes(data)
        return find_pages(tmp_path)[0].read()
    assert read(8) == b"x"  # written to a pipe, it says its size afterwards
    with pytest.raises(PageError, match="password off"): read(1)


def test_a_book_that_has_changed_has_other_pages(tmp_path):
    file, stamps = tmp_path / "b.pdf", []
    for i in range(2): file.write_bytes(bytes([i])); os.utime(file, (i, i)); stamps += [Source(file, o).stamp() for o in ("001", "002")]
    assert len(set(stamps)) == 4


def test_each_page_of_a_pdf_is_itself_and_a_small_picture_says_nothing_of_its_resolution(tmp_path):
    Image.new("RGB", (60, 80), "red").save(tmp_path / "b.pdf", save_all=True, append_images=[Image.new("RGB", (60, 80), o) for o in ("lime", "blue")])
    assert [np.argmax(load_page(render_pdf(tmp_path / "b.pdf", o)).getpixel((30, 40))) for o in (1, 2, 3)] == [0, 1, 2]
    book = pdfium.PdfDocument.new()
    page, logo = book.new_page(300, 400), pdfium.PdfImage.new(book)
    logo.set_bitmap(pdfium.PdfBitmap.from_pil(Image.new("RGB", (500, 500), "tan"))); logo.set_matrix(pdfium.PdfMatrix().scale(120, 120))
    page.insert_obj(logo); page.gen_content(); book.save(tmp_path / "logo.pdf")
    assert load_page(render_pdf(tmp_path / "logo.pdf", 1)).size == (834, 1112)  # 200 dpi


def test_faint_colours_can_be_learned_from_and_a_record_says_its_schema():
    pale = Image.blend(PAGES[0].convert("L").convert("RGB"), PAGES[0], .1)
    assert not is_grey(pale) and is_grey(Image.blend(pale.convert("L").convert("RGB"), pale, .1))
    with pytest.raises(DualflowError, match="schema None"): migrate({"source": {}})


def test_what_was_made_of_a_half_goes_with_it(tmp_path):
    page = PAGES[0].resize((96, 128))
    save_page(page, tmp_path / "mine/ch/p_color.png"); save_page(page.convert("L"), tmp_path / "mine/ch/p_bw.jpg")
    assert create_dataset(tmp_path / "mine", tmp_path / "d")["done"] == {"paired": 1}
    (tmp_path / "d/attention_maps/patches/important/ch__p__00.png").touch(); (tmp_path / "mine/ch/p_bw.jpg").unlink()
    assert create_dataset(tmp_path / "mine", tmp_path / "d")["done"] == {"B/W made": 1}
    assert [o.name for o in (tmp_path / "d/source/bw").iterdir()] == ["ch__p.png"] and not list((tmp_path / "d/attention_maps/patches/important").iterdir())


def test_a_half_that_is_made_of_what_is_gone_cannot_be_mended(data):
    for kind, i in (("color", 0), ("bw", 0), ("bw", 1)): half(data, kind, i).unlink()
    edit(data, 1, attention_regions=[{"x": 0, "y": 0, "w": 9, "h": 9, "importance": 1.}], attention_of="other")
    assert [(o["page"], o["kind"], o["fixable"]) for o in validate_dataset(data) if o["severity"] == "error"] == [("ch__p0", "missing", False)] * 2 + [("ch__p1", "missing", True)]


def test_a_map_stays_where_the_same_half_is_made_again_and_goes_where_another_is(data):
    region, important = {"x": 0, "y": 0, "w": 9, "h": 9, "importance": 1.}, Workspace(data).important
    for i in range(2):
        edit(data, i, attention_regions=[region], attention_of=read_record(data / f"metadata/ch__p{i}.json").files["bw"]); (important / f"ch__p{i}__00.png").touch()
        half(data, "bw", i).unlink()
    edit(data, 1, style="lineart")
    assert fix_dataset(data, validate_dataset(data)) == 3  # and their number, by style
    assert [o.name for o in important.iterdir()] == ["ch__p0__00.png"] and [len(o.record.attention_regions) for o in DatasetLoader(data)][:2] == [1, 0] and validate_dataset(data) == []


def test_what_was_left_out_is_remembered(data):
    info, lost = data / "dataset_info.json", [{"page": "x.png", "reason": "torn"}]
    info.write_text(json.dumps(json.loads(info.read_text()) | {"pages": 9, "left_out": lost}))
    assert fix_dataset(data, validate_dataset(data)) == 1
    assert json.loads(info.read_text())["left_out"] == lost and json.loads(info.read_text())["pages"] == 4


def test_pages_look_alike_up_to_a_few_bits():
    bits = lambda n: SimpleNamespace(hash=np.arange(256).reshape(16, 16) < n)
    assert find_duplicates({"a": bits(0), "b": bits(NEAR), "c": bits(2 * NEAR + 1)}) == [("b", "a", NEAR)]


def test_no_file_of_a_dataset_is_hidden():
    assert file_name(".manga", "p1").startswith("manga__p1-") and file_name("ch", "...").startswith("ch__page-")  # or it would not be found again


def test_what_is_in_place_is_so_at_any_size():
    "In pixels of the page as it is compared; of a small page, in its own."
    shifted = lambda by: Alignment(np.array([[1, 0, by], [0, 1, 0], [0, 0, 1.]]), 1., tiles=9)
    for side, most in ((FINE // 4, IN_PLACE), (4 * FINE, 4 * IN_PLACE)):
        page = Image.new("L", (side // 2, side))
        assert in_place(page, page, shifted(.9 * most)) and not in_place(page, page, shifted(1.1 * most))
