"""Draws practice pages: `python data/draw.py FOLDER --pages 40` fills FOLDER with colour pages to make a dataset of.
Without a folder it makes again what lies beside it: the small dataset and the three sample pages."""
import argparse, shutil, tempfile
from pathlib import Path

from dualflow.dataset import create_dataset
from dualflow.drawing import draw_page
from dualflow.core import save_page
from dualflow.printing import manga_bw

HERE = Path(__file__).parent


def draw(folder, pages, size, first=0):
    "Draw chapters of four pages, each with a cast of its own."
    for i in range(pages): save_page(draw_page(first + i // 4, size, i % 4).color, Path(folder) / f"drawn_{i // 4 + 1:02}" / f"page_{i % 4 + 1}.png")


def remake():
    with tempfile.TemporaryDirectory() as folder:
        draw(folder, 8, (496, 704), first=57)
        shutil.rmtree(HERE / "dataset", ignore_errors=True)
        create_dataset(folder, HERE / "dataset")
    for file in (HERE / "dataset" / "metadata").glob("*.json"):  # where the drawing lay for a moment concerns nobody
        text = file.read_text(encoding="utf-8").replace(folder, "drawn")
        file.write_text(text, encoding="utf-8")
    for n, (seed, style) in enumerate(zip((57, 39, 31), ("screentone", "lineart", "gray")), 1):
        save_page(manga_bw(draw_page(seed).color, style).image, HERE / "samples" / f"page_{n:02}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", help="where to draw")
    parser.add_argument("--pages", type=int, default=40, help="how many")
    parser.add_argument("--width", type=int, default=992)
    parser.add_argument("--height", type=int, default=1408)
    args = parser.parse_args()
    draw(args.folder, args.pages, (args.width, args.height), first=100) if args.folder else remake()
