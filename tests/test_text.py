"""`text.py` reads prompts as the pipeline's own encoding does."""

import pytest
import torch

from visualcloze_nb.sampling.text import encode_text, tokenize

PROMPTS = ["a red circle", "In each row a logical task [IMAGE1] a depth map", ""]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("length", [16, 64])
def test_one_text_is_encoded_as_in_diffusers(stock_pipe, prompt, length):
    text = encode_text(stock_pipe, prompt, length)
    pipe = stock_pipe.upsampling_pipe
    with torch.no_grad():  # with gradients the last bits differ
        states, pooled, ids = pipe.encode_prompt(prompt, prompt_2=None, max_sequence_length=length)
    assert torch.equal(text.states, states) and text.states.shape[1] == length
    assert torch.equal(text.pooled, pooled)
    assert torch.equal(text.ids, ids) and text.ids.abs().sum() == 0


def test_two_texts_differ_in_both_encoders(stock_pipe):
    one, other = (encode_text(stock_pipe, prompt, 16) for prompt in ("a red circle", "a blue circle"))
    assert (one.states - other.states).abs().max() > 1e-3
    assert (one.pooled - other.pooled).abs().max() > 1e-3


def test_texts_are_padded_and_cut_to_length(stock_pipe):
    clip, t5 = tokenize(stock_pipe, ["red " * 200, "red"], 16)
    assert clip.shape == (2, 77) and t5.shape == (2, 16)
    assert (t5[1, 2:] == 0).all() and (t5[0] != 0).all()
    assert t5[0, -1] == t5[1, 1] == stock_pipe.tokenizer_2.eos_token_id
