"""The texts are those the models were trained with."""

import pytest

from visualcloze_nb.data.prompts import column_prompt, full_prompt, layout_prompt, task_prompt


def stock_prompt(layout, task, content):
    """What diffusers hands to its text encoders for these three texts."""
    from diffusers import VisualClozeGenerationPipeline

    class Stop(Exception):
        pass

    class Spy:
        _execution_device = "cpu"

        def _get_clip_prompt_embeds(self, prompt, **_):
            raise Stop(prompt[0])

    with pytest.raises(Stop) as caught:
        VisualClozeGenerationPipeline.encode_prompt(Spy(), layout, task, content)
    return caught.value.args[0]


def test_layout_prompt_is_diffusers_sentence():
    from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor

    for size in [(1, 1), (2, 2), (3, 4)]:
        (stock,) = VisualClozeProcessor.get_layout_prompt(None, size)
        assert layout_prompt(*size) == stock
    assert layout_prompt(3, 2).startswith("A grid layout with 3 rows and 2 columns, displaying 6 images")


@pytest.mark.parametrize("task", ["", "do it", " padded "])
@pytest.mark.parametrize("content", [None, "", "a cat", " a cat "])
def test_full_prompt_is_what_diffusers_encoders_read(task, content):
    assert full_prompt(2, 3, task, content) == stock_prompt(layout_prompt(2, 3), task, content)


def test_no_content_and_empty_content_differ():
    assert full_prompt(1, 2, "t", None).endswith("side by side. t")
    assert full_prompt(1, 2, "t", "").endswith("t The last image of the last row depicts:")
    assert full_prompt(1, 2, None, None) == layout_prompt(1, 2)


def test_task_prompt_has_the_authors_form():
    lead = "In each row, a logical task is demonstrated to achieve "
    assert task_prompt(["an edge map"], ["a photo"]) == lead + "[IMAGE2] a photo based on [IMAGE1] an edge map."
    assert (
        task_prompt(["a mask", "a style"], ["a photo", "a depth map"])
        == lead + "[IMAGE3] a photo, [IMAGE4] a depth map based on [IMAGE1] a mask, [IMAGE2] a style."
    )
    assert task_prompt([], ["a photo"]) == lead + "[IMAGE1] a photo."


def test_column_prompt_runs_a_task_backwards():
    assert column_prompt(["an edge map", "a photo"], [0]).endswith(
        "achieve [IMAGE1] an edge map based on [IMAGE2] a photo."
    )
    assert column_prompt(["a", "b", "c"], [0, 2]).endswith("achieve [IMAGE1] a, [IMAGE3] c based on [IMAGE2] b.")


def test_what_is_not_a_task_is_refused():
    with pytest.raises(ValueError, match="at least one output"):
        task_prompt(["an edge map"], [])
    with pytest.raises(ValueError, match="outputs is a single string"):
        task_prompt(["an edge map"], "a photo")
    with pytest.raises(ValueError, match="target column 2 does not exist: columns are 0 to 1"):
        column_prompt(["a", "b"], [2])
