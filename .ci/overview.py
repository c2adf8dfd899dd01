"Makes nbs/images/overview.png, the picture of the README, from a sample page and the embedded weights."
from pathlib import Path

from PIL import Image

from dualflow.explore import attention_image, primary_image
from dualflow.pipeline import DualFlow

ROOT = Path(__file__).parents[1]


def overview(page, width=330, gap=10):
    "A page as printed, where the method looks, what the primary paints, and the result, side by side."
    result = DualFlow.from_pretrained().colorize(page)
    steps = [result.attention.image.convert("RGB"), attention_image(result), primary_image(result), result.image]
    height = round(width * page.height / page.width)
    sheet = Image.new("RGB", (4 * width + 3 * gap, height), "white")
    for i, o in enumerate(steps): sheet.paste(o.resize((width, height), Image.Resampling.LANCZOS), (i * (width + gap), 0))
    return sheet


if __name__ == "__main__":
    target = ROOT / "nbs/images/overview.png"
    target.parent.mkdir(exist_ok=True)
    overview(Image.open(ROOT / "data/samples/page_03.png")).save(target, optimize=True)
