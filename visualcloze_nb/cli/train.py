"""`visualcloze-nb train`: how the bundled checkpoint is made, part by part."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.arguments import folder, fraction, whole
from visualcloze_nb.errors import UsageError

RUNS = Path("runs")
TINY = Path("visualcloze_nb/tiny")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parts; each names the function that carries it out."""
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)

    def part(name: str, function, line: str) -> argparse.ArgumentParser:
        made = parts.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        made.set_defaults(function=function)
        return made

    vae = part("vae", train_vae, "train the tiny VAE on rows of the toy world")
    vae.add_argument("--start", type=folder, help="a VAE's folder to begin from; else random weights")
    transformer = part("transformer", train_transformer, "train the tiny transformer and its text encoders")
    transformer.add_argument("--vae", type=folder, default=str(RUNS / "vae/vae"), help="folder of the trained VAE")
    transformer.add_argument("--start", type=folder, help="a pipeline folder to begin from; else random weights")
    for command, name, steps in ((vae, "vae", 4500), (transformer, "transformer", 12_000)):
        command.add_argument("--out", type=Path, default=RUNS / name)
        command.add_argument("--steps", type=whole(1), default=steps, help="in all; the same command resumes")
        command.add_argument("--seed", type=whole(0), default=0)
    export = part("export", write_checkpoint, "put a trained pipeline where load('tiny') finds it")
    export.add_argument("--run", type=folder, default=str(RUNS / "transformer"))
    export.add_argument("--vae-run", type=folder, default=str(RUNS / "vae"))
    export.add_argument("--to", type=Path, default=TINY)
    export.add_argument("--mean-with", type=folder, help="a checkpoint, to write the mean of its weights and the run's")
    export.add_argument("--share", type=fraction, default=0.5, help="of the run's own weights in that mean, 0 to 1")
    trial = part("ablations", ablate, "measure what an infilling prior and a dense task graph are worth; writes CSV")
    trial.add_argument("--vae", type=folder, default=str(TINY / "vae"))
    trial.add_argument("--work", type=Path, default=RUNS / "ablations", help="what is finished is kept here")
    trial.add_argument("--out", type=Path, default=TINY / "experiments")
    trial.add_argument("--steps", type=whole(1), default=400, help="of each arm")
    trial.add_argument("--prior-steps", type=whole(1), default=800, help="of filling holes in single images")
    trial.add_argument("--seeds", type=whole(1), default=2)


def run(options: argparse.Namespace) -> int:
    """Carry out one part; the modules it needs are imported only now."""
    options.function(options)
    return 0


def train_vae(options: argparse.Namespace) -> None:
    """Train the VAE."""
    from visualcloze_nb.training.train_vae import train

    train(options.out, options.steps, options.seed, start=options.start)


def train_transformer(options: argparse.Namespace) -> None:
    """Train transformer and text encoders."""
    from visualcloze_nb.training.train_transformer import train

    train(options.vae, options.out, options.steps, seed=options.seed, start=options.start)


def write_checkpoint(options: argparse.Namespace) -> None:
    """Export a run."""
    from visualcloze_nb.training.export import export

    for run in (options.run / "pipeline", options.vae_run):
        if not run.is_dir():
            raise UsageError(f"there is no folder {str(run)!r}: train first")
    size = export(options.run, options.vae_run, options.to, options.mean_with, options.share)
    print(f"{size / 1e6:.1f} MB in {options.to}")


def ablate(options: argparse.Namespace) -> None:
    """Run both ablations."""
    from visualcloze_nb.training.ablations import run as ablations

    ablations(options.vae, options.work, options.out, options.steps, options.prior_steps, options.seeds)
