"The demo: its function, its server, and its page in a real browser."
import configparser, io, shutil, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

gr = pytest.importorskip("gradio")

from dualflow import app
from dualflow.app import WORDS, colour_upload, fold, launch, read_strokes, sample_pages, to_paint_on, write_report
from dualflow.core import DualflowError, load_page
from dualflow.drawing import draw_page
from dualflow.pipeline import has_colour
from dualflow.printing import manga_bw

ROOT = Path(__file__).parents[1]
PICTURES = 7  # two of the slider, five layers


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "A small drawn page as a file."
    path = tmp_path_factory.mktemp("pages")/"drawn page.png"
    manga_bw(draw_page(7, (352, 496)).color, "screentone").image.save(path)
    return path


@pytest.fixture(scope="module")
def broken(page, tmp_path_factory):
    "The same file, cut short."
    path = tmp_path_factory.mktemp("pages")/"broken.png"
    path.write_bytes(page.read_bytes()[:3000])
    return path


@pytest.fixture(scope="module")
def demo():
    demo = launch(prevent_thread_lock=True, quiet=True, inline=False)
    yield demo
    demo.close()


@pytest.fixture(scope="module")
def url(demo): return demo.local_url


def test_handler_gives_every_picture(page):
    (before, after), words, full, *layers = colour_upload(page, .3)
    assert before.size == after.size == full.size == (352, 496) and has_colour(after) and not has_colour(before)
    assert len(layers) == PICTURES - 2 and all(isinstance(o, Image.Image) for o in layers)
    assert "352 × 496" in words and ("the CPU" in words or "GPU" in words)


def test_handler_reads_tiff_and_cmyk(page, tmp_path):
    path = tmp_path/"scan.tif"
    Image.open(page).convert("CMYK").save(path)
    assert has_colour(colour_upload(path)[2])


def test_handler_takes_strokes(page):
    "A dab of red makes its place redder, and far places no less like before; a sheet without a stroke changes nothing."
    dab = Image.new("RGBA", (176, 248))  # a canvas of half the page's size
    dab.paste((200, 30, 40, 255), (80, 120, 90, 130))
    plain, guided = (np.asarray(colour_upload(page, .3, painted=o)[2]).astype(int) for o in (None, dict(layers=[dab])))
    change = (guided - plain)[244:256, 164:176].mean((0, 1))
    assert change[0] - change[1] > 20 and np.abs(guided - plain)[:40].mean() < np.abs(change).mean() / 4
    assert np.array_equal(plain, colour_upload(page, .3, painted=dict(layers=[Image.new("RGBA", (176, 248))]))[2])


def test_handler_follows_pages_in_colour(page, tmp_path):
    "They move the colours towards their own and are counted; a grey one is sent back by its name, and so is a crowd."
    blue = Image.new("RGB", (176, 248), (60, 90, 200))
    blue.paste((90, 190, 230), (0, 0, 60, 248))
    blue.save(tmp_path/"blue.png"); blue.convert("L").save(tmp_path/"grey <1>.png")
    (_, plain), words, *_ = colour_upload(page, 0)
    (_, led), counted, *_ = colour_upload(page, 0, references=[tmp_path/"blue.png"] * 2)
    bluer = np.asarray(led).astype(int) - np.asarray(plain)
    assert bluer[..., 2].mean() - bluer[..., 0].mean() > 3 and "follows: 2" in counted and "follows" not in words
    for language, said in WORDS.items():
        with pytest.raises(gr.Error, match="grey &lt;1&gt;.png " + said["colourless"].split("}")[1].strip()): colour_upload(page, 0, language=language, references=[tmp_path/"blue.png", tmp_path/"grey <1>.png"])
        with pytest.raises(gr.Error, match=said["crowd"].format(n=6)): colour_upload(page, 0, language=language, references=[tmp_path/"blue.png"] * 7)


@pytest.mark.parametrize("content, complaint", [(b"", "empty"), (b"%PDF-1.7", "not a picture"), (b"<svg onload=alert(1)>", "not a picture")])
def test_handler_says_what_is_wrong(tmp_path, content, complaint):
    path = tmp_path/"x <img>.png"
    path.write_bytes(content)
    with pytest.raises(gr.Error) as e: colour_upload(path)
    assert complaint in e.value.message and "<" not in e.value.message and str(tmp_path) not in e.value.message and not e.value.print_exception


def test_handler_wants_a_page_and_a_share(page):
    for language in WORDS:
        with pytest.raises(gr.Error, match=WORDS[language]["choose"]): colour_upload(None, language=language)
    with pytest.raises(gr.Error, match="from 0 to 1"): colour_upload(page, 3)


def test_a_report_is_written_as_its_language_does():
    result = SimpleNamespace(image=Image.new("L", (30, 40)), seconds=dict.fromkeys("abcdef", .5), report={"primary_share": .256}, regions=[1, 2])
    assert write_report(result, "cuda") == "30 × 40 pixels, coloured in **3.0 s** on the GPU (reading 0.5 · attention 0.5 · splitting 0.5 · primary 0.5 · secondary 0.5 · fusion 0.5). The primary painted **26 %** of the page; patches: 2."
    assert "**3,0 s** sur le processeur (lecture 0,5 ·" in write_report(result, "cpu", "fr")


def test_all_layers_of_strokes_are_read_and_their_soft_rims_are_none():
    one, two = (Image.new("RGBA", (10, 10)) for _ in range(2))
    one.putpixel((1, 2), (200, 0, 0, 255)); two.putpixel((8, 7), (0, 0, 200, 255)); two.putpixel((4, 4), (0, 9, 0, 100))
    sheet = read_strokes(dict(layers=[one, two]), (10, 10))
    assert np.argwhere(np.asarray(sheet)[..., 3] == 255).tolist() == [[2, 1], [7, 8]] and sheet.getextrema()[3] == (0, 255) and sheet.getpixel((4, 4))[3] == 0


def test_pages_to_try_are_those_of_the_checkout():
    assert [o.tobytes() for o in sample_pages()] == [load_page(o).tobytes() for o in sorted((ROOT/"data"/"samples").glob("*.png"))[:6]] != []


def test_pages_to_try_are_drawn_where_there_is_no_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(app, "SAMPLES", tmp_path); monkeypatch.setattr(app, "draw_page", lambda seed: draw_page(seed, (96, 128)))
    drawn = sample_pages.__wrapped__()
    assert len({o.tobytes() for o in drawn}) == 3 and not any(has_colour(o) for o in drawn)


def test_strokes_are_of_the_page_that_they_were_made_on(demo, monkeypatch):
    "Coloured again, it keeps them, over what they did; another page has none."
    answer, on_easel = (next(o.fn for o in demo.fns.values() if o.name == name) for name in ("answer", "on_easel"))
    page, other, given, hinted = Image.new("RGB", (90, 120), "tan"), Image.new("RGB", (90, 120), "teal"), [], []
    monkeypatch.setattr(app, "colour_upload", lambda *args: given.append(args) or ((page, other), "said", other, *[page] * 5))
    monkeypatch.setattr(app, "places_to_ask", lambda page, hints: hinted.append(hints) or [])
    french = SimpleNamespace(headers={"accept-language": "fr"})
    for before, kept in (("b.png", "strokes"), ("a.png", None)):
        (_, file), said, full, *how, coloured, same = answer("b.png", .4, ["c.png"], "night", 2, "strokes", before, french)
        assert given.pop() == ("b.png", .4, None, "fr", kept, ["c.png"], "night", 2) and (coloured, same, said) == ("b.png", before == "b.png", "said")
        assert file == full and [Path(o).stem for o in (full, *how)] == [f"b_{o}" for o in ("colored", "attention", "regions", "plan", "primary", "secondary")]
    sheet = Image.new("RGBA", (45, 60)); sheet.paste((200, 0, 0, 255), (0, 0, 5, 5))
    again, calm = (on_easel((page, other), same, dict(layers=[sheet]), "said")[1] for same in (True, False))
    assert again["layers"] == [sheet] and again["background"].tobytes() == calm.tobytes() == other.tobytes()
    assert hinted[0].getbbox() == (0, 0, 10, 10) and hinted[1] is None  # nor is it asked where it was told


def test_a_double_page_is_painted_on_at_full_height(): assert to_paint_on(Image.new("RGB", (2800, 1440))).size == (1400, 720)


def test_a_strip_is_painted_on_as_wide_as_a_page():
    assert [to_paint_on(Image.new("RGB", o)).size for o in ((800, 6000), (400, 12000), (3408, 400), (20, 30000))] == [(1080, 900), (1800, 2160), (3408, 400), (780, 769)]


@pytest.mark.parametrize("size, easel", [((701, 1577), (360, 810)), ((701, 4382), (1080, 750))])
def test_the_easel_is_folded_as_its_page(size, easel): assert to_paint_on(Image.new("RGB", size)).size == easel  # though it is a little longer than the page


def test_strokes_over_a_folded_strip_land_where_they_were_painted():
    "And rings stand where they were asked; a page of common shape is not folded."
    strip = Image.new("RGB", (800, 6000), "tan")
    asks, calm = (np.asarray(to_paint_on(strip, o)).astype(int) for o in ([(400, 4500)], ()))
    y, x = (asks != calm).any(2).nonzero()  # in the third of three columns of 2000
    assert abs((x.min() + x.max()) / 2 - 900) < 2 and abs((y.min() + y.max()) / 2 - 225) < 2
    dab = Image.new("RGBA", (1080, 900))
    dab.paste((200, 30, 40, 255), (890, 215, 910, 235))
    left, top, right, bottom = read_strokes(dict(layers=[dab]), strip.size).getbbox()
    assert abs((left + right) / 2 - 400) < 5 and abs((top + bottom) / 2 - 4500) < 5 and right - left == bottom - top == 44
    assert fold(strip).size == (2400, 2000) and fold(strip.crop((0, 0, 800, 1790))).size == (800, 1790)


def test_six_pages_may_be_followed_and_colours_of_its_own_are_named(page, tmp_path):
    with pytest.raises(gr.Error, match="no colours"): colour_upload(page, references=[page] * 6)  # not that they are too many
    draw_page(7, (96, 128)).color.save(tmp_path/"p.png")
    assert "colours of its own" in colour_upload(tmp_path/"p.png")[1]


def test_wrong_weights_are_told_before_the_door_opens(tmp_path):
    with pytest.raises(DualflowError): launch(tmp_path)


def test_taken_port_is_told_in_words(url):
    with pytest.raises(DualflowError, match="cannot be served"): launch(port=urlparse(url).port, prevent_thread_lock=True, quiet=True)


def test_client(url, page, broken, capfd):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError
    client = Client(url, verbose=False)
    (before, after), words, full, *layers = client.predict(handle_file(page), .3, api_name="/colour")
    assert has_colour(Image.open(full)) and Image.open(full).format == "PNG" and len(layers) == PICTURES - 2
    assert "352 × 496" in words
    night = client.predict(handle_file(page), .3, None, "🌙", api_name="/colour")[2]
    warmth = lambda file: np.subtract(*np.asarray(Image.open(file)).astype(int).mean((0, 1))[[0, 2]])
    assert warmth(night) < warmth(full) - 15
    named = client.predict(handle_file(page), .3, mood="night", api_name="/colour")[2]  # and not only by its sign
    assert Path(named).read_bytes() == Path(night).read_bytes()
    for wrong in ("🌋", "noon", str(page)):
        with pytest.raises(AppError): client.predict(handle_file(page), .3, None, wrong, api_name="/colour")
    lots = [np.asarray(Image.open(client.predict(handle_file(page), .3, None, "—", o, api_name="/colour")[2])).astype(int) for o in "—⚀⚁"]
    assert np.array_equal(lots[2], np.asarray(Image.open(client.predict(handle_file(page), .3, variant=2, api_name="/colour")[2])))
    assert np.array_equal(lots[0], np.asarray(Image.open(full))) and all(np.abs(a - b).mean() > 3 for a, b in ((lots[0], lots[1]), (lots[0], lots[2]), (lots[1], lots[2])))
    capfd.readouterr()
    with pytest.raises(AppError, match="broken.png.*(damaged|cut short)") as e: client.predict(handle_file(broken), .3, api_name="/colour")
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said and "/tmp" not in str(e.value)


def test_server_keeps_files_to_itself(url):
    from urllib.error import HTTPError
    from urllib.request import urlopen
    for path in (__file__, "/etc/hostname", "settings.ini"):
        with pytest.raises(HTTPError): urlopen(f"{url}gradio_api/file={path}")


def test_space_asks_for_what_it_needs_and_no_more():
    "demo/requirements.txt repeats settings.ini; what it leaves out is not imported."
    config = configparser.ConfigParser(delimiters=["="])
    config.read(ROOT/"settings.ini", encoding="utf-8")
    lines = lambda text: {o.strip() for o in text.splitlines() if o.strip()}
    all_of_it = lines(config["DEFAULT"]["requirements"]) | lines(config["DEFAULT"]["demo_requirements"])
    asked = lines((ROOT/"demo/requirements.txt").read_text(encoding="utf-8"))
    assert asked < all_of_it
    left_out = [o.split(">")[0].replace("scikit-image", "skimage") for o in all_of_it - asked]
    code = f"import sys; sys.modules.update(dict.fromkeys({left_out})); import runpy; print(runpy.run_path('demo/app.py')['demo'].title)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "dualflow", done.stderr


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'dualflow[dev]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium: pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as p:
        it = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                               "--disable-component-update", "--disable-sync", "--no-first-run"])
        yield it
        it.close()


def visit(browser, url, locale):
    "A page of the browser on the demo, and the list of hosts that it asks."
    tab, asked = browser.new_page(locale=locale, viewport={"width": 1280, "height": 1100}), []
    tab.set_default_timeout(120_000)
    tab.on("request", lambda o: asked.append(urlparse(o.url)))
    tab.goto(url)
    tab.locator("#colour").wait_for()
    return tab, asked


def result(tab):
    "The coloured page that it shows, once there is one."
    tab.locator("#save").wait_for(timeout=180_000)
    return Image.open(io.BytesIO(tab.request.get(tab.locator("#compare img").nth(1).get_attribute("src")).body()))


def test_browser_colours_a_page(browser, url, page):
    tab, asked = visit(browser, url, "en-GB")
    tab.locator("#compare img").nth(1).wait_for()  # an example, before anybody has asked
    assert sorted(has_colour(Image.open(io.BytesIO(tab.request.get(o.get_attribute("src")).body()))) for o in tab.locator("#compare img").all()[:2]) == [False, True]
    tab.locator("input[type=file]").first.set_input_files(page)
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").click()
    seen = result(tab)
    assert seen.format == "PNG" and seen.size == (352, 496) and has_colour(seen)
    assert tab.locator("#compare img").count() >= 2 and "352 × 496" in tab.locator("#report").inner_text()
    with tab.expect_download() as saved:
        tab.locator("#save").click()
    assert saved.value.suggested_filename == f"{page.stem}_colored.png" and has_colour(Image.open(saved.value.path()))
    assert {o.hostname for o in asked if o.scheme.startswith("http")} == {"127.0.0.1"}


def test_browser_paints_and_colours_again(browser, url, page):
    tab, asked = visit(browser, url, "en-GB")
    tab.locator("input[type=file]").first.set_input_files(page)
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").click()
    look = lambda: np.asarray(result(tab)).astype(int)
    before, picture = look(), tab.locator("#compare img").nth(1)
    first = picture.get_attribute("src")
    canvas = tab.locator("#easel canvas").first
    canvas.scroll_into_view_if_needed()
    seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)
    rings, _ = ndimage.label((abs(seen - (37, 99, 235)) < 40).all(2), np.ones((3, 3)))
    assert (np.bincount(rings.ravel())[1:] > 200).sum() == 5  # questions
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 8, y)
    tab.mouse.down()
    tab.mouse.move(x + 8, y, steps=6)
    tab.mouse.up()
    tab.locator("#again").click()
    tab.wait_for_function("old => ![old, undefined].includes(document.querySelectorAll('#compare img')[1]?.src)", arg=first, timeout=120_000)
    change = (look() - before)[244:252, 170:182].mean((0, 1))  # the middle of the page
    assert change[0] - change[1] > 10, change
    second = picture.get_attribute("src")
    tab.locator("#mood label").nth(3).click()  # night
    tab.locator("#colour").click()             # the large button keeps strokes, too
    tab.wait_for_function("old => ![old, undefined].includes(document.querySelectorAll('#compare img')[1]?.src)", arg=second, timeout=120_000)
    night = look()
    red = lambda o: (o[..., 0] - o[..., 1]).mean()
    assert red(night[244:252, 170:182]) - red(night) > 15 and night[..., 2].mean() - night[..., 0].mean() > before[..., 2].mean() - before[..., 0].mean() + 5
    tab.wait_for_timeout(3000)
    for place in ("#easel", "#compare"):  # nothing lies over them
        assert set(tab.locator(f"{place} [data-testid=status-tracker]").evaluate_all("all => all.map(o => getComputedStyle(o).opacity)")) == {"0"}, place
    seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)
    assert (abs(seen - (200, 50, 74)) < 30).all(2).sum() > 50 and seen.std() > 20  # the strokes, over the page that they made
    assert {o.hostname for o in asked if o.scheme.startswith("http")} == {"127.0.0.1"}


def test_browser_takes_pages_to_follow(browser, url, page, tmp_path):
    for i in (3, 11): draw_page(i, (352, 496)).color.save(tmp_path/f"p{i}.png")
    tab, _ = visit(browser, url, "en-GB")
    tab.locator("input[type=file]").first.set_input_files(page)
    tab.locator("#page img").first.wait_for()
    tab.locator("#more button").first.click()
    tab.locator("#references input[type=file]").set_input_files([tmp_path/"p3.png", tmp_path/"p11.png"])
    tab.locator("#references").get_by_text("p11").first.wait_for()
    tab.locator("#colour").click()
    result(tab)
    assert "follows: 2" in tab.locator("#report").inner_text()


def test_browser_shows_a_message_for_a_broken_file(browser, url, broken):
    tab, _ = visit(browser, url, "en-GB")
    tab.locator("input[type=file]").first.set_input_files(broken)
    toast = tab.get_by_test_id("toast-body")
    for _ in range(2):  # at once, and again for who presses the button all the same
        toast.wait_for(timeout=60_000)
        assert "broken.png" in toast.inner_text() and "Traceback" not in toast.inner_text()
        toast.get_by_role("button").last.click()  # away with it
        toast.wait_for(state="hidden")
        tab.locator("#colour").click()


def test_browser_shows_a_tiff_and_names_what_it_gives(browser, url, page, tmp_path):
    Image.open(page).save(tmp_path/"scan.TIF", dpi=(300, 300))
    tab, _ = visit(browser, url, "en-GB")
    tab.locator("input[type=file]").first.set_input_files(tmp_path/"scan.TIF")
    tab.wait_for_function("document.querySelector('#page img')?.naturalWidth == 352")  # browsers know no TIFF
    tab.locator("#colour").click()
    seen = result(tab)
    tab.locator("a[download$='secondary.jpg']").wait_for(state="attached")
    names = tab.locator("a[download]").evaluate_all("all => all.map(o => o.download)")
    assert sorted(set(names) - {"scan_colored.png"}) == ["scan_attention.jpg", "scan_plan.jpg", "scan_primary.jpg", "scan_regions.jpg", "scan_secondary.jpg"]
    assert round(seen.info["dpi"][0]) == 300


def test_browser_speaks_french_and_tries_an_example(browser, url):
    tab, _ = visit(browser, url, "fr-FR")
    assert tab.locator("#colour").inner_text().strip() == WORDS["fr"]["colour"]
    tab.locator("#samples img").first.click()
    tab.locator("#page img").first.wait_for()
    assert WORDS["fr"]["mood"] in tab.locator("#mood").inner_text()
    assert WORDS["fr"]["variant"] in tab.locator("#variant").inner_text() and tab.locator("#variant label").count() == 7
    tab.locator("#variant label").nth(2).click()
    tab.locator("#mood label").nth(3).click()  # night
    tab.locator("#colour").click()
    red, _, blue = np.asarray(result(tab)).astype(int).mean((0, 1))
    assert "pixels, coloriés en" in tab.locator("#report").inner_text()
    assert blue > red + 5


def test_browser_on_a_phone(browser, url):
    "The result comes into sight, and a finger gets past it and past the page to paint on."
    tab = browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.set_default_timeout(120_000)
    tab.goto(url)
    tab.locator("#samples img").first.tap()
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").tap()
    result(tab)
    assert 0 <= tab.locator("#compare").bounding_box()["y"] < 422  # in the upper half
    touch = tab.context.new_cdp_session(tab)
    for place in ("#compare", "#easel"):
        tab.locator(place).evaluate("o => o.scrollIntoView()")
        tab.wait_for_timeout(500)
        before = tab.evaluate("scrollY")
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 195, "y": 700}]})
        for step in range(1, 11):
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 195, "y": 700 - 30 * step}]})
            tab.wait_for_timeout(30)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        tab.wait_for_timeout(800)
        assert tab.evaluate("scrollY") - before > 100, place
    assert not tab.locator("#easel button[aria-label='Clear canvas']").is_visible()  # it would take the page with the strokes
    box = lambda o: tab.locator(o).first.bounding_box()
    tab.locator("#easel button[aria-label=Color]").tap()
    tools, palette, easel = box("#easel .toolbar-wrap"), box("#easel .half-container > .wrap"), box("#easel")
    assert tools["y"] > easel["y"] + easel["height"] - 40 and tools["width"] > 2 * tools["height"]  # in a row below the page, not over it
    assert palette["x"] >= 0 and palette["x"] + palette["width"] <= 390 and palette["y"] + palette["height"] <= tools["y"] + 1
    tab.locator("#compare .top-panel button").last.tap()  # full screen
    tab.wait_for_timeout(800)
    full, way_out = box("#compare"), tab.locator("#compare .top-panel button").last.bounding_box()
    assert (full["width"], full["height"]) == (390, 844) and 0 < way_out["x"] < 390


def test_browser_reads_out_what_is_there(browser, url):
    "Pictures and buttons have a name, headings a level after another."
    tab, _ = visit(browser, url, "en-GB")
    tab.locator("#samples img").first.click()
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").click()
    result(tab)
    tab.wait_for_function("document.querySelectorAll('main img').length == 11 && !document.querySelector('img[alt=\"\"]')")  # page, 3 samples, slider, 5 layers
    assert {"Black-and-white page", "Or try one of these", "4 · What the primary painted"} <= set(tab.locator("img").evaluate_all("all => all.map(o => o.alt)"))
    assert tab.locator("h1, h2, h3").evaluate_all("all => all.map(o => o.tagName)") == ["H1", "H2", "H2"]


def test_browser_scrolls_through_a_strip(browser, url, tmp_path):
    "It fills the width of its place from its top on, with the handle in sight; a page after it is seen whole again."
    Image.fromarray(np.vstack([manga_bw(draw_page(i, (320, 440)).color, "lineart").image.convert("RGB") for i in range(6)])).save(tmp_path/"strip.png")
    tab, _ = visit(browser, url, "en-GB")
    tab.locator("input[type=file]").first.set_input_files(tmp_path/"strip.png")
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").click()
    result(tab)
    box = lambda o: tab.locator(f"#compare {o}").first.bounding_box()
    picture, place, handle = box("img"), tab.locator("#compare").bounding_box(), box(".icon-wrap")
    assert picture["width"] > .98 * place["width"] and picture["height"] > 7 * picture["width"] and abs(picture["y"] - place["y"]) < 2
    assert place["y"] < handle["y"] < place["y"] + place["height"]
    tab.mouse.move(picture["x"] + 50, place["y"] + 100)
    tab.mouse.wheel(0, 1500)
    tab.wait_for_function("y => document.querySelector('#compare img').getBoundingClientRect().y < y", arg=place["y"] - 1000)
    handle = box(".icon-wrap")
    assert place["y"] < handle["y"] < place["y"] + place["height"]
    tab.locator("#easel").evaluate("o => o.scrollIntoView()")
    tab.mouse.move(640, 400)
    tab.mouse.wheel(0, 300)  # gets past the easel
    tab.wait_for_function("document.querySelector('#easel').getBoundingClientRect().y < -100")
    tab.get_by_role("button", name="Remove Image").click()
    tab.locator("#samples img").first.click()
    tab.locator("#page img").first.wait_for()
    tab.locator("#colour").click()
    tab.wait_for_function("document.querySelector('#report').innerText.includes('992')")
    tab.wait_for_function("document.querySelector('#compare img')?.getBoundingClientRect().height <= 740")
