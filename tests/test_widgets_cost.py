"""What a change of a 5 x 5 grid of photographs costs; `python -m tools.bench_builder 2162dcf` compares with earlier."""

from tools.bench_builder import ROOT, measured


def test_a_change_sends_a_tenth_of_what_it_sent_and_selecting_is_quick():
    """At 2162dcf: 1,116 kB and 1.0 s a change, 0.4 s to select, the static image with it."""
    actions = measured(ROOT)
    assert actions["change"][1] < 111_600 and actions["select"][1] < 5_000
    assert actions["change"][0] < 0.5 and actions["select"][0] < 0.02
