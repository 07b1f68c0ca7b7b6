"""Diffusers' own tests of these pipelines, with our classes in place of its own."""

import os

import pytest

from tools import upstream_tests

CHECKOUT = os.environ.get("DIFFUSERS_CHECKOUT")
FAKE = """
import pytest, diffusers
from diffusers import {name}

def test_which(): assert {name}.__module__.startswith("{package}")
def test_both(): assert {name}.__name__ == "{name}"
def test_neither(): assert False
@pytest.mark.skip
def test_skipped(): pass
"""


def fake_checkout(folder, package):
    for file, name in zip(
        upstream_tests.FILES,
        ("VisualClozePipeline", "VisualClozeGenerationPipeline", "FluxFillPipeline"),
        strict=True,
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(FAKE.format(name=name, package=package))
    return folder


def test_the_classes_are_replaced_and_differences_counted(tmp_path, capsys):
    assert upstream_tests.main([str(fake_checkout(tmp_path / "a", "diffusers"))]) == 1
    said = capsys.readouterr().out
    assert said.startswith("6 of 12 tests pass on the stock classes, 3 of them on ours\n")
    assert said.count("test_which: failed") == 3 and said.count("\n") == 4


def test_no_checkout_is_said(tmp_path):
    with pytest.raises(SystemExit, match="has none of diffusers' pipeline tests"):
        upstream_tests.main([str(tmp_path)])


@pytest.mark.skipif(not CHECKOUT, reason="DIFFUSERS_CHECKOUT names no checkout of diffusers (its wheel has no tests)")
def test_all_that_passes_on_stock_passes_on_ours():
    assert upstream_tests.main([CHECKOUT]) == 0
