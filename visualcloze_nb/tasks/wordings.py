"""Task prompts in several wordings, for targets in any columns.

The released models were trained with ten wordings of the task sentence and about ten for each kind of image, drawn at
random. Ours differ from those, and the columns are named as theirs: `[IMAGE1]`, `[IMAGE2]`, ….
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from visualcloze_nb.data import checks
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.tasks.kinds import KINDS

SENTENCES = (
    "Every row turns {inputs} into {outputs}.",
    "From {inputs}, each row makes {outputs}.",
    "All rows do one task: given {inputs}, they make {outputs}.",
    "In every row, {outputs} can be worked out from {inputs}.",
    "Each row is an example of how {inputs} can be used to make {outputs}.",
    "All rows share one rule that leads from {inputs} to {outputs}.",
    "Row by row, the task is to make {outputs} out of {inputs}.",
)


def task_sentence(columns: Sequence[str], targets: Sequence[int], seed: int | None = None) -> str:
    """Write what a row does.

    Args:
        columns: the kind of image in each column.
        targets: 0-based columns to be filled, at least one.
        seed: draws the wordings, at least 0; None for the first wording of each kind in the sentence of diffusers'
            documentation.

    Returns:
        One sentence that names every column once.
    """
    if seed is None:
        return column_prompt([KINDS[kind].wordings[0] for kind in columns], targets)
    random = Random(checks.seed(seed))
    words = [random.choice(KINDS[kind].wordings) for kind in columns]
    sentence = random.choice((None, *SENTENCES))
    inputs = [col for col in range(len(columns)) if col not in targets]
    if sentence is None or not inputs:
        return column_prompt(words, targets)

    def listed(chosen: Sequence[int]) -> str:
        names = [f"[IMAGE{col + 1}] {words[col]}" for col in chosen]
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))

    return sentence.format(inputs=listed(inputs), outputs=listed(sorted(targets)))
