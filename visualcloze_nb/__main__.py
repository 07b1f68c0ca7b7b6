"""`python -m visualcloze_nb demo | bench | doctor`."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "demo": "fill a grid with the bundled model and write demo.png",
    "bench": "measure seconds and memory, beside stock diffusers",
    "doctor": "say what this machine can run, and what is missing",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command with the rest of the arguments; returns the exit status."""
    command, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command not in COMMANDS:
        print("usage: python -m visualcloze_nb COMMAND [--help]\n")
        print("\n".join(f"  {name:8}{text}" for name, text in COMMANDS.items()))
        return 0 if command in ("-h", "--help") else 2
    return importlib.import_module(f"visualcloze_nb.cli.{command}").main(rest) or 0


if __name__ == "__main__":
    sys.exit(main())
