"Makes the pictures of the README, nbs/images/overview.png, variants.jpg and moods.jpg, from sample pages and the embedded weights."
from pathlib import Path

from PIL import Image

from dualflow.explore import attention_image, primary_image
from dualflow.pipeline import load_flow

ROOT = Path(__file__).parents[1]
PAGE = Image.open(ROOT / "data/samples/page_03.png")


def strip(pictures, width=330, gap=10):
    "Pictures of one page side by side."
    height = round(width * pictures[0].height / pictures[0].width)
    sheet = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for i, o in enumerate(pictures): sheet.paste(o.resize((width, height), Image.Resampling.LANCZOS), (i * (width + gap), 0))
    return sheet


def overview():
    "A page as printed, where the method looks, what the primary paints, and the result."
    result = load_flow(None).colorize(PAGE)
    return strip([result.attention.image.convert("RGB"), attention_image(result), primary_image(result), result.image])


def variants(): return strip([load_flow(None).colorize(ROOT / "data/samples/page_01.png", variant=o).image for o in range(4)])


def moods(): return strip([load_flow(None).colorize(PAGE, mood=o).image for o in ("sun", "dusk", "night", "forest")])


if __name__ == "__main__":
    overview().save(ROOT / "nbs/images/overview.png", optimize=True)
    variants().save(ROOT / "nbs/images/variants.jpg", quality=85, optimize=True)
    moods().save(ROOT / "nbs/images/moods.jpg", quality=85, optimize=True)
