"The commands as a terminal would run them, without the seconds that a new interpreter takes."
import io
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

from dualflow import cli


def command(name, *args) -> SimpleNamespace: # returncode, stdout, stderr
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try: code = getattr(cli, name)([str(o) for o in args])
        except SystemExit as e: code = e.code  # argparse
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
