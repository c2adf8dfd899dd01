import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def comics():
    "Openly licensed colour pages, where they are to be had; the project does not ship them."
    folder = Path(os.environ.get("DUALFLOW_COMICS", Path(__file__).parents[2] / "shared" / "comics"))
    if not (folder / "val").is_dir(): pytest.skip("colour pages are not here; name their folder in DUALFLOW_COMICS")
    return folder
