"""exp, log, tanh, erf, power, ... as vector code: additions, multiplications, fma and operations on bits.

Each function takes any double, including subnormal numbers, infinities and NaN. Its result is within 2 ulp of the
correctly rounded one; tests compare it with an arbitrary-precision library. The polynomials are minimax
(`tests/engine/minimax.py` computes them). Arguments are reduced to the range of a polynomial in the classical way
(Muller, Elementary Functions, 2016, chapter 11).

>>> from engine.kernels.codegen.vectors import REAL, IRText
>>> ir = IRText(lanes=2)
>>> y = exp(Vectors(ir, REAL, ["%x"]))
>>> print(ir.lines[0])
%v1 = fcmp ogt <2 x double> %x, splat (double 0x4086300000000000)
>>> len(ir.lines), y.names
(31, ('%v31',))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.kernels.codegen.vectors import Vectors, fma, polynomial, round_to_integer, where
from engine.kernels.vector_math.trigonometry import cos, sin

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fefa38p-1"), float.fromhex("0x1.ef35793c7673p-45")
"""ln 2 as the sum of two doubles. The first has 42 bits, so its product with an exponent is exact."""
_SMALLEST_NORMAL = 2.0**-1022
_HALF_ROOT_BITS = 0x3FE6A09E667F3BCD  # of the square root of 1/2
_MANTISSA = (1 << 52) - 1
_TWO_52_BITS = 0x4330000000000000

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
_EXPM1 = tuple(map(float.fromhex, (
    "0x1.0000000000005p-1", "0x1.555555555555cp-3", "0x1.555555555212fp-5", "0x1.111111110e6cfp-7",
    "0x1.6c16c17f2c488p-10", "0x1.a01a01b5da259p-13", "0x1.a019a69ff51abp-16", "0x1.71ddea00d0e04p-19",
    "0x1.28a296a135b9dp-22", "0x1.af76b34f75de0p-26",
)))  # fmt: skip
# the same with the precision of floats, to which the coefficients are rounded when they are used
_EXPM1_OF_FLOATS = tuple(map(float.fromhex, (
    "0x1.00000027a6fb8p-1", "0x1.5555558a65a3fp-3", "0x1.5554ae22f5b48p-5", "0x1.11108df781e76p-7",
    "0x1.6d7452da3af5ep-10", "0x1.a1a34f8bc9201p-13",
)))  # fmt: skip
# (ln((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, for (1 + s) / (1 - s) from the root of 1/2 to that of 2
_LOG = tuple(map(float.fromhex, (
    "0x1.5555555555593p-1", "0x1.999999997fca9p-2", "0x1.2492494201ef0p-2", "0x1.c71c51fa38048p-3",
    "0x1.74664250cfeafp-3", "0x1.39a15b61d11c6p-3", "0x1.2f096a9c9ec85p-3",
)))  # fmt: skip
# erf(x) / x in x^2 for |x| <= 1
_ERF = tuple(map(float.fromhex, (
    "0x1.20dd750429b6dp+0", "-0x1.812746b0379bdp-2", "0x1.ce2f21a040d21p-4", "-0x1.b82ce311fab6ap-6",
    "0x1.565bccf92ea93p-8", "-0x1.c02db03e3cce0p-11", "0x1.f9a2bab00eb27p-14", "-0x1.f4ca4dbca8823p-17",
    "0x1.b97fd5d5c5c94p-20", "-0x1.5c072df7906c9p-23", "0x1.d71b21ce0a842p-27", "-0x1.abae35383b22bp-31",
)))  # fmt: skip
# the same function minus 2/3, divided by s^2: for a logarithm in double-double
_LOG_TAIL = tuple(map(float.fromhex, (
    "0x1.9999999999999p-2", "0x1.2492492492891p-2", "0x1.c71c71c661561p-3", "0x1.745d17ca38fcap-3",
    "0x1.3b137d763c461p-3", "0x1.111cd5ba1916cp-3", "0x1.decb0ef2af2ffp-4", "0x1.e64f8f5a2b76bp-4",
)))  # fmt: skip
# exp(x^2) erfc(x) in (x - 3) / (x + 3) for 1 <= x <= 6
_ERFC = tuple(map(float.fromhex, (
    "0x1.6e9827d229817p-3", "-0x1.4e102b9d04e92p-2", "0x1.f6ff203f5ef57p-3", "-0x1.336ffbe9a997bp-3",
    "0x1.258b17282b042p-4", "-0x1.8fa4d6b21fa2fp-6", "0x1.17dca4b41414ap-8", "0x1.75e8a86c07019p-11",
    "-0x1.30a914940cbfdp-11", "0x1.40697a9e3846ep-14", "0x1.afce52aa066a4p-14", "0x1.fe1ffc5d915d0p-17",
)))  # fmt: skip


@dataclass(frozen=True)
class _Format:
    """A format of numbers, and the constants with which exp, expm1 and tanh compute in it.

    mantissa: bits after the point. bias: of the exponent.
    smallest, largest: exp is 0 below, and infinite above.
    one: from here on, expm1(-x) is -1 and tanh(x) is 1 to the last bit.
    tiny: below, expm1(x) is x to the last bit.
    ln2_high, ln2_low: ln 2 as the sum of two numbers. The first has few bits, so its product with n is exact.
    expm1: the polynomial for (e^r - 1 - r) / r^2.
    """

    mantissa: int
    bias: int
    smallest: float
    largest: float
    one: float
    tiny: float
    ln2_high: float
    ln2_low: float
    expm1: tuple[float, ...]


_FORMATS = {
    "float64": _Format(52, 1023, -746.0, 710.0, 50.0, 2.0**-54, _LN2_HIGH, _LN2_LOW, _EXPM1),
    "float32": _Format(
        23, 127, -104.0, 89.0, 20.0, 2.0**-25, float.fromhex("0x1.62e4p-1"), 1.4286068203094172e-06, _EXPM1_OF_FLOATS
    ),
}

IN_FLOATS = frozenset({"exp", "expm1", "tanh"})
"""The functions that compute in floats if their arguments are floats. The others compute in doubles."""


def exp(x: Vectors) -> Vectors:
    """Return e^x = 2^n e^r, with |r| <= ln(2) / 2."""
    f = _FORMATS[x.ir.dtype]
    x = _clamp(x, f.smallest, f.largest)
    bits, n = round_to_integer(x, _LOG2_E)
    r = fma(n, -f.ln2_low, fma(n, -f.ln2_high, x))
    return _scale(_expm1_near_zero(r) + 1.0, bits)


def expm1(x: Vectors) -> Vectors:
    """Return e^x - 1 = 2^n (e^r - 1) + (2^n - 1), as twice its half, because 2^n could overflow."""
    f = _FORMATS[x.ir.dtype]
    clamped = _clamp(x, -f.one, f.largest)
    bits, n = round_to_integer(clamped, _LOG2_E)
    r = fma(n, -f.ln2_low, fma(n, -f.ln2_high, clamped))
    half = _power_of_two(bits, -1)
    result = fma(half, _expm1_near_zero(r), half - 0.5) * 2.0
    return where(x.absolute() < f.tiny, x, result)  # x to the last bit, and the sign of zero


def tanh(x: Vectors) -> Vectors:
    """Return the hyperbolic tangent: |t| / (t + 2) with the sign of x, for t = e^w - 1 and w = 2 |x|.

    Near 0, w is -2 |x|, because the sum t + 2 is more accurate then. From 20 on, the result is 1 to the last bit. One
    number is enough for ln 2, because tanh is flat where n is large.
    """
    f = _FORMATS[x.ir.dtype]
    a = _upper_bound(x.absolute(), 20.0)
    double = a + a
    w = where(a < 0.1732, -double, double)
    bits, n = round_to_integer(w, _LOG2_E)
    r = fma(n, -_LN2, w)
    scale = _power_of_two(bits)
    scaled = scale * r
    t = fma(scaled * r, polynomial(r, f.expm1), scaled + (scale - 1.0))
    return (t / (t + 2.0)).call("copysign", x)


def log(x: Vectors) -> Vectors:
    """Return ln x = k ln 2 + ln m, with m between the square roots of 1/2 and 2."""
    small = x < _SMALLEST_NORMAL
    k, m = _exponent_and_mantissa(where(small, x * 2.0**54, x))
    k = where(small, k - 54.0, k)
    result = _log_near_one(m - 1.0, k, k.like(0.0))
    return _log_special_cases(x, result, x)


def log1p(x: Vectors) -> Vectors:
    """Return ln(1 + x): the logarithm of the rounded sum, corrected by the rounding error."""
    total = x + 1.0
    # the rounding error of the sum (Knuth's two-sum)
    part = total - x
    error = (x - (total - part)) + (part.like(1.0) - part)
    k, m = _exponent_and_mantissa(total)
    near = k.equals(0.0)
    f = where(near, x, m - 1.0)
    result = _log_near_one(f, k, where(near, k.like(0.0), error / total))
    result = where(x.equals(0.0), x, result)  # for the sign of zero
    return _log_special_cases(total, result, x)


def erf(x: Vectors) -> Vectors:
    """Return the error function: x P(x^2) up to 1, then 1 - exp(-x^2) Q((x - 3) / (x + 3)).

    From 6 on, the result is 1 to the last bit. The argument of Q is like Shepherd and Laframboise's (Chebyshev
    Approximation of (1 + 2x) exp(x^2) erfc x, 1981).
    """
    a = x.absolute()
    near = x * polynomial(x * x, _ERF)
    b = _upper_bound(where(a < 1.0, a.like(1.0), a), 6.0)
    square = b * b
    bits, n = round_to_integer(square, -_LOG2_E)
    tail = _expm1_near_zero(fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, -square))) + 1.0
    tail = tail * _power_of_two(bits) * polynomial((b - 3.0) / (b + 3.0), _ERFC)
    far = (-tail + 1.0).call("copysign", x)
    return where(a < 1.0, near, far)


def power(x: Vectors, y: Vectors) -> Vectors:
    """Return x^y = e^(y ln |x|), with the logarithm and the product in double-double.

    Special cases are those of C's pow (ISO/IEC 9899:2018, F.10.4.4).
    """
    high, low = _log_double_double(x.absolute())
    product = y * high
    rest = fma(y, high, -product) + y * low
    outside = ~(product.absolute() < 800.0)
    rest = where(outside, rest.like(0.0), rest)
    product = _clamp(product, -800.0, 800.0)
    bits, n = round_to_integer(product, _LOG2_E)
    r = fma(n, -_LN2_HIGH, product) + fma(n, -_LN2_LOW, rest)
    result = _scale(_expm1_near_zero(r) + 1.0, bits)

    integral = y.equals(y.call("floor"))
    half = y * 0.5
    odd = integral & ~half.equals(half.call("floor"))
    negative = x.bits().compare("slt", 0)
    result = where(negative & odd, -result, result)
    finite = x.absolute() < math.inf
    unreal = (x < 0.0) & ~integral & finite
    result = where(unreal | x.is_nan() | y.is_nan(), result.like(math.nan), result)
    minus_one = x.equals(-1.0) & y.absolute().equals(math.inf)
    one = y.equals(0.0) | x.equals(1.0) | minus_one
    return where(one, result.like(1.0), result)


FUNCTIONS: dict[str, Callable[..., Vectors]] = {
    function.__name__: function for function in (exp, expm1, log, log1p, tanh, sin, cos, erf, power)
}
"""Primitive -> the function that writes its code. Each of the other primitives is a few instructions."""


def _clamp(x: Vectors, low: float, high: float) -> Vectors:
    """Return x limited to `low` .. `high`. NaN stays NaN."""
    x = where(x > high, x.like(high), x)
    return where(x < low, x.like(low), x)


def _upper_bound(x: Vectors, high: float) -> Vectors:
    """Return x limited to `high`. NaN stays NaN."""
    return where(x > high, x.like(high), x)


def _power_of_two(bits: Vectors, more: int = 0) -> Vectors:
    """Return 2^(n + more) for an integer n. It must be a normal number."""
    f = _FORMATS[bits.ir.dtype]
    return ((bits << f.mantissa) + ((f.bias + more) << f.mantissa)).real()


def _scale(x: Vectors, bits: Vectors) -> Vectors:
    """Return x 2^n for any n. It multiplies twice, because 2^n could overflow. Only the second product is rounded."""
    half = bits >> 1
    return x * _power_of_two(half) * _power_of_two(bits - half)


def _expm1_near_zero(r: Vectors) -> Vectors:
    """Return e^r - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, polynomial(r, _FORMATS[r.ir.dtype].expm1), r)


def _exponent_and_mantissa(x: Vectors) -> tuple[Vectors, Vectors]:
    """Return k as a real and m, with x = m 2^k and m between the square roots of 1/2 and 2. x is normal and > 0."""
    shifted = x.bits() + ((1023 << 52) - _HALF_ROOT_BITS)
    k = ((shifted >> 52) | _TWO_52_BITS).real() - (2.0**52 + 1023.0)
    return k, ((shifted & _MANTISSA) + _HALF_ROOT_BITS).real()


def _log_near_one(f: Vectors, k: Vectors, correction: Vectors) -> Vectors:
    """Return ln(1 + f) + k ln 2 + correction, for 1 + f between the square roots of 1/2 and 2."""
    s = f / (f + 2.0)
    z = s * s
    r = z * polynomial(z, _LOG)
    half_square = f * f * 0.5
    rest = fma(s, half_square + r, fma(k, _LN2_LOW, correction))
    return fma(k, _LN2_HIGH, f - (half_square - rest))


def _log_special_cases(argument: Vectors, result: Vectors, x: Vectors) -> Vectors:
    """Return a logarithm with its special cases: -inf at 0, inf at infinity, NaN for negative numbers and NaN."""
    result = where(argument.equals(0.0), result.like(-math.inf), result)
    result = where(argument.equals(math.inf), argument, result)
    return where(~(argument >= 0.0), x.like(math.nan), result)


def _log_double_double(x: Vectors) -> tuple[Vectors, Vectors]:
    """Return ln x as the sum of two doubles, for x >= 0. The relative error is about 2^-65.

    The operations on pairs of doubles are Dekker's (A Floating-Point Technique for Extending the Available Precision,
    1971).
    """
    small = x < _SMALLEST_NORMAL
    k, m = _exponent_and_mantissa(where(small, x * 2.0**54, x))
    k = where(small, k - 54.0, k)
    f = m - 1.0
    # s = f / (2 + f), z = s^2 and s^3, each with its rounding error
    d = m + 1.0
    s = f / d
    s_low = (fma(-s, d, f) - s * (m - (d - 1.0))) / d
    z = s * s
    z_low = fma(s, s, -z) + s * s_low * 2.0
    cube = s * z
    cube_low = fma(s, z, -cube) + s * z_low + s_low * z
    # the series 2/3 + 2/5 z + ..., with its first term as the sum of two doubles
    third = 2.0 / 3.0
    more = fma(z, polynomial(z, _LOG_TAIL), 2.0**-54 / 1.5)
    series = more + third
    series_low = (series.like(third) - series) + more
    t = cube * series
    t_low = fma(cube, series, -t) + cube * series_low + cube_low * series
    double = s + s
    near = double + t
    near_low = ((double - near) + t) + (s_low + s_low + t_low)
    shift = k * _LN2_HIGH
    high = shift + near
    low = ((shift - high) + near) + fma(k, _LN2_LOW, near_low)
    special = x.equals(0.0) | x.equals(math.inf) | x.is_nan()
    value = where(x.equals(0.0), x.like(-math.inf), x)
    return where(special, value, high), where(special, low.like(0.0), low)
