"The little world of practice pages: the same number draws the same page, and people keep their colours."
import numpy as np
import pytest

from dualflow import drawing
from dualflow.canvas import Canvas, lit
from dualflow.characters import HAIR, EXPRESSIONS, invent
from dualflow.clothes import POSES, draw_figure
from dualflow.decor import EFFECTS, INDOORS, LIGHT, OUTDOORS, TIMES, field, light_of
from dualflow.drawing import SHOTS, _layout, _overlap, _plan, draw_balloon, draw_caption, draw_chapter, draw_page, draw_panel

SIZE = (352, 496)
CHAPTERS = {seed: draw_chapter(seed, 4, SIZE) for seed in (2, 5, 9)}
PAGES = [page for chapter in CHAPTERS.values() for page in chapter]


def sheets(page): return page.base, page.ink, page.paper


def test_same_number_same_pixels():
    page = CHAPTERS[5][2]
    assert all((a == b).all() for a, b in zip(sheets(page), sheets(draw_page(5, SIZE, 2))))       # and without the pages before it
    for other in (CHAPTERS[5][1], CHAPTERS[2][2]): assert (page.ink != other.ink).mean() > .02


@pytest.mark.parametrize("size", (SIZE, (300, 260), (640, 608)))  # reduced by 4 and, from 600 pixels, by 2
def test_sheets(size):
    page = CHAPTERS[5][0] if size == SIZE else draw_page(5, size)
    w, h = size
    assert page.base.shape == (h, w, 3) and page.ink.shape == page.paper.shape == (h, w) and page.color.size == size and page.color.mode == "RGB"
    assert page.base.dtype == page.ink.dtype == np.uint8 and page.paper.dtype == bool
    assert page.ink.min() == 0 and page.ink.max() == 255 and .02 < (page.ink > 127).mean() < .5
    assert np.abs(np.array(page.color) - page.base*(1 - page.ink[..., None]/255.)).max() <= .51   # colours and ink make up the page


def test_gutters_are_paper():
    "Paper is white; between the panels, and where no panel is, there is nothing but paper."
    for page in PAGES:
        w, h = SIZE
        assert (page.base[page.paper] == 255).all() and .05 < page.paper.mean() < .6
        inside = np.zeros((h, w), bool)
        for panel in page.panels:
            x0, y0, x1, y1 = panel.box
            assert 0 <= x0 < x1 <= w and 0 <= y0 < y1 <= h
            inside[max(y0 - 2, 0):y1 + 2, max(x0 - 2, 0):x1 + 2] = True
        assert page.paper[~inside].all() and (page.ink[~inside] == 0).all()
    assert sum((~page.paper).mean() for page in PAGES)/len(PAGES) > .6                             # most of a page is drawing


def test_panels_do_not_overlap():
    for seed in range(40):
        panels = _layout(992, 1408, np.random.default_rng(seed))
        assert 3 <= len(panels) <= 8
        boxes = [(max(p[0, 0], p[3, 0]), max(p[0, 1], p[1, 1]), min(p[1, 0], p[2, 0]), min(p[2, 1], p[3, 1])) for p in panels]  # what is surely seen of each
        assert all(x1 - x0 > 100 and y1 - y0 > 100 for x0, y0, x1, y1 in boxes)
        assert not any(_overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_leaning_panels_say_what_is_seen(monkeypatch):
    "The part of a panel that people and words are kept to lies within its outline and on the page."
    outlines, parts, draw, lay = [], [], drawing.draw_panel, drawing._layout
    monkeypatch.setattr(drawing, "_layout", lambda *args: outlines.extend(found := lay(*args)) or found)
    monkeypatch.setattr(drawing, "draw_panel", lambda c, *args: parts.append((*c.free, c.w, c.h)) or draw(c, *args))
    for seed in (2, 3, 5, 9): draw_page(seed, (104, 144))
    for outline, (x0, y0, x1, y1, w, h) in zip(outlines, parts, strict=True):
        corners, edge = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) + np.floor(outline.min(0)), np.roll(outline, -1, 0) - outline
        u = corners[:, None] - outline
        assert (edge[:, 0]*u[..., 1] - edge[:, 1]*u[..., 0] >= -1e-6).all()                         # to the right of each edge, clockwise
        assert corners.min() >= 0 and (corners <= (416, 576)).all() and (x1 - x0)*(y1 - y0) > .5*w*h


@pytest.mark.parametrize("seed", CHAPTERS)
def test_a_cast_keeps_its_colours(seed):
    "On every page the same people; where somebody's hair shows under one light, its mean colour is the same on all of them, and the invented one."
    chapter = CHAPTERS[seed]
    cast = {name: role.colors for name, role in chapter[0].cast.items()}
    assert 2 <= len(cast) <= 4 and all({n: r.colors for n, r in page.cast.items()} == cast for page in chapter)
    shown = dict.fromkeys(cast, 0)
    for name, colors in cast.items():
        means = {}
        for page in chapter:
            hair, found = page.where(name, "hair", by=6), False
            for light in {a.light for a in page.cast[name].seen}:
                here = np.zeros_like(hair)
                for a in page.cast[name].seen:
                    if a.light == light: here[a.box[1]:a.box[3], a.box[0]:a.box[2]] = True
                pixels = page.base[hair & here]
                if len(pixels) > 40: means.setdefault(light, []).append(pixels.mean(0)); found = True
            shown[name] += found
        for light, found in means.items():
            assert np.ptp(found, 0).max() <= 3 and np.abs(np.mean(found, 0) - lit(colors["hair"], light)).max() <= 3, (name, light)
    assert max(shown.values()) >= 3 and sum(n >= 2 for n in shown.values()) >= 2, shown              # and they do come back


def test_somebody_seen_is_there():
    "Where someone is said to be, hair or skin of theirs covers part of the box."
    seen = [(page.where(name, "hair") | page.where(name, "skin"))[a.box[1]:a.box[3], a.box[0]:a.box[2]].mean()
            for page in PAGES for name, role in page.cast.items() for a in role.seen]
    assert len(seen) > 40 and np.mean(np.array(seen) > .03) > .95


def test_day_and_night():
    "Night is darker, dusk is redder; people in a room with a lamp on are nearly as bright as by day."
    world = {}
    for time in TIMES:
        c = Canvas(220, 200, 1.); draw_panel(c, invent(np.random.default_rng(1), 2), "view", field, time, 3, np.random.default_rng(2))
        world[time] = np.asarray(c.base, float).mean((0, 1))
        if time == "night": assert np.asarray(c.base)[-30:].mean() < .7*ground                      # not the sky alone: the light on the grass too
        elif time == "day": ground = np.asarray(c.base)[-30:].mean()
    assert world["night"].mean() < .6*world["day"].mean() and world["dusk"][0]/world["dusk"][2] > 1.3*world["day"][0]/world["day"][2]
    mean = lambda time: np.mean([page.base[~page.paper].mean() for page in PAGES if {p.time for p in page.panels} == {time}])
    assert mean("night") < mean("day") - 15
    assert light_of(INDOORS[0], "night")[1] == LIGHT["lamp"][1] and light_of(OUTDOORS[0], "night")[1] == LIGHT["night"][1] and light_of(EFFECTS[0], "night")[1] == (1, 1, 1)


def test_pages_differ():
    "Over the seeds: many hues in one page, other hair and other places in the next."
    bins = [len(np.unique((page.base[::4, ::4][~page.paper[::4, ::4]] // 32).reshape(-1, 3), axis=0)) for page in PAGES]
    assert min(bins) > 15
    casts = [invent(np.random.default_rng(seed), 3) for seed in range(60)]
    assert {who.style for cast in casts for who in cast} == set(HAIR)
    for cast in casts: assert len({who.style for who in cast}) == len({who.kind for who in cast}) == len({who.name for who in cast}) == 3
    assert len({panel.shot for page in PAGES for panel in page.panels}) >= 6 and {panel.shot for page in PAGES for panel in page.panels} <= set(SHOTS)
    assert len({panel.place for page in PAGES for panel in page.panels}) >= 8
    hours = [_plan(seed)[1](page)[1] for seed in range(60) for page in (0, 3)]
    assert set(hours) == set(TIMES) and .55 < hours.count("day")/len(hours) < .8                   # most of a chapter is by day
    drawn = [(_plan(seed)[1](n)[1], {panel.time for panel in page.panels}) for seed, chapter in CHAPTERS.items() for n, page in enumerate(chapter)]
    assert all(planned in found for planned, found in drawn) and set.union(*(found for _, found in drawn)) == set(TIMES)   # and so it is drawn


@pytest.mark.parametrize("shot", SHOTS)
def test_words_stay_off_faces_and_in_the_panel(shot):
    for seed in range(5):
        c = Canvas(300, 220, 1.5)
        c.free = (30, 10, 280, 205)
        _, _, seen = draw_panel(c, invent(np.random.default_rng(seed), 3), shot, field, "day", seed, np.random.default_rng(seed), opening=seed == 0)
        paper = np.asarray(c.paper) > 0
        inner = paper[10:205, 30:280]
        assert paper.sum() == inner.sum()
        for s in seen:
            u = (s.head[2] - s.head[0])/2.7  # the face is 1.6 units wide and 1.3 high, and ends at the mouth
            x0, y0, x1, y1 = np.clip((s.mouth[0] - .8*u, s.mouth[1] - 1.3*u, s.mouth[0] + .8*u, s.mouth[1]), 0, 300).round().astype(int)
            if s.facing and x1 > x0 and y1 > y0: assert paper[y0:y1, x0:x1].mean() < .05, (shot, seed)


def test_a_balloon_that_does_not_fit_is_left_out():
    rng = np.random.default_rng(0)
    assert draw_balloon(Canvas(40, 40, 3), "GOOD\nMORNING", (20, 20), [], rng) is None
    full = Canvas(400, 300, 2)
    assert draw_balloon(full, "HELLO!", (200, 150), [(0, 0, 400, 300)], rng) is None and draw_caption(full, "THAT NIGHT", [(0, 0, 400, 300)]) is None
    assert not np.asarray(full.paper).any()


@pytest.mark.parametrize("place", (*OUTDOORS, *INDOORS, *EFFECTS), ids=lambda o: o.__name__)
def test_a_place_stays_itself(place):
    "The same furniture in the same place, and other furniture in another; no place leaves a hole in its panel."
    def draw(furniture):
        c = Canvas(192, 80, 1.); place(c.at(0, 0, 80), np.random.default_rng(furniture), "day")
        return np.asarray(c.base), np.asarray(c.ink)
    (base, ink), (again, _), (other, other_ink) = draw(1), draw(1), draw(4)
    assert (base == again).all() and ((base != other).any() or (ink != other_ink).any())
    assert (base == 255).all(-1).mean() < .4 and ink.max() == 255


def test_everyone_can_do_everything():
    for who in invent(np.random.default_rng(3), 7):
        pictures = set()
        for mood in EXPRESSIONS:
            c = Canvas(90, 90, 1.); draw_figure(c.at(45, 45, 24), who, mood)
            pictures.add(c.picture.tobytes())
        for pose in POSES:
            for back in (False, True):
                c = Canvas(90, 120, 1.); draw_figure(c.at(45, 24, 11), who, "calm", pose, back=back)
                assert (np.abs(np.asarray(c.base).astype(int) - who.hair).max(-1) <= 3).sum() > 40   # hair is seen from both sides
        assert len(pictures) == len(EXPRESSIONS)


def test_pages_drawn_from_the_command_line(tmp_path, capsys):
    "Four pages a chapter, those of `draw_page`; what is there already is kept."
    from PIL import Image
    from dualflow import cli
    kept = tmp_path / "drawn_00007/02.png"
    kept.parent.mkdir()
    Image.new("RGB", (8, 8)).save(kept)
    assert cli.draw_pages(["--target_dir", str(tmp_path), "--chapters", "1", "--seed", "7"]) in (None, 0)
    assert [o.name for o in sorted(tmp_path.rglob("*.png"))] == ["01.png", "02.png", "03.png", "04.png"] and "[4/4]" in capsys.readouterr().out
    assert Image.open(kept).size == (8, 8)
    assert Image.open(kept.with_name("03.png")).tobytes() == draw_page(7, page=2).color.tobytes()
