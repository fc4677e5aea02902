"""``python -m cream_mm SCRIPT``: cream_mm is there before what the script imports."""

import subprocess
import sys


def run(*args):
    command = [sys.executable, '-m', 'cream_mm', *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_a_script_that_imports_operators_first(tmp_path):
    """Without compiled operators, python SCRIPT ends here in a ModuleNotFoundError."""
    (tmp_path / 'beside.py').write_text('VALUE = 7\n')
    script = tmp_path / 'script.py'
    script.write_text(
        'import sys\nimport beside\nfrom mmcv.ops import batched_nms\n'
        'if __name__ == "__main__":\n    print(beside.VALUE, sys.argv, batched_nms.__name__)\n'
    )
    done = run(script, '--out', 'x y')
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split('\n')[-2] == f'7 {[str(script), "--out", "x y"]} batched_nms'


def test_what_is_not_there_is_one_line(tmp_path):
    done = run(tmp_path / 'none.py')
    assert done.returncode == 1 and done.stderr == (
        f'error: python -m cream_mm SCRIPT [ARG ...]: no file {tmp_path}/none.py\n'
    )
