"""Random numbers that are the same on every machine."""

import numpy as np
import scipy.stats

from engine.rng import portable_log, standard_normal


def test_draws_are_normal_and_independent_of_their_shape() -> None:
    drawn = standard_normal(np.random.default_rng(0), (100_000,))
    assert scipy.stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01
    assert standard_normal(np.random.default_rng(5), (3, 4)).shape == (3, 4)
    assert standard_normal(np.random.default_rng(5), (0,)).shape == (0,)


def test_the_seed_decides_to_the_last_bit() -> None:
    """These numbers are the same on every machine."""
    drawn = standard_normal(np.random.Generator(np.random.PCG64(1)), (3,))
    assert [x.hex() for x in drawn.tolist()] == _FIRST_OF_SEED_1


def test_the_portable_logarithm_is_that_of_numpy() -> None:
    x = np.concatenate([np.random.default_rng(1).random(10_000), [5e-324, 1e-300, 0.5, 0.7071067811865475, 1.0]])
    np.testing.assert_allclose(portable_log(x), np.log(x), rtol=2e-15, atol=0)


_FIRST_OF_SEED_1 = ["0x1.15354aa2751b2p-6", "0x1.4a184478ce32dp-1", "-0x1.c1eee203b7961p+0"]
