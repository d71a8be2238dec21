"""Run the state machine, for one seed or for some time."""

import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from stress.days.machine import DatasetMachine

STEPS = 30


def run_seed(number: int, *, examples: int, shrink: bool = True) -> None:
    """Run some examples; raise AssertionError with the shortest sequence that breaks a rule."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    run_state_machine_as_test(
        seed(number)(DatasetMachine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=phases,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def run_for(seconds: float, number: int) -> int:
    """Run one seed after another until the time is over; return how many sequences were run."""
    end, sequences = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        run_seed(number + sequences, examples=10)
        sequences += 10
    return sequences
