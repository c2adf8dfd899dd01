"The demo as a Hugging Face Space; `python demo/app.py` opens it anywhere."
from dualflow.app import build_demo, launch_options

demo = build_demo()

if __name__ == "__main__":
    demo.launch(**launch_options(demo))
