"""A command in a process of its own, which leaves this one's random numbers alone."""

import subprocess
from collections.abc import Sequence


def run_apart(command: Sequence[str], failure: str) -> None:
    """Run a command and keep what it prints to itself.

    Args:
        command (Sequence[str]): With its interpreter.
        failure (str): How the message begins if it fails; the command's last line follows.

    Raises:
        ValueError: If it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ['nothing']
        raise ValueError(f'{failure}: {said[-1].removeprefix("error: ")}')
