"""A benchmark's case in a process of its own, so that one does not pay for what another imported or left behind."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from visualcloze_nb.errors import ModelError, shorten


def in_own_process(arguments: list[str], options: argparse.Namespace) -> dict:
    """Run `bench` again with more arguments and return the JSON of its last line.

    Raises:
        RuntimeError: with the end of its error output, if it fails.
    """
    command = [sys.executable, "-W", "ignore", "-m", "visualcloze_nb", "bench", "--model", options.model]
    command += ["--steps", str(options.steps), "--strength", str(options.strength)]
    command += ["--repeat", str(options.repeat), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ModelError(f"{shorten(' '.join(arguments))} failed ({shorten(last, 150)}): run it alone to see more")
    return json.loads(done.stdout.splitlines()[-1])
