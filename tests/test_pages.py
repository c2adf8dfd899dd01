"Pages of every kind come in right, damaged ones are refused in words, and nothing is ever half written."
import gc, io, os, warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageOps

from dualflow.core import DualflowError, PageError, Workspace, fit_page, left_aside, load_page, mean_chroma, page_lightness, png, read_note, save_page, to_image, write_aside
from dualflow.drawing import draw_page
from dualflow.pipeline import has_colour

GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))  # (48, 64), dark to light


def saved(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "TIFF", "BMP", "GIF"])
def test_formats(kind):
    page = load_page(saved(Image.fromarray(GREY), kind))
    assert page.mode == "RGB" and page.size == (64, 48)
    assert np.abs(np.array(page)[..., 0].astype(int) - GREY).max() <= (12 if kind in ("JPEG", "WebP") else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes(mode):
    page = np.array(load_page(Image.fromarray(np.where(GREY > 127, 255, 0).astype(np.uint8)).convert("RGB").convert("L" if mode == "LA" else "RGB").convert(mode)
                              if mode != "LAB" else Image.new("LAB", (64, 48))))
    assert page.shape == (48, 64, 3)
    if mode != "LAB": assert page[:, 60:].min() > 240 and page[:, :4].max() < 15


def test_sixteen_bits_are_scaled_not_clipped():
    wide = GREY.astype(np.uint16) * 257
    for data in (saved(Image.fromarray(wide), "PNG"), saved(Image.fromarray(wide), "TIFF")):
        assert np.abs(np.array(load_page(data))[..., 0].astype(int) - GREY).max() <= 1


def test_wide_numbers_that_hold_eight_bits_are_not_black():
    assert load_page(Image.new("I", (4, 4), 200)).getpixel((0, 0)) == (200,) * 3 and load_page(Image.new("I", (4, 4), 65535)).getpixel((0, 0)) == (255,) * 3
    assert load_page(Image.fromarray(np.array([[np.nan, .5], [1, 0]], np.float32))).getpixel((1, 0)) == (128,) * 3


@pytest.mark.parametrize("dtype, times", [(np.float32, 257), (np.float32, 1), (np.float32, 1 / 255), (np.int32, 1000)])
def test_wide_numbers_are_scaled_whatever_their_range(dtype, times):
    page = np.array(load_page(saved(Image.fromarray((GREY.astype(float) * times).astype(dtype)), "TIFF")))[..., 0].astype(int)
    assert np.abs(page - GREY * (255 / GREY.max() if dtype == np.int32 else 1)).max() <= 1


def test_no_page_of_a_file_is_lost_in_silence():
    data = saved(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)] * 2)
    with pytest.raises(PageError, match="3 pages.*PDF"): load_page(data)
    with pytest.raises(PageError, match="fromarray"): load_page(GREY)
    with pytest.raises(PageError, match="pixel"): load_page(Image.new("L", (0, 5)))


def test_alpha_lies_over_white():
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    clear.putpixel((3, 3), (10, 20, 30, 255))
    page = load_page(saved(clear, "PNG"))
    assert page.getpixel((0, 0)) == (255, 255, 255) and page.getpixel((3, 3)) == (10, 20, 30)
    for mode in ("RGBa", "La"): assert load_page(clear.convert("LA" if mode == "La" else "RGBA").convert(mode)).getpixel((0, 0)) == (255, 255, 255)  # premultiplied
    marked = Image.fromarray(GREY).convert("P"); marked.info["transparency"] = 0
    assert load_page(saved(marked, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_exif_rotation():
    exif = Image.Exif(); exif[0x0112] = 6  # turned a quarter to the right
    page = load_page(saved(Image.fromarray(GREY), "JPEG", exif=exif))
    assert page.size == (48, 64) and page.getpixel((20, 2))[0] < 20 < page.getpixel((20, 60))[0]


BROKEN = {"empty": (b"", "empty"), "web page": (b"<html>", "not a picture"), "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not a picture"), "cut PNG": (saved(Image.fromarray(GREY), "PNG")[:70], "damaged"),
          "cut JPEG": (saved(Image.fromarray(GREY), "JPEG")[:-200], "damaged")}


@pytest.mark.parametrize("data, word", BROKEN.values(), ids=BROKEN)
def test_bad_files_are_named(tmp_path, data, word):
    file = tmp_path / "pagé 01.png"
    file.write_bytes(data)
    with pytest.raises(PageError, match=word) as e: load_page(file)
    assert str(file) in str(e.value)


def test_missing_folder_and_too_large(tmp_path):
    with pytest.raises(PageError, match="no such file"): load_page(tmp_path / "nothing.png")
    with pytest.raises(PageError, match="folder"): load_page(tmp_path)
    with pytest.raises(PageError, match="limit"): load_page(Image.fromarray(GREY), max_pixels=1000)
    assert load_page(Image.fromarray(GREY), max_pixels=GREY.size).size == (64, 48)


def test_a_phone_s_picture_with_its_preview_is_one_page_and_names_are_told(monkeypatch):
    data = saved(Image.fromarray(GREY).convert("RGB"), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert load_page(data).size == (64, 48)
    file = io.BytesIO(data[:300]); file.name = "p7.jpg"
    with pytest.raises(PageError, match="^p7.jpg: "): load_page(file)
    with pytest.raises(PageError, match="^mine: "): load_page("p7.jpg", name="mine")
    def locked(*args, **options): raise PermissionError
    monkeypatch.setattr(Image, "open", locked)
    with pytest.raises(PageError, match="no permission"): load_page("p7.jpg")


def test_a_bomb_is_refused_before_it_is_decoded():
    import struct, zlib
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40000, 40000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(PageError, match="limit"): load_page(bomb)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.integers(0, 300))
def test_damage_never_escapes(noise, at):
    "Whatever stands in a file, the answer is a page or a PageError."
    good = saved(Image.fromarray(GREY), "PNG")
    for data in (noise, good[:at] + noise + good[at + len(noise):]):
        try: assert load_page(data).mode == "RGB"
        except PageError: pass


def test_lightness_of_grey_is_exact():
    import torch
    from kornia.color import rgb_to_lab
    from dualflow.core import to_tensor
    image = Image.fromarray(GREY)
    assert torch.allclose(page_lightness(image), rgb_to_lab(to_tensor(image))[:, :1], atol=.01)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_are_for_whom_the_user_wants_them(tmp_path, mask, mode):
    before = os.umask(mask)
    try: file = save_page(Image.new("RGB", (4, 4)), tmp_path / "p.png")
    finally: os.umask(before)
    assert file.stat().st_mode & 0o777 == mode


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = save_page(Image.new("RGB", (4, 4), "red"), tmp_path / "p.png")
    with pytest.raises(RuntimeError), write_aside(file) as aside:
        aside.write_bytes(b"half"); raise RuntimeError
    assert load_page(file).getpixel((0, 0)) == (255, 0, 0) and [o.name for o in tmp_path.iterdir()] == ["p.png"]
    for name in ("p.xyz", "p.psd", "p.ico"):  # Pillow knows the last two, but cannot write one, and shrinks pages for the other
        with pytest.raises(DualflowError, match="format"): save_page(Image.new("RGB", (4, 4)), tmp_path / name)
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(DualflowError, match="cannot be written .*make room"): save_page(Image.new("RGB", (4, 4)), tmp_path / "blocked" / "p.png")
    with pytest.raises(DualflowError, match="cannot be written .*another format"): save_page(Image.new("CMYK", (4, 4)), tmp_path / "p.png")
    assert save_page(Image.new("RGB", (4, 4)), tmp_path / "P.PNG").is_file()


def test_what_a_killed_run_was_writing_is_known_by_its_name(tmp_path):
    for o in ("p.png", ".hidden", "a.b.cbz", "x" * 200 + ".jpg", "plain"):
        with write_aside(tmp_path / o) as aside: assert left_aside(tmp_path) == {aside: Path(o).stem[:60] + Path(o).suffix}
    for o in (".keep", ".a-xyz.png", "p-0123abcd.png"): (tmp_path / o).touch()
    assert not left_aside(tmp_path) and not left_aside(tmp_path / "nowhere")


def test_a_picture_notes_how_it_was_made(tmp_path):
    for ending in ("png", "jpg", "webp"): assert read_note(save_page(Image.new("RGB", (8, 8)), tmp_path / f"p.{ending}", "dualflow variant=3")) == "dualflow variant=3"
    assert read_note(save_page(Image.new("RGB", (8, 8)), tmp_path / "q.png")) == read_note(tmp_path / "nothing") == ""
    (tmp_path / "torn.png").write_bytes((tmp_path / "p.png").read_bytes()[:60])
    assert read_note(tmp_path / "torn.png") == ""


def test_jpegs_are_good_and_yellowed_paper_is_no_colour(tmp_path):
    page = draw_page(3, size=(192, 256)).color
    page.save(tmp_path / "75.jpg")
    assert save_page(page, tmp_path / "p.jpg").stat().st_size > 1.3 * (tmp_path / "75.jpg").stat().st_size
    for paper in ((1, .95, .8), (.95, .85, .6)):
        yellowed = Image.merge("RGB", [page.convert("L").point(lambda v, k=k: int(v * k)) for k in paper])
        assert has_colour(page) and not has_colour(yellowed) and mean_chroma(yellowed) < .5
    assert has_colour(ImageOps.colorize(page.convert("L"), "navy", "white"))  # blue ink is a colour


def test_tensors_become_the_nearest_pixels():
    assert to_image(torch.tensor([-1., .5, 2]).view(3, 1, 1)).getpixel((0, 0)) == (0, 128, 255) == to_image(torch.tensor([0, .501, .999]).view(1, 3, 1, 1)).getpixel((0, 0))
    page = torch.rand(1, 1, 33, 40)
    assert torch.equal(fit_page(page, (33, 40)), torch.nn.functional.pad(page, (0, 24, 0, 31), mode="replicate"))  # no edge where there is none


@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
def test_deep_pages_use_the_bits_they_have(top):
    deep = Image.fromarray((GREY / 252 * top).astype(np.uint16))
    assert np.abs(np.array(load_page(saved(deep, "PNG")))[..., 0] - GREY / 252 * 255).max() <= 1


def test_a_profile_of_inks_is_not_kept_with_a_page_in_rgb(tmp_path):
    for mode, kept in (("CMYK", False), ("L", False), ("RGB", True), ("P", True)):
        page = load_page(saved(Image.new(mode, (8, 8)), "PNG" if mode == "P" else "JPEG", icc_profile=b"profile"))
        assert ("icc_profile" in page.info) == kept, mode
    for mode in ("RGB", "L"): assert ("icc_profile" in Image.open(io.BytesIO(png(page.convert(mode)))).info) == (mode == "RGB")


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "RGBA", "CMYK"])
def test_a_page_prints_as_large_as_its_scan(tmp_path, mode):
    page = Image.fromarray(GREY.astype(np.uint16)) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    page.save(tmp_path / "scan.tif", dpi=(600, 600))
    for ending in ("png", "jpg", "tif"): assert [round(o) for o in Image.open(save_page(load_page(tmp_path / "scan.tif"), tmp_path / f"page.{ending}")).info["dpi"]] == [600, 600]


def test_a_resolution_that_is_none_is_not_kept(tmp_path):
    for dpi in ((1, 1), (float("nan"),) * 2, (1e9, 1e9)):
        page = Image.fromarray(GREY); page.info["dpi"] = dpi
        for ending in ("png", "jpg", "tif"): assert set(Image.open(save_page(page, tmp_path / f"page.{ending}")).info.get("dpi", (1, 1))) == {1}


def test_clear_parts_of_a_palette_are_paper():
    clear = Image.new("RGBA", (16, 16)); clear.paste((255, 0, 0, 255), (0, 0, 8, 8))
    assert load_page(clear.quantize()).getpixel((12, 12)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_white_is_white_in_any_precision(dtype): assert to_image(torch.ones(3, 4, 4, dtype=dtype)).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF"])
def test_files_are_closed(tmp_path, kind):
    (tmp_path / "a").write_bytes(saved(Image.fromarray(GREY), kind))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load_page(tmp_path / "a")
        with pytest.raises(PageError, match="limit"): load_page(tmp_path / "a", max_pixels=9)
        gc.collect()
    assert not told


def test_a_workspace_is_where_it_is_from_wherever_one_looks(tmp_path, monkeypatch):
    (tmp_path / "dataset/source").mkdir(parents=True)
    for here, name in ((".", "dataset"), ("dataset", "."), ("dataset/source", ".."), ("dataset", "../dataset")):
        monkeypatch.chdir(tmp_path / here)
        assert Workspace(name).home.resolve() == tmp_path.resolve(), name
