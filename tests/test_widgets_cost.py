"""What a change of a 5 x 5 grid of photographs costs; `python -m tools.bench_builder 2162dcf` compares with earlier."""

import pytest

from tools.bench_builder import ROOT, measured
from visualcloze_nb.widgets import file_upload


@pytest.mark.skipif(file_upload.SEVEN, reason="it counts the messages of ipywidgets 8")
def test_a_change_sends_a_tenth_of_what_it_sent_and_selecting_next_to_nothing():
    """At 2162dcf a change sent 1,116 kB, and to select took as much work as half a change."""
    (change_cpu, change_bytes), (select_cpu, select_bytes) = (measured(ROOT)[name] for name in ("change", "select"))
    assert change_bytes < 111_600 and select_bytes < 5_000
    assert select_cpu < change_cpu / 5
