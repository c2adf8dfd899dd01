"The demo as a Hugging Face Space; `python demo/app.py` opens it anywhere."
import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the commands do, for machines that are shared

from dualflow.app import build_demo, launch_options

demo = build_demo()

if __name__ == "__main__":
    demo.launch(**launch_options(demo))
