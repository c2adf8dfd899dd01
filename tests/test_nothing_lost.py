"Whatever is named, linked, damaged, too large or in the way: originals stay, no page is missed in silence, and a command ends in one line."
import io, json, os, shutil, signal, subprocess, sys, zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image

from dualflow import cli
from dualflow.alignment import match_features
from dualflow.books import _folder_of, check_output, colour_book, place_pages
from dualflow.core import DualflowError, PageError, load_page, picture_file, read_note, save_page
from dualflow.dataset import DatasetLoader, create_dataset
from dualflow.drawing import draw_page
from dualflow.evaluation import save_rows
from dualflow.guidance import read_mood
from dualflow.metrics import colour_accuracy
from dualflow.pipeline import has_colour
from dualflow.sources import Source, find_pages, list_archive, pair_pages, render_pdf
from dualflow.streaming import shard_dataset


@pytest.fixture(scope="session")
def small():
    "Two small pages in colour."
    return [draw_page(i, (96, 128)).color for i in range(2)]


def grey(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert("L").save(path)
    return path


def run(name, *args):
    "A command in this process: its exit status."
    return getattr(cli, name)([str(o) for o in args])


def dualflow(name, *args, **options):
    return subprocess.run([sys.executable, "-c", f"import sys; from dualflow.cli import {name}; sys.exit({name}())", *map(str, args)], capture_output=True, text=True, **options)


def test_hints_references_moods_and_inputs_are_never_the_output(tmp_path, small, capsys):
    bw = grey(tmp_path/"bw"/"01.png", small[0])
    own = tmp_path/"own"/"01.png"; own.parent.mkdir(); small[0].save(own)
    before = own.read_bytes()
    Image.new("RGBA", small[0].size).save(sheet := tmp_path/"sheet.png")
    painted = sheet.read_bytes()
    assert run("colorize", "--input", bw, "--hints", sheet, "--output", sheet) == 1 and sheet.read_bytes() == painted
    assert run("colorize", "--input", bw, "--mood", own, "--output", own) == 1
    assert run("colorize", "--input", bw.parent, "--reference", own.parent, "--output", own.parent) == 1
    assert own.read_bytes() == before and capsys.readouterr().err.count("never changed") == 3


def test_an_original_by_another_spelling_of_its_name_is_one(tmp_path, small, monkeypatch):
    "On macOS and Windows Page.png is page.png, and no path says so; a second link is the same file under another name, too."
    bw = grey(tmp_path/"ch"/"page.png", small[0])
    os.link(bw, other := tmp_path/"Page.png"); (tmp_path/"Ch").symlink_to(bw.parent)
    monkeypatch.setattr(os.path, "realpath", os.path.abspath)
    with pytest.raises(DualflowError, match="Page.png: would be written over"): check_output(bw, other, [Source(bw)])
    with pytest.raises(DualflowError, match="lies in the input"): check_output(bw.parent, tmp_path/"Ch"/"out", [Source(bw)])
    check_output(bw, tmp_path/"new.png", [Source(bw)])


def test_an_output_above_the_input_does_not_reach_into_it(tmp_path, small):
    inner, deep = grey(tmp_path/"ch1"/"01.png", small[0]), grey(tmp_path/"ch1"/"ch1"/"01.png", small[1])
    pages = find_pages(tmp_path/"ch1")
    with pytest.raises(DualflowError, match="lies in the input"): check_output(tmp_path/"ch1", tmp_path, pages)
    check_output(tmp_path/"ch1", tmp_path/"out", pages)
    assert inner.is_file() and deep.is_file()


def test_other_projects_pages_of_the_same_relative_name_are_other_pages(tmp_path, small, monkeypatch):
    for name, page in zip("AB", small):
        (tmp_path/name/"pages"/"ch1").mkdir(parents=True)
        page.save(tmp_path/name/"pages"/"ch1"/"01.png")
        monkeypatch.chdir(tmp_path/name)
        create_dataset("pages", "../dataset")
    assert [np.asarray(o.color).tolist() for o in sorted(DatasetLoader(tmp_path/"dataset"), key=lambda o: len(o.name))] == [np.asarray(o).tolist() for o in small]
    assert create_dataset("pages", "../dataset")["done"] == {"unchanged": 1}


def test_pages_that_cannot_be_read_are_named(tmp_path, small):
    book = tmp_path/"book.cbz"
    with zipfile.ZipFile(book, "w") as z:
        for name in ("01.png", "02.avif", "03.jxl", "ComicInfo.xml", "notes.txt"): z.writestr(name, b"?")
    assert [o.member for o in list_archive(book)] == ["01.png", "02.avif", "03.jxl"]
    small[0].save(tmp_path/"4.jfif", "JPEG")
    assert [o.file.name for o in find_pages(tmp_path) if not o.member] == ["4.jfif"]


def test_links_are_followed_but_not_in_circles(tmp_path, small):
    far = grey(tmp_path/"far"/"ch1"/"01.png", small[0])
    (tmp_path/"book").mkdir()
    try: (tmp_path/"book"/"ch1").symlink_to(far.parent); (far.parent/"again").symlink_to(tmp_path/"book"); (tmp_path/"book"/"gone.png").symlink_to(tmp_path/"nowhere.png")
    except OSError: pytest.skip("no links on this disk")
    found = find_pages(tmp_path/"book")
    assert [o.file.relative_to(tmp_path/"book").as_posix() for o in found] == ["ch1/01.png", "gone.png"]
    with pytest.raises(PageError, match="gone.png"): found[1].read()


def test_what_a_book_says_of_itself_comes_along(tmp_path, small, flow):
    data = io.BytesIO(); small[0].convert("L").save(data, "PNG")
    with zipfile.ZipFile(tmp_path/"book.cbz", "w") as z: z.writestr("__MACOSX/ComicInfo.xml", "<Mac/>"); z.writestr("p/01.png", data.getvalue()); z.writestr("ComicInfo.xml", "<ComicInfo/>"); z.writestr("old/ComicInfo.xml", "<Other/>")
    assert run("colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz") == 0
    with zipfile.ZipFile(tmp_path/"out.cbz") as z: assert z.namelist() == ["p/01.png", "ComicInfo.xml"] and z.read("ComicInfo.xml") == b"<ComicInfo/>"


def test_names_in_another_encoding(tmp_path, small):
    odd = os.fsdecode("漫画".encode("shift_jis") + b"_01.png")
    try: grey(tmp_path/"in"/odd, small[0])
    except OSError: pytest.skip("no such names on this disk")
    done = dualflow("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "Traceback" not in done.stderr and len(list((tmp_path/"out").glob("*_01.png"))) == 1
    assert len({str(o) for o in place_pages([Source(tmp_path/"in"/o) for o in ("\udc8a.png", "\udc8b.png", "?.png")], tmp_path/"in")}) == 3
    shutil.copytree(tmp_path/"in", tmp_path/"colour")
    small[1].save(tmp_path/"colour"/odd)
    for what in ("B/W made", "unchanged"): assert create_dataset(tmp_path/"colour", tmp_path/"dataset")["done"] == {what: 1}


@pytest.mark.parametrize("path, size, fits", [("a.webp", (16383, 9), True), ("a.webp", (9, 16384), False), ("a.jpg", (65500, 9), True), ("a.jpg", (65501, 9), False), ("a.png", (9, 70000), True)])
def test_formats_have_limits(tmp_path, path, size, fits):
    if fits: assert picture_file(path, size) and save_page(Image.new("L", size), tmp_path/path)
    else:
        with pytest.raises(DualflowError, match="end the name in .png"): picture_file(path, size)
        with pytest.raises(DualflowError, match="end the name in .png"): save_page(Image.new("L", size), tmp_path/path)
        assert not list(tmp_path.iterdir())


def test_a_damaged_archive_does_not_stop_a_library(tmp_path, small):
    page = grey(tmp_path/"a.png", small[0])
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: z.write(page, "01.png")
    data = bytearray((tmp_path/"b.cbz").read_bytes()); data[data.find(b"PK\x01\x02") + 6] = 0xd4  # needs a zip version to come
    (tmp_path/"b.cbz").write_bytes(data)
    told = []
    assert [o.file.name for o in find_pages(tmp_path, told.append)] == ["a.png"] and "b.cbz" in str(told[0])


def test_a_pair_of_a_page_and_a_thumbnail_is_left_out(tmp_path, small):
    assert match_features(draw_page(3, (200, 280)).color, draw_page(4, (200, 280)).color.convert("L").resize((8, 11))) is None
    for name, image in (("m_color", draw_page(3, (200, 280)).color), ("m_bw", draw_page(4, (200, 280)).color.convert("L").resize((8, 11))), ("z", small[0])):
        (tmp_path/"in").mkdir(exist_ok=True); image.save(tmp_path/"in"/f"{name}.png")
    made = create_dataset(tmp_path/"in", tmp_path/"dataset")
    assert made["pages"] == 1 and len(made["left_out"]) == 1 and "m_bw" in made["left_out"][0]["page"]


@pytest.mark.parametrize("command, option", [("colorize", "--input"), ("validate_dataset", "--dataset_dir"), ("draw_pages", "--target_dir")])
def test_a_name_too_long_for_a_disk_is_told_in_a_line(tmp_path, capsys, command, option):
    args = {"--input": [option, "x" * 300 + ".png", "--output", tmp_path/"o.png"]}.get(option, [option, tmp_path/("x" * 300)])
    assert run(command, *args) == 1
    assert "x" * 300 in (said := capsys.readouterr().err) and said.startswith("error: ") and said.count("\n") == 1


def test_shards_are_there_when_it_is_said_so(tmp_path, small):
    for i, o in enumerate(small): (tmp_path/"pages").mkdir(exist_ok=True); o.save(tmp_path/"pages"/f"{i}.png")
    create_dataset(tmp_path/"pages", tmp_path/"dataset")
    for wrong in (float("nan"), float("inf"), 0):
        with pytest.raises(DualflowError, match="above 0"): shard_dataset(tmp_path/"dataset", tmp_path/"shards", wrong)
    made = shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    files = {o: (tmp_path/"shards"/o).read_bytes() for o in (o["file"] for o in made["shards"])}
    for o in files: (tmp_path/"shards"/o).unlink()
    for o in (".train-00001-0a1b2c3d.tar", ".mine.tar"): (tmp_path/"shards"/o).write_bytes(b"half")
    shard_dataset(tmp_path/"dataset", tmp_path/"shards")
    assert files and {o: (tmp_path/"shards"/o).read_bytes() for o in files} == files
    assert [o.name for o in (tmp_path/"shards").glob(".*")] == [".mine.tar"]  # what a run left that was cut off is gone
    (tmp_path/"shards"/"shards.json").write_text("{}")
    with pytest.raises(DualflowError, match="damaged index"): shard_dataset(tmp_path/"dataset", tmp_path/"shards")


def test_records_that_are_json_but_no_records(tmp_path, small, capsys):
    (tmp_path/"pages").mkdir(); small[0].save(tmp_path/"pages"/"1.png")
    create_dataset(tmp_path/"pages", tmp_path/"dataset")
    (tmp_path/"dataset"/"dataset_info.json").write_text("[1]")
    assert run("validate_dataset", "--dataset_dir", tmp_path/"dataset", "--fix") == 0
    assert json.loads((tmp_path/"dataset"/"dataset_info.json").read_text())["pages"] == 1
    file = next((tmp_path/"dataset"/"metadata").glob("*.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"files": None}))
    assert run("validate_dataset", "--dataset_dir", tmp_path/"dataset") == 1 and "damaged metadata" in capsys.readouterr().out


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 5), (3, 40)])
def test_tiny_pages_are_measured(size):
    a, b = (Image.new("RGB", size, o) for o in ("tan", "teal"))
    assert .999 < colour_accuracy(a, a)["ssim"] < 1.001 and colour_accuracy(a, b)["ssim"] < .99
    zone = np.zeros(size[::-1], bool)
    zone[-1, -1] = True
    assert np.isfinite([*colour_accuracy(a, b, zone).values()]).all() and colour_accuracy(a, b)["colourfulness"] > .1


def test_no_file_is_everybodys_while_others_are_written(tmp_path):
    "Threads write side by side, each file with the permissions that the process gives."
    old = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool: list(pool.map(lambda i: save_page(Image.new("L", (1, 1)), tmp_path/f"{i}.png"), range(200)))
    finally: left = os.umask(old)
    assert left == 0o027 and len(list(tmp_path.iterdir())) == 200
    if os.name == "posix": assert {o.stat().st_mode & 0o777 for o in tmp_path.iterdir()} == {0o640}


def test_what_could_not_be_written_is_not_said_to_be_done(tmp_path, small, flow, monkeypatch):
    for i in range(3): grey(tmp_path/"in"/f"{i}.png", small[0])
    def full(image, path, *note):
        if path.name == "1.png": raise DualflowError(f"{path}: cannot be written (disk full)")
        return save_page(image, path, *note)
    monkeypatch.setattr("dualflow.books.save_page", full)
    done, lost = [], []
    assert colour_book(flow, find_pages(tmp_path/"in"), tmp_path/"in", tmp_path/"out", lambda n, total, name, what: done.append(n), lost.append) == (2, 1)
    assert done == [1, 3] and len(lost) == 1 and sorted(o.name for o in (tmp_path/"out").iterdir()) == ["0.png", "2.png"]


def test_what_cannot_be_kept_is_told_before_the_work(tmp_path, capsys):
    (tmp_path/"file").write_text("")
    assert run("bench", "--save", tmp_path/"rows.csv") == 1 and "--routers or --guidance" in capsys.readouterr().err
    assert run("bench", "--routers", "--dataset_dir", tmp_path, "--save", tmp_path/"rows.txt") == 1 and ".json or .csv" in capsys.readouterr().err
    assert run("evaluate", "--dataset_dir", tmp_path, "--save", tmp_path/"file"/"rows.csv") == 1 and "is a file" in capsys.readouterr().err


def test_a_closed_pipe_and_a_closed_terminal(tmp_path, small):
    for i in range(3): grey(tmp_path/"in"/f"{i}.png", small[0])
    with zipfile.ZipFile(tmp_path/"book.cbz", "w") as z:
        for i in range(40): z.write(tmp_path/"in"/"0.png", f"{i}.png")
    start = [sys.executable, "-c", "import sys; from dualflow.cli import colorize; sys.exit(colorize())"]
    reader = subprocess.Popen([*start, "--input", tmp_path/"in", "--output", tmp_path/"out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    reader.stdout.close()
    assert "Traceback" not in reader.stderr.read() and reader.wait(120) == 1
    if not hasattr(signal, "SIGHUP"): return
    open_ = subprocess.Popen([*start, "--input", tmp_path/"book.cbz", "--output", tmp_path/"made"/"book.cbz"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # even if these tests were told to outlive their terminal
    while "[1/40]" not in open_.stdout.readline(): pass
    open_.send_signal(signal.SIGHUP)
    assert open_.wait(60) == 130 and "stopped" in open_.stderr.read() and [o.name for o in (tmp_path/"made").iterdir()] == [".book.cbz.pages"]  # what is done is kept for --resume


def test_launchers_that_say_half(tmp_path):
    for o in ({"RANK": ""}, {"WORLD_SIZE": "2"}): assert dualflow("colorize", "--help", env=os.environ | o).returncode == 0


def test_places_are_apart_on_every_disk():
    "Also on one that does not tell A from a, or takes 255 bytes a name."
    places = place_pages([Source(Path("b.cbz"), o) for o in ("a.png", "A.webp", "é" * 200 + ".png")], Path("b.cbz"))
    assert len({str(o).casefold() for o in places}) == 3 and all(len(o.name.encode()) < 240 for o in places)
    names = ["To be continued... /1*.png", "a|<b>/c.d./CON.png", "nul/Aux.x.png", "com1.PNG", "lpt/concert.png", "..../\t. .png", " .png"]  # as Windows does not write them
    assert [o.as_posix() for o in place_pages([Source(Path("b.cbz"), o) for o in names], Path("b.cbz"))] == ["To be continued/1_.png", "a__b_/c.d/_CON.png", "_nul/_Aux.x.png", "_com1.png", "lpt/concert.png", "_.png", "page.png"]


def test_a_protected_output_stays(tmp_path, monkeypatch):
    for o in ("in.png", "out.png"): Image.new("L", (8, 8)).save(tmp_path/o)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "out.png" and access(path, mode))
    with pytest.raises(DualflowError, match="out.png: is protected from writing"): check_output(tmp_path/"in.png", tmp_path/"out.png", [Source(tmp_path/"in.png")])


def test_what_is_hidden_is_no_page(tmp_path):
    for o in ("p1.png", ".p1.png", "__MACOSX/p1.png", ".thumbs/p2.png"): save_page(Image.new("L", (4, 4)), tmp_path / "in" / o)
    with zipfile.ZipFile(tmp_path / "b.cbz", "w") as z:
        for o in ("p1.png", "__MACOSX/._p1.png", "a/.p2.png"): z.writestr(o, b"")
    assert [o.file.name for o in find_pages(tmp_path / "in")] == ["p1.png"] and [o.member for o in list_archive(tmp_path / "b.cbz")] == ["p1.png"]


def test_a_pdf_of_any_size_is_drawn_in_bounds(tmp_path, monkeypatch):
    Image.new("RGB", (300, 400), "tan").save(tmp_path / "b.pdf", resolution=72)
    monkeypatch.setattr("dualflow.sources.MAX_PIXELS", 150_000)
    assert load_page(render_pdf(tmp_path / "b.pdf", 1)).size == (300, 400)
    pages = pdfium.PdfDocument.new(); pages.new_page(2000, 3000); pages.save(tmp_path / "large.pdf")
    w, h = load_page(render_pdf(tmp_path / "large.pdf", 1)).size
    assert 140_000 < w * h <= 150_000
    monkeypatch.setattr("dualflow.sources.MAX_PIXELS", 100_000)
    with pytest.raises(PageError, match="300 x 400 pixels, more than the limit"): render_pdf(tmp_path / "b.pdf", 1)


def test_two_files_of_one_name_are_two_pages():
    pairs = pair_pages([Source(Path(o), chapter="ch") for o in ("p1.png", "p1.jpg")])
    assert len(pairs) == 2 and len({o[1] for o in pairs}) == 2 and all(list(o[2]) == ["color"] for o in pairs)


def test_rows_may_say_more_than_the_first(tmp_path):
    assert save_rows([{"a": 1}, {"a": 2, "b": 3}], tmp_path/"rows.csv").read_text().split() == ["a,b", "1,", "2,3"]


def test_a_zip_says_what_cannot_be_had_from_it(tmp_path, small, flow, capsys):
    data = io.BytesIO(); small[0].convert("L").save(data, "PNG")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path/"book.cbz", "w") as z:
        for name, o in (("1.png", data.getvalue()), ("2.png", b"of before"), ("2.png", data.getvalue()), ("ch2.cbz", b"")): z.writestr(name, o)
    with zipfile.ZipFile(tmp_path/"empty.cbz", "w") as z: z.writestr("notes.txt", "")
    assert run("colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz") == 1
    told = capsys.readouterr()
    assert "book.cbz:2.png: there are 2 files" in told.err and "book.cbz:ch2.cbz: an archive within" in told.err and "2 of 2 pages written" in told.out
    with zipfile.ZipFile(tmp_path/"out.cbz") as z: assert z.namelist() == ["1.png", "2.png"]
    assert run("colorize", "--input", tmp_path/"empty.cbz", "--output", tmp_path/"no.cbz") == 1 and "no pages in it" in capsys.readouterr().err and not (tmp_path/"no.cbz").exists()


def test_a_link_to_itself_stops_nothing(tmp_path, small, flow, capsys):
    grey(tmp_path/"in"/"1.png", small[0])
    try: (tmp_path/"in"/"2.png").symlink_to("2.png")
    except OSError: pytest.skip("no links on this disk")
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out") == 1
    assert "2.png" in capsys.readouterr().err and [o.name for o in (tmp_path/"out").iterdir()] == ["1.png"]
    small[1].save(tmp_path/"in"/"1.png")
    assert create_dataset(tmp_path/"in", tmp_path/"dataset")["done"] == {"B/W made": 1, "left out": 1}


def test_a_page_keeps_its_name_beside_another_of_the_same_stem(tmp_path):
    pages = [Source(tmp_path/o) for o in ("p1.jpg", "p1.png", "P1.webp", "p2.jpg")]
    assert [o.as_posix() for o in place_pages(pages, tmp_path)] == ["p1_jpg.png", "p1.png", "P1_webp.png", "p2.png"]


def test_a_book_of_jpegs_stays_one(tmp_path, small, flow):
    data = {}
    for name, kind, page in (("1.JPEG", "JPEG", small[0].convert("L")), ("2.webp", "WEBP", small[0].convert("L")), ("3.png", "PNG", small[1].convert("L")), ("4.jpg", "JPEG", small[1])):
        page.save(o := io.BytesIO(), kind, quality=80); data[name] = o.getvalue()
    with zipfile.ZipFile(tmp_path/"book.cbz", "w") as z: [z.writestr(*o) for o in data.items()]
    assert run("colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz") == 0
    with zipfile.ZipFile(tmp_path/"out.cbz") as z:
        assert z.namelist() == ["1.jpg", "2.webp", "3.png", "4.jpg"] and z.read("4.jpg") == data["4.jpg"]  # the last was in colour: byte for byte
        assert [Image.open(z.open(o)).format for o in z.namelist()] == ["JPEG", "WEBP", "PNG", "JPEG"] and all(has_colour(load_page(z.read(o))) for o in z.namelist())
    small[0].convert("L").save(tmp_path/"book.pdf")
    assert [o.as_posix() for o in place_pages(find_pages(tmp_path/"book.pdf"), tmp_path/"book.pdf")] == ["001.jpg"]


def test_a_lost_page_can_be_added_to_a_book(tmp_path, small, flow, capsys):
    small[0].convert("L").save(data := io.BytesIO(), "PNG")
    def book(second):
        with zipfile.ZipFile(tmp_path/"book.cbz", "w") as z: z.writestr("a/1.png", data.getvalue()); z.writestr("a/2.png", second)
    def pages():
        with zipfile.ZipFile(tmp_path/"out.cbz") as z: return {o: z.read(o) for o in z.namelist()}
    args = "colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz"
    book(b"torn"); assert run(*args) == 1 and list(before := pages()) == ["a/1.png", "a/2.png"] and before["a/2.png"] == b"torn" and "2: left as it was" in capsys.readouterr().out
    book(data.getvalue()); capsys.readouterr(); assert run(*args, "--resume") == 0
    said = capsys.readouterr().out
    assert "1 of 2 pages written" in said and "1 there already" in said and list(pages()) == ["a/1.png", "a/2.png"] and pages()["a/1.png"] == before["a/1.png"] and has_colour(load_page(pages()["a/2.png"]))
    (tmp_path/"out.cbz").write_bytes(b"torn"); assert run(*args, "--resume") == 0 and "2 of 2 pages written" in capsys.readouterr().out
    assert sorted(o.name for o in tmp_path.iterdir()) == ["book.cbz", "out.cbz"] and len(pages()) == 2


def test_a_page_in_colour_is_kept_wherever_it_is_alone(tmp_path, small, flow):
    (tmp_path/"in").mkdir(); small[0].save(tmp_path/"in"/"1.png")
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out") == 0
    assert np.array_equal(np.asarray(load_page(tmp_path/"out"/"1.png")), np.asarray(small[0]))
    assert run("colorize", "--input", tmp_path/"in"/"1.png", "--output", tmp_path/"one.png") == 0 and not np.array_equal(np.asarray(load_page(tmp_path/"one.png")), np.asarray(small[0]))


def test_a_book_is_described_wherever_that_stands(tmp_path, small, flow):
    data = io.BytesIO(); small[0].convert("L").save(data, "PNG")
    with zipfile.ZipFile(tmp_path/"book.cbz", "w") as z: z.writestr("Book/01.png", data.getvalue()); z.writestr("Book/comicinfo.xml", "<ComicInfo/>")
    assert run("colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz") == 0
    with zipfile.ZipFile(tmp_path/"out.cbz") as z: assert z.read("ComicInfo.xml") == b"<ComicInfo/>"
    damaged = bytearray((tmp_path/"book.cbz").read_bytes()); damaged[damaged.find(b"<ComicInfo/>") + 1] ^= 1
    (tmp_path/"book.cbz").write_bytes(damaged)
    assert run("colorize", "--input", tmp_path/"book.cbz", "--output", tmp_path/"out.cbz") == 1
    with zipfile.ZipFile(tmp_path/"out.cbz") as z: assert z.namelist() == ["Book/01.png"]


def test_a_reference_that_is_gone_costs_no_page(tmp_path, small, flow):
    grey(tmp_path/"in"/"1.png", small[0])
    told, references = [], [Source(tmp_path/"gone.png")]
    assert colour_book(flow, find_pages(tmp_path/"in"), tmp_path/"in", tmp_path/"out", on_error=told.append, references=references) == (1, 0)
    assert len(references) == 1  # what is given stays as it is
    assert len(told) == 1 and "gone.png" in str(told[0]) and (tmp_path/"out"/"1.png").is_file()


def test_no_book_loses_a_page(tmp_path, small, flow, capsys):
    "What cannot be coloured stays as it is, at its place, until it can be."
    small[0].convert("L").save(data := io.BytesIO(), "PNG")
    members = {"01.png": data.getvalue(), "02.avif": b"not read here", "03.jpg": b"torn", "04.png": data.getvalue()}
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: [z.writestr(*o) for o in members.items()]
    for more in (), ("--resume",):
        assert run("colorize", "--input", tmp_path/"b.cbz", "--output", tmp_path/"out.cbz", *more) == 1
        said = capsys.readouterr()
        assert said.err.count("error: ") == 2 and "[2/4] 02: left as it was" in said.out and "2 failed" in said.out
        with zipfile.ZipFile(tmp_path/"out.cbz") as z: assert z.namelist() == [*members] and all(z.read(o) == members[o] for o in ("02.avif", "03.jpg")) and has_colour(load_page(z.read("04.png")))


def test_pages_of_two_chapters_are_told_apart(tmp_path, small, flow, capsys):
    for chapter in ("one", "two"): grey(tmp_path/"in"/chapter/"01.png", small[0])
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out") == 0
    said = capsys.readouterr().out
    assert "[1/2] one/01: " in said and "[2/2] two/01: " in said


def test_a_mood_is_noted_alike_by_name_and_by_colour(tmp_path, small, flow):
    grey(tmp_path/"in"/"0.png", small[0])
    for mood in ("night", read_mood("night")): colour_book(flow, find_pages(tmp_path/"in"), tmp_path/"in", tmp_path/"out", lambda *_: None, print, resume=True, mood=mood)
    assert " mood=" in read_note(tmp_path/"out"/"0.png")
    with pytest.raises(DualflowError, match="mood"): colour_book(flow, find_pages(tmp_path/"in"), tmp_path/"in", tmp_path/"out", lambda *_: None, print, resume=True, mood="dusk")


@pytest.mark.parametrize("into", ("out", "out.cbz"))
def test_a_book_is_not_continued_in_other_colours(tmp_path, small, flow, capsys, into):
    "Unless it holds pages in these colours, too: somebody has coloured a page of it again."
    for i in range(3): grey(tmp_path/"in"/f"{i}.jpg", small[0])
    with zipfile.ZipFile(tmp_path/"in.cbz", "w") as z: [z.write(o, o.name) for o in sorted((tmp_path/"in").iterdir())]
    args = "colorize", "--input", tmp_path/into.replace("out", "in"), "--output", tmp_path/into
    pages = lambda: {o: (tmp_path/into/o).read_bytes() for o in sorted(os.listdir(tmp_path/into))} if into == "out" else {o: zipfile.ZipFile(tmp_path/into).read(o) for o in zipfile.ZipFile(tmp_path/into).namelist()}
    assert run(*args, "--variant", 3) == 0
    before = pages(); capsys.readouterr()
    for other, word in ((("--variant", 2), "variant 3, not 2"), (("--variant", 3, "--mood", "night"), "mood none, not"), (("--variant", 3, "--vivid", .5), "vivid 1.0, not 0.5")):
        assert run(*args, "--resume", *other) == 1
        assert word in (said := capsys.readouterr().err) and "leave out --resume" in said and said.count("\n") == 1 and pages() == before
        assert sorted(o.name for o in tmp_path.iterdir()) == sorted(["in", "in.cbz", into])
    assert run(*args, "--resume", "--variant", 3) == 0 and pages() == before
    if into == "out":
        assert run("colorize", "--input", tmp_path/"in"/"1.jpg", "--output", tmp_path/"out"/"1.png", "--variant", 2) == 0
        assert run(*args, "--resume", "--variant", 3) == 0 and "3 there already" in capsys.readouterr().out
        for o in (tmp_path/"out").iterdir(): Image.open(o).convert("RGB").save(o)  # as another program may: no note any more
        assert run(*args, "--resume") == 0 and "3 there already" in capsys.readouterr().out


def test_each_book_has_a_folder_of_its_own(tmp_path):
    a, b = (tmp_path/("漫" * 80 + f"{i}.cbz") for i in (1, 2))
    assert _folder_of(a) != _folder_of(b) and max(len(os.fsencode(_folder_of(o).name)) for o in (a, b)) < 240
    assert _folder_of(tmp_path/"b.cbz").name == ".b.cbz.pages" and _folder_of(tmp_path/os.fsdecode(b"\xe9" * 230 + b".cbz"))  # in another encoding


def test_a_folder_goes_on_where_it_stopped(tmp_path, small, flow, capsys):
    for i, o in enumerate(small[:2]): grey(tmp_path/"in"/f"{i}.png", o)
    args = "colorize", "--input", tmp_path/"in", "--output", tmp_path/"out", "--resume"
    assert run(*args) == 0
    (tmp_path/"out"/"0.png").unlink(); Image.new("L", (3, 3)).save(tmp_path/"out"/"1.png")
    assert run(*args) == 0 and "1 of 2 pages written" in (said := capsys.readouterr().out) and "1 there already" in said
    assert load_page(tmp_path/"out"/"0.png").size == small[0].size and load_page(tmp_path/"out"/"1.png").size == (3, 3)
    assert run(*args[:-1]) == 0 and load_page(tmp_path/"out"/"1.png").size == small[1].size
    assert run("colorize", "--input", tmp_path/"in"/"0.png", "--output", tmp_path/"0.png", "--resume") == 1 and "--resume" in capsys.readouterr().err


def test_what_a_killed_run_left_goes_a_day_later(tmp_path, small, flow):
    data = io.BytesIO(); small[0].convert("L").save(data, "PNG")
    with zipfile.ZipFile(tmp_path/"b[1].cbz", "w") as z: z.writestr("01.png", data.getvalue())
    old, new, other = (tmp_path/o for o in (".o[1]-0123abcd.cbz", ".o[1]-0123abce.cbz", ".o1-0123abcd.cbz"))
    for o in (old, new, other): o.touch()
    (folder := tmp_path/".o[1]-0123abcf.cbz").mkdir()
    for o in (old, other, folder): os.utime(o, (0, 0))
    os.utime(new, (new.stat().st_mtime - 23 * 3600,) * 2)
    assert run("colorize", "--input", tmp_path/"b[1].cbz", "--output", tmp_path/"o[1].cbz") == 0
    assert not old.exists() and new.exists() and other.exists() and folder.exists()  # what cannot go stays


def test_an_option_that_is_empty_is_told(tmp_path, capsys):
    for o in ("--input", "--mood", "--reference"):
        with pytest.raises(SystemExit): run("colorize", "--input", tmp_path, "--output", tmp_path/"o", o, "")
        assert f"{o} is empty" in capsys.readouterr().err


def test_no_name_moves_the_cursor(tmp_path, small, flow, capsys):
    try: grey(tmp_path/"in"/"a\n\x1b[31mb.png", small[0])
    except OSError: pytest.skip("no such names on this disk")
    (tmp_path/"in"/"c\nd.png").write_bytes(b"")
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out") == 1
    said = capsys.readouterr()
    assert "] a__[31mb: " in said.out and "\x1b" not in said.out + said.err and said.err.count("\n") == 1
    (tmp_path/"in"/"e\x1b[31m.cbz").write_bytes(b"no")
    assert run("create_dataset", "--source_dir", tmp_path/"in", "--target_dir", tmp_path/"dataset") == 1
    said = capsys.readouterr()
    assert said.err.count("left out") == said.err.count("\n") == 3 and "\x1b" not in said.out + said.err
    (tmp_path/"dataset"/"metadata"/"x\x1b[31m.json").write_text("{"); save_page(small[0], tmp_path/"dataset"/"source"/"color"/"y\x1b[31m.png")
    for o in ((), ("--prune",)): assert run("validate_dataset", "--dataset_dir", tmp_path/"dataset", *o) == 1
    assert "x\\x1b[31m" in (said := capsys.readouterr()).out and "removed: " in said.out and "y\\x1b[31m.png" in said.out and "\x1b" not in said.out + said.err
    assert run("colorize", "--input", tmp_path/"\x1b[31m.png", "--output", tmp_path/"o.png") == 1
    assert "\\x1b[31m.png: there is no such file" in (said := capsys.readouterr().err) and "\x1b" not in said


def test_an_interrupt_that_a_library_takes_for_an_error(capsys):
    @cli.command()
    def work():
        try: signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt: raise RuntimeError("cannot be imported") from None
    was = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try: assert work([]) == 130 and capsys.readouterr().err == "stopped\n" and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally: signal.signal(signal.SIGINT, was)


def test_a_picture_that_moves_is_no_page(tmp_path):
    for name in ("a.gif", "b.webp", "c.png"):
        Image.new("L", (8, 8)).save(tmp_path/name, save_all=True, append_images=[Image.new("L", (8, 8), 200)], duration=100)
        with pytest.raises(PageError, match=f"{name}: holds 2 pages"): load_page(tmp_path/name)


def test_problems_are_json_on_any_terminal(tmp_path, small, monkeypatch):
    for i, o in enumerate(small): save_page(o, tmp_path/f"mine/{i}.png")
    create_dataset(tmp_path/"mine", tmp_path/"dataset")
    file, = (tmp_path/"dataset/metadata").glob("*0.json"); file.rename(file.with_name("é漫𠮷.json"))  # not what the record is about
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert run("validate_dataset", "--dataset_dir", tmp_path/"dataset", "--json") == 1
    terminal.flush()
    assert "é漫𠮷" in [o["page"] for o in json.loads(terminal.buffer.getvalue())]


def test_an_ending_may_be_written_large(tmp_path, small):
    for o in ("b.CBZ", "b.zip"):
        with zipfile.ZipFile(tmp_path/o, "w") as z: z.writestr("P1.PNG", b""); z.writestr("p2.Jpeg", b"")
    assert [o.member for o in list_archive(tmp_path/"b.CBZ")] == ["P1.PNG", "p2.Jpeg"]
    check_output(tmp_path/"b.CBZ", tmp_path/"out.CBZ", [])
    with pytest.raises(DualflowError, match="end the name in .cbz"): check_output(tmp_path/"b.CBZ", tmp_path/"out.png", [])


def test_a_book_of_pages_that_are_none_is_not_written(tmp_path):
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: z.writestr("p1.png", b"no page")
    with pytest.raises(DualflowError, match="no page could be coloured"): colour_book(None, list_archive(tmp_path/"b.cbz"), tmp_path/"b.cbz", tmp_path/"out.cbz")
    assert [o.name for o in tmp_path.iterdir()] == ["b.cbz"]


def test_a_book_is_bound_in_the_order_in_which_it_is_read_and_of_its_own_pages(tmp_path, small):
    "Not of what an earlier run left; under any name that a disk takes."
    data = io.BytesIO(); small[0].save(data, "PNG")
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: z.writestr("10.png", data.getvalue()); z.writestr("2.png", data.getvalue()); z.writestr("3.png", b"torn")
    for name in ("out.cbz", "x" * 250 + ".cbz"):
        save_page(small[1], _folder_of(tmp_path/name)/"3.png"); (left := tmp_path/f".{name[:-4][:60]}-0123abcd.cbz").touch(); os.utime(left, (0, 0))
        told = []
        assert colour_book(None, list_archive(tmp_path/"b.cbz"), tmp_path/"b.cbz", tmp_path/name, on_error=told.append) == (2, 1) and "3.png" in str(told[0])  # in colour: nothing to do
        assert not left.exists()
        with zipfile.ZipFile(tmp_path/name) as z: assert z.namelist() == ["2.png", "3.png", "10.png"] and z.read("3.png") == b"torn" and {o.compress_type for o in z.infolist()} == {zipfile.ZIP_STORED}


def test_a_page_too_long_for_its_format_is_told_before_it_is_coloured(tmp_path):
    page = grey(tmp_path/"p.png", Image.new("L", (2, 16384)))
    told = []
    assert colour_book(None, find_pages(page), page, tmp_path/"o.webp", on_error=told.append) == (0, 1) and "end the name in .png" in str(told[0])


def test_a_folder_of_pages_becomes_a_folder_that_can_be_written(tmp_path, small, monkeypatch):
    pages = [Source(grey(tmp_path/"in"/"1.png", small[0]))]
    with pytest.raises(DualflowError, match="must be a folder"): check_output(tmp_path/"in", tmp_path/"out.cbz", pages)
    check_output(tmp_path/"in", tmp_path/"deep"/"out", pages)
    assert (tmp_path/"deep"/"out").is_dir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DualflowError, match="out: cannot be written .no permission.*another folder"): check_output(tmp_path/"in", tmp_path/"out", pages)


def test_an_output_that_is_the_input_by_another_name_is_refused(tmp_path, small):
    grey(tmp_path/"in"/"1.png", small[0])
    try: (tmp_path/"out").symlink_to(tmp_path/"in")
    except OSError: pytest.skip("no links on this disk")
    with pytest.raises(DualflowError, match="lies in the input"): check_output(tmp_path/"in", tmp_path/"out", find_pages(tmp_path/"in"))


def test_a_folder_of_what_cannot_be_opened_is_a_failure(tmp_path, capsys):
    (tmp_path/"in").mkdir(); (tmp_path/"in"/"b.cbz").write_bytes(b"no"); (tmp_path/"none").mkdir()
    for name, words in (("in", "b.cbz: cannot be opened"), ("none", "no pages here")):
        assert run("colorize", "--input", tmp_path/name, "--output", tmp_path/"out") == 1 and words in capsys.readouterr().err
    assert not (tmp_path/"out").exists()


def test_what_needs_one_page_or_one_process_says_so(tmp_path, small, capsys, monkeypatch):
    for i in range(2): grey(tmp_path/"in"/f"{i}.png", small[0])
    Image.new("RGBA", small[0].size).save(tmp_path/"hints.png")
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out", "--hints", tmp_path/"hints.png") == 1 and "has 2; colour that page alone" in capsys.readouterr().err
    monkeypatch.setattr(cli, "WORLD", 2)
    assert run("colorize", "--input", tmp_path/"in", "--output", tmp_path/"out", "--consistent") == 1 and "start a single process" in capsys.readouterr().err


def test_an_error_of_the_disk_names_its_file_and_warnings_are_as_before(capsys):
    import warnings
    was = warnings.formatwarning
    @cli.command()
    def fails(): warnings.warn("look"); raise OSError(28, "No space left", "a.png")
    with warnings.catch_warnings(): assert fails([]) == 1
    assert capsys.readouterr().err.endswith("error: a.png: No space left\n") and warnings.formatwarning is was
    assert [cli.between(0, 1)(o) for o in ("0", "1")] == [0, 1]


def test_practice_pages_are_drawn_four_to_a_chapter_and_kept(tmp_path, small, monkeypatch):
    drawn = []
    monkeypatch.setattr("dualflow.drawing.draw_page", lambda seed, page: drawn.append((seed, page)) or type("", (), {"color": small[0]}))
    grey(tmp_path/"drawn_00006"/"02.png", small[1])
    before = (tmp_path/"drawn_00006"/"02.png").read_bytes()
    assert run("draw_pages", "--target_dir", tmp_path, "--chapters", 2, "--seed", 5) == 0
    assert drawn == [(5, 0), (5, 1), (5, 2), (5, 3), (6, 0), (6, 2), (6, 3)] and (tmp_path/"drawn_00006"/"02.png").read_bytes() == before
    assert len(list(tmp_path.glob("drawn_0000[56]/0[1234].png"))) == 8


def test_comparisons_get_their_options_and_are_kept(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "_load_flow", lambda weights: "flow")
    monkeypatch.setattr("dualflow.dataset.DatasetLoader", lambda folder: list(range(9)))
    monkeypatch.setattr("dualflow.evaluation.compare_guidance", lambda flow, data, n, **o: asked.append((n, o["style"], o["height"])) or [{"guidance": "none", "pages": n, "psnr": 1., "gain_db": 0.}])
    monkeypatch.setattr("dualflow.routers.compare_routers", lambda flow, pages, **o: asked.append((pages, o["style"])) or [])
    monkeypatch.setattr("dualflow.routers.routers_table", lambda rows: "")
    options = "--dataset_dir", tmp_path, "--pages", 3, "--style", "gray"
    assert run("bench", "--guidance", *options, "--height", 300, "--save", tmp_path/"rows.json") == run("bench", "--routers", *options) == 0
    assert asked == [(3, "gray", 300), ([0, 4, 8], "gray")] and json.loads((tmp_path/"rows.json").read_text())[0]["pages"] == 3


def test_a_demo_without_gradio_names_the_remedy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "dualflow.app", raising=False)
    assert run("demo") == 1 and "pip install 'dualflow[demo]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", type(sys)("gradio")); monkeypatch.setitem(sys.modules, "dualflow.explore", None)
    with pytest.raises(ModuleNotFoundError, match="explore"): run("demo")  # a fault of ours is not laid at its door


def test_names_in_an_archive_are_what_they_were_called(tmp_path):
    for name, said in (("3ü.png", "3ü.png"), (b"3\x81b.png".decode("latin-1"), "3üb.png")):  # UTF-8 without saying so; the code page of DOS
        raw = name.encode() if "ü" in name else name.encode("latin-1")
        with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: z.writestr("x" * len(raw), b"no page")
        (tmp_path/"b.cbz").write_bytes((tmp_path/"b.cbz").read_bytes().replace(b"x" * len(raw), raw))
        page, = list_archive(tmp_path/"b.cbz")
        assert page.member == said and page.read() == b"no page"


def test_hints_without_paint_are_told(tmp_path, small, capsys):
    grey(tmp_path/"p.png", small[0])
    Image.new("RGBA", small[0].size, (255, 0, 0, 90)).save(tmp_path/"hints.png")
    assert run("colorize", "--input", tmp_path/"p.png", "--output", tmp_path/"o.png", "--hints", tmp_path/"hints.png") == 1
    assert "nothing is painted there" in capsys.readouterr().err and not (tmp_path/"o.png").exists()


def test_resuming_counts_pages_in_colour_too(tmp_path, small, capsys):
    grey(tmp_path/"in"/"1.png", small[0]); small[1].save(tmp_path/"in"/"2.png")
    args = "colorize", "--input", tmp_path/"in", "--output", tmp_path/"out"
    assert run(*args) == 0 and "2 of 2 pages written" in capsys.readouterr().out
    before = {o: o.stat().st_mtime_ns for o in (tmp_path/"out").iterdir()}
    assert run(*args, "--resume") == 0 and "0 of 2 pages written" in (said := capsys.readouterr().out) and "2 there already" in said
    assert before == {o: o.stat().st_mtime_ns for o in (tmp_path/"out").iterdir()}


def test_a_page_that_is_missing_in_a_book_is_named(tmp_path, small, capsys):
    small[0].save(data := io.BytesIO(), "PNG")
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z: z.writestr("1.png", data.getvalue()); z.writestr("2.png", data.getvalue(), zipfile.ZIP_BZIP2)
    told = []
    assert colour_book(None, list_archive(tmp_path/"b.cbz"), tmp_path/"b.cbz", tmp_path/"o.cbz", lambda n, total, name, what: told.append((n, what))) == (1, 1)
    assert told == [(1, "in colour already, kept as it is"), (2, "missing in the book")]


def test_a_folder_in_an_archive_is_no_page_whatever_its_name(tmp_path):
    with zipfile.ZipFile(tmp_path/"b.cbz", "w") as z:
        for o in ("Book.cbz/", "scans.png/", "Book.cbz/1.png", "scans.png/2.png"): z.writestr(o, b"")
    assert [o.member for o in list_archive(tmp_path/"b.cbz")] == ["Book.cbz/1.png", "scans.png/2.png"]


def test_a_page_of_a_mac_finds_its_half():
    a, b = (Source(Path(f"ch/{name}"), chapter="ガ") for name in ("ガ_bw.png", "カ\u3099_color.png"))
    (chapter, name, halves), = pair_pages([a, b])
    assert (chapter, name) == ("ガ", "ガ") and halves == {"bw": a, "color": b}
