"""`python -m visualcloze_nb.training vae | transformer | export | evaluate | experiments`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m visualcloze_nb.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    vae = commands.add_parser("vae", help="train the tiny VAE on rows of the toy world")
    vae.add_argument("--start", type=Path, help="a VAE's folder to begin from; else random weights")
    transformer = commands.add_parser("transformer", help="train the tiny transformer and its text encoders")
    transformer.add_argument("--vae", type=Path, default=Path("runs/vae/vae"), help="folder of the trained VAE")
    transformer.add_argument("--start", type=Path, help="a pipeline folder to begin from; else random weights")
    export = commands.add_parser("export", help="put a trained pipeline where load('tiny') finds it")
    export.add_argument("--run", type=Path, default=Path("runs/transformer"))
    export.add_argument("--vae-run", type=Path, default=Path("runs/vae"))
    export.add_argument("--to", type=Path, default=Path("visualcloze_nb/tiny"))
    export.add_argument("--mean-with", type=Path, help="a checkpoint, to write the mean of its weights and the run's")
    export.add_argument("--share", type=float, default=0.5, help="of the run's own weights in that mean, 0 to 1")
    trial = commands.add_parser("experiments", help="what an infilling prior and a dense graph are worth; writes CSV")
    trial.add_argument("--vae", type=Path, default=Path("visualcloze_nb/tiny/vae"))
    trial.add_argument("--work", type=Path, default=Path("runs/experiments"), help="what is finished is kept here")
    trial.add_argument("--out", type=Path, default=Path("visualcloze_nb/tiny/experiments"))
    trial.add_argument("--steps", type=int, default=400, help="of each arm")
    trial.add_argument("--prior-steps", type=int, default=800, help="of filling holes in single images")
    trial.add_argument("--seeds", type=int, default=2)
    judge = commands.add_parser("evaluate", help="score a checkpoint on scenes it has never seen")
    judge.add_argument("--model", default="tiny", help="what load() takes: a name or a folder; else the bundled one")
    judge.add_argument("--only", nargs="*", default=[], metavar="CLAIM", help="claims to measure; else all")
    judge.add_argument("--scenes", type=int, default=24, help="held-out queries a task")
    judge.add_argument("--steps", type=int, default=8, help="Euler steps of stage 1")
    judge.add_argument("--seed", type=int, default=0)
    judge.add_argument("--quick", action="store_true", help="4 scenes, 4 steps: to see that it works")
    judge.add_argument("--out", type=Path, help="the record, JSON; else evaluation.json beside the checkpoint")
    judge.add_argument("--sheets", type=Path, help="a folder for contact sheets, a PNG a claim")
    for command, steps in ((vae, 4500), (transformer, 12_000)):
        command.add_argument("--out", type=Path, default=Path("runs") / command.prog.split()[-1])
        command.add_argument("--steps", type=int, default=steps, help="in all; the same command resumes")
        command.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.command == "vae":
        from visualcloze_nb.training.train_vae import train

        train(arguments.out, arguments.steps, arguments.seed, start=arguments.start)
    if arguments.command == "transformer":
        from visualcloze_nb.training.train_transformer import train

        train(arguments.vae, arguments.out, arguments.steps, seed=arguments.seed, start=arguments.start)
    if arguments.command == "export":
        from visualcloze_nb.training.export import export as write

        size = write(arguments.run, arguments.vae_run, arguments.to, arguments.mean_with, arguments.share)
        print(f"{size / 1e6:.1f} MB in {arguments.to}")
    if arguments.command == "experiments":
        from visualcloze_nb.training.ablations import run as experiment

        settings = arguments.steps, arguments.prior_steps, arguments.seeds
        experiment(arguments.vae, arguments.work, arguments.out, *settings)
    if arguments.command == "evaluate":
        from visualcloze_nb.evaluation.report import CLAIMS, run

        if unknown := [name for name in arguments.only if name not in CLAIMS]:
            parser.error(f"there is no claim {unknown[0]!r}; there are {', '.join(CLAIMS)}")
        given = {name: getattr(arguments, name) for name in ("quick", "scenes", "steps", "seed")}
        return run(arguments.model, arguments.only, arguments.out, arguments.sheets, **given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
