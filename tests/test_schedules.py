"""Learning-rate schedules against their formulas and against PyTorch's schedulers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet import schedules

STEPS = 60
POSITIVE = st.floats(1e-6, 1e3)
PARTS = st.floats(0.01, 0.99)
COUNTS = st.integers(1, 500)


@pytest.fixture
def pytorch():
    """`pytorch(name, **options)`: the rates of PyTorch's scheduler of that name, with 0.2 to start from."""
    torch = pytest.importorskip("torch")

    def rates(name, *, steps=STEPS, **options):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.2)
        scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    return rates


@pytest.mark.parametrize(
    ("schedule", "name", "options"),
    [
        (schedules.constant(0.2), "ConstantLR", {"factor": 1.0}),
        (schedules.step(0.2, every=7, factor=0.3), "StepLR", {"step_size": 7, "gamma": 0.3}),
        (schedules.exponential(0.2, factor=0.93), "ExponentialLR", {"gamma": 0.93}),
        (schedules.cosine(0.2, steps=STEPS, final=0.01), "CosineAnnealingLR", {"T_max": STEPS, "eta_min": 0.01}),
        (schedules.one_cycle(0.2, steps=STEPS), "OneCycleLR", {"max_lr": 0.2, "total_steps": STEPS}),
        (
            schedules.one_cycle(0.2, steps=STEPS, rise=0.33, start_factor=0.1, final_factor=0.01),
            "OneCycleLR",
            {"max_lr": 0.2, "total_steps": STEPS, "pct_start": 0.33, "div_factor": 10.0, "final_div_factor": 100.0},
        ),
        (schedules.warm_up(0.2, steps=10), "LinearLR", {"start_factor": 0.1, "total_iters": 9}),
    ],
)
def test_rates_are_those_of_pytorch(schedule, name, options, pytorch):
    steps = STEPS - 1 if name == "OneCycleLR" else STEPS  # PyTorch refuses to go past the last step
    assert [schedule(step) for step in range(steps)] == pytest.approx(pytorch(name, steps=steps, **options), rel=1e-9)


def test_formulas():
    assert schedules.step(0.5, every=4, factor=0.1)(11) == 0.5 * 0.1**2
    assert schedules.exponential(0.5, factor=0.9)(11) == 0.5 * 0.9**11
    assert schedules.cosine(0.5, steps=12, final=0.1)(3) == 0.1 + 0.5 * 0.4 * (1 + math.cos(math.pi / 4))
    assert schedules.warm_up(0.5, steps=12)(2) == 0.5 * 3 / 12


def test_end_points():
    cosine = schedules.cosine(0.5, steps=12, final=0.1)
    assert [cosine(step) for step in (0, 12, 13, 10**6)] == [0.5, 0.1, 0.1, 0.1]
    one_cycle = schedules.one_cycle(0.5, steps=21, rise=1 / 3, start_factor=0.1, final_factor=0.01)
    ends = [one_cycle(step) for step in (0, 6, 20, 21, 10**6)]
    assert ends == pytest.approx([0.05, 0.5, 0.0005, 0.0005, 0.0005], rel=1e-12)
    warm_up = schedules.warm_up(0.5, steps=4)
    assert [warm_up(step) for step in (0, 3, 4, 10**6)] == [0.125, 0.5, 0.5, 0.5]


def test_warm_up_goes_before_any_schedule_whose_steps_count_from_the_start():
    after = schedules.exponential(1.0, factor=0.5)
    warm_up = schedules.warm_up(after, steps=3)
    assert [warm_up(step) for step in range(5)] == pytest.approx([1 / 3, 1 / 3, 1 / 4, 1 / 8, 1 / 16])


@given(rate=POSITIVE, factor=PARTS, steps=COUNTS, final=POSITIVE, step=st.integers(0, 2000))
def test_no_rate_is_ever_negative_or_above_its_bounds(rate, factor, steps, final, step):
    for schedule, highest in (
        (schedules.constant(rate), rate),
        (schedules.step(rate, every=steps, factor=factor), rate),
        (schedules.exponential(rate, factor=factor), rate),
        (schedules.cosine(rate, steps=steps, final=final), max(rate, final)),
        (schedules.warm_up(rate, steps=steps), rate),
    ):
        assert 0.0 <= schedule(step) <= highest * (1 + 1e-12)


@given(rate=POSITIVE, rise=PARTS, steps=COUNTS)
def test_one_cycle_rises_to_its_rate_and_falls(rate, rise, steps):
    schedule = schedules.one_cycle(rate, steps=steps + 1, rise=rise)
    rates = [schedule(step) for step in range(steps + 1)]
    top = rates.index(max(rates))
    assert schedule(max(rise * (steps + 1) - 1.0, 0.0)) == rate
    assert 0.0 < max(rates) <= rate * (1 + 1e-12)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(rate / 25 * 1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(0.0), "constant: rate must be above 0, got 0.0"),
        (lambda: schedules.step(math.nan, every=5), "step: rate must be above 0, got nan"),
        (lambda: schedules.step(0.1, every=0), "step: every must be above 0, got 0"),
        (lambda: schedules.step(0.1, every=5, factor=-0.1), "step: factor must be above 0, got -0.1"),
        (lambda: schedules.exponential(0.1, factor=math.inf), "exponential: factor must be above 0, got inf"),
        (lambda: schedules.cosine(0.1, steps=-1), "cosine: steps must be above 0, got -1"),
        (lambda: schedules.cosine(0.1, steps=5, final=-0.1), "cosine: final must not be negative, got -0.1"),
        (lambda: schedules.one_cycle(-1.0, steps=5), "one_cycle: rate must be above 0, got -1.0"),
        (lambda: schedules.one_cycle(0.1, steps=1), "one_cycle: steps must be at least 2, got 1"),
        (lambda: schedules.one_cycle(0.1, steps=5, rise=1.0), "one_cycle: rise must be between 0 and 1, got 1.0"),
        (lambda: schedules.one_cycle(0.1, steps=5, start_factor=0), "one_cycle: start_factor must be above 0, got 0"),
        (lambda: schedules.warm_up(0.1, steps=0), "warm_up: steps must be above 0, got 0"),
        (lambda: schedules.warm_up(-0.1, steps=5), "constant: rate must be above 0, got -0.1"),
    ],
)
def test_values_out_of_their_range(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
