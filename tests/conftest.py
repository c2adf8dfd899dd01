import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ: os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: a core for each, before torch counts them

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)  # the same examples in every run; for new ones: pytest --hypothesis-profile=default
settings.load_profile("same")


@pytest.fixture(scope="session")
def comics():
    "Openly licensed colour pages, where they are to be had; the project does not ship them."
    folder = Path(os.environ.get("DUALFLOW_COMICS", Path(__file__).parents[2] / "shared" / "comics"))
    if not (folder / "val").is_dir(): pytest.skip("colour pages are not here; name their folder in DUALFLOW_COMICS")
    return folder


@pytest.fixture(scope="session")
def flow():
    "The colorizer with the embedded weights."
    from dualflow.pipeline import load_flow
    return load_flow(None)


@pytest.fixture(scope="session")
def page():
    "A small drawn page in colour."
    from dualflow.drawing import draw_page
    return draw_page(11, size=(320, 448)).color


@pytest.fixture(scope="session", autouse=True)
def own_pictures(tmp_path_factory):
    "Two demos that show the same picture would share one file of Gradio's, and one may be read while the other is writing it."
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
