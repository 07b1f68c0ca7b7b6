"""`visualcloze-nb train`: make a tiny model like the bundled one, in one go or part by part."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.arguments import folder, fraction, positive, whole
from visualcloze_nb.errors import UsageError, shorten
from visualcloze_nb.settings import TINY

RUN = Path("runs/tiny")
TRAINED = {
    "tiny": "train the tiny model from nothing, and export it, within a time budget",
    "vae": "train its VAE alone, on rows of the toy world",
    "transformer": "train its transformer and text encoders alone",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parts; each names the function that carries it out."""
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)

    def part(name: str, function, line: str) -> argparse.ArgumentParser:
        made = parts.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        made.set_defaults(function=function)
        return made

    for name, line in TRAINED.items():
        command = part(name, train, line)
        command.add_argument("--minutes", type=positive, required=True, help="in all; the same command resumes")
        command.add_argument("--out", type=Path, default=RUN, help=f"folder of the run; else {RUN}")
        command.add_argument("--seed", type=whole(0), default=0)
        command.add_argument("--start", type=folder, help="a checkpoint to train on; of a VAE the decoder alone")
        if name != "vae":
            command.add_argument("--width", type=whole(64), help="of the transformer, a multiple of 64")
            command.add_argument("--vae", type=folder, help="folder of a trained VAE, in place of the run's own")
            command.add_argument("--grow", action="store_true", help="add three blocks to the transformer of --start")
    export = part("export", write_checkpoint, "put a trained pipeline where load('tiny') finds it")
    export.add_argument("--run", type=folder, default=str(RUN / "transformer"))
    export.add_argument("--vae-run", type=folder, default=str(RUN / "vae"))
    export.add_argument(
        "--to", type=Path, default=TINY, help="a checkpoint to replace, or a new folder; else the bundled one"
    )
    export.add_argument("--mean-with", type=folder, help="a checkpoint, to write the mean of its weights and the run's")
    export.add_argument("--share", type=fraction, default=0.5, help="of the run's own weights in that mean, 0 to 1")
    trial = part("ablations", ablate, "measure what an infilling prior and a dense task graph are worth; writes CSV")
    trial.add_argument("--vae", type=folder, default=str(TINY / "vae"))
    trial.add_argument("--work", type=Path, default=Path("runs/ablations"), help="what is finished is kept here")
    trial.add_argument("--out", type=Path, default=Path("runs/ablations/curves"))
    trial.add_argument("--steps", type=whole(1), default=400, help="of each arm")
    trial.add_argument("--prior-steps", type=whole(1), default=800, help="of filling holes in single images")
    trial.add_argument("--seeds", type=whole(1), default=2)


def run(options: argparse.Namespace) -> int:
    """Carry out one part; the modules it needs are imported only now."""
    options.function(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """Train all parts and export them, or train one part."""
    only = None if options.part == "tiny" else options.part
    width, vae, start = (getattr(options, name, None) for name in ("width", "vae", "start"))
    if start and (width or vae):
        raise UsageError("--start brings its own VAE and width: leave out --vae and --width")
    grow = getattr(options, "grow", False)
    if grow and not start:
        raise UsageError("--grow adds blocks to a trained transformer: name its checkpoint with --start")
    if width and width % 64:
        raise UsageError(f"--width is {width}: give a multiple of 64")
    if only == "transformer" and not vae and not start and not (options.out / "vae" / "vae").is_dir():
        raise UsageError(f"there is no trained VAE in {options.out / 'vae'}: `train vae` makes one, or give --vae")
    from visualcloze_nb.evaluation.scores import scores_at_a_glance
    from visualcloze_nb.training.train_tiny import train_tiny

    train_tiny(options.minutes, options.out, only, options.seed, width, vae, scores_at_a_glance, start, grow)


def write_checkpoint(options: argparse.Namespace) -> None:
    """Export a run."""
    from visualcloze_nb.training.export import export

    for run in (options.run / "pipeline", options.vae_run):
        if not run.is_dir():
            raise UsageError(f"there is no folder {shorten(run)!r}: train first")
    size = export(options.run, options.vae_run, options.to, options.mean_with, options.share)
    print(f"{size / 1e6:.1f} MB in {options.to}")


def ablate(options: argparse.Namespace) -> None:
    """Run both ablations."""
    from visualcloze_nb.training.ablations import run as ablations

    ablations(options.vae, options.work, options.out, options.steps, options.prior_steps, options.seeds)
