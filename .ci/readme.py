"""Makes README.md of nbs/index.ipynb: `python .ci/readme.py` writes it; `readme()` returns its text."""
import json, re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def readme():
    "The cells of the index notebook as markdown; hidden cells are dropped, code is fenced, printed output follows it."
    parts = []
    for cell in json.loads((ROOT / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"]).strip()
        if not text or text.startswith("#| hide"): continue
        if cell["cell_type"] == "markdown": parts.append(text)
        elif cell["cell_type"] == "code":
            code = "\n".join(o for o in text.splitlines() if not o.startswith("#|"))
            parts.append(f"```python\n{code.strip()}\n```")
            parts += ["```\n" + "".join(o["text"]).rstrip() + "\n```" for o in cell["outputs"] if o["output_type"] == "stream"]
    # The notebook lives in nbs/, the README above it: links between notebooks gain the folder.
    text = re.sub(r"\]\(((?:\w+/)?\w+\.ipynb|images/)", r"](nbs/\1", "\n\n".join(parts))
    return text.replace("](../", "](") + "\n"


if __name__ == "__main__": (ROOT / "README.md").write_text(readme(), encoding="utf-8")
