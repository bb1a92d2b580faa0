"""Each chain of operations as one kernel against the same chain, operation by operation, on the device."""

import pytest

from xpnet.backend import Backend


def test_every_fused_body_gives_the_plain_bodys_numbers(device, fused_bodies):
    plain = Backend(device.name, device.xp)
    apart = {
        name: fused_bodies.difference(*case, plain=plain, fused=device, place=device.xp.asarray, fetch=device.to_host)
        for name, *case in fused_bodies.cases()
    }
    assert len(apart) > 40
    # float32's spacing is 1.2e-7; a fused chain may contract a product and a sum into one rounding
    assert {name: value for name, value in apart.items() if not value <= 2e-6} == {}


def test_a_body_that_is_wrong_is_seen(device, fused_bodies):
    class Wrong:
        def compile(self, body, updates, guarded):
            return lambda *arguments: device.compile(body, updates, guarded)(*arguments) * 1.001

    _, body, arguments, guard = next(case for case in fused_bodies.cases() if "._sigmoid," in case[0])
    plain = Backend(device.name, device.xp)
    places = {"place": device.xp.asarray, "fetch": device.to_host}
    assert fused_bodies.difference(body, arguments, guard, plain=plain, fused=Wrong(), **places) == pytest.approx(
        1e-3, rel=0.01
    )
