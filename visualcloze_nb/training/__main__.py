"""`python -m visualcloze_nb.training vae | transformer | export | evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m visualcloze_nb.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    vae = commands.add_parser("vae", help="train the tiny VAE on rows of the toy world")
    transformer = commands.add_parser("transformer", help="train the tiny transformer and its text encoders")
    transformer.add_argument("--vae", type=Path, default=Path("runs/vae/vae"), help="folder of the trained VAE")
    export = commands.add_parser("export", help="put a trained pipeline where load('tiny') finds it")
    export.add_argument("--run", type=Path, default=Path("runs/transformer"))
    export.add_argument("--vae-run", type=Path, default=Path("runs/vae"))
    export.add_argument("--to", type=Path, default=Path("visualcloze_nb/tiny"))
    for command, steps in ((vae, 4500), (transformer, 12_000)):
        command.add_argument("--out", type=Path, default=Path("runs") / command.prog.split()[-1])
        command.add_argument("--steps", type=int, default=steps, help="in all; the same command resumes")
        command.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "vae":
        from .vae import train

        train(arguments.out, arguments.steps, arguments.seed)
    if arguments.command == "transformer":
        from .transformer import train

        train(arguments.vae, arguments.out, arguments.steps, seed=arguments.seed)
    if arguments.command == "export":
        from .export import export as write

        print(f"{write(arguments.run, arguments.vae_run, arguments.to) / 1e6:.1f} MB in {arguments.to}")


if __name__ == "__main__":
    main()
