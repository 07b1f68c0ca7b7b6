"""`python -m visualcloze_nb.training vae | transformer | evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m visualcloze_nb.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    vae = commands.add_parser("vae", help="train the tiny VAE on rows of the toy world")
    vae.add_argument("--out", type=Path, default=Path("runs/vae"))
    vae.add_argument("--steps", type=int, default=6000)
    vae.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "vae":
        from .vae import train

        train(arguments.out, arguments.steps, arguments.seed)


if __name__ == "__main__":
    main()
