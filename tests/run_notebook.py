"Run a notebook as nbdev does, and take the reader's turn as well: each solution follows its exercise, whose check must find it right."
import re, sys

from nbdev import test


class Solved(test.NBProcessor):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for cell, after in zip(self.nb.cells, self.nb.cells[1:]):
            if cell.cell_type != "code" or "# your turn" not in cell.source: continue
            solution, check = re.search(r"```python\n(.*?)```", after.source, re.S)[1], cell.source.split("\n\n", 1)[1]
            assert check.count('print("solved" if') == 1, f"{cell.id}: what says whether the exercise is solved?"
            cell.source += "\n\n" + solution + check.replace('print("solved" if', 'said = ("solved" if') + '\nassert "solved" in said, said'


test.NBProcessor = Solved
test.nbdev_test(sys.argv[1], n_workers=0)
