"""Sine and cosine as vector code, for every double.

First, the angle is reduced: a multiple of pi/2 is subtracted, so that at most pi/4 is left, where polynomials give sine
and cosine. Angles below 2^20 are reduced by Cody and Waite's method: pi/2 is the sum of four doubles, and the products
with the first two are exact (Cody and Waite, Software Manual for the Elementary Functions, 1980). Larger angles are
reduced by Payne and Hanek's method: it uses only the bits of 2/pi that decide the position in the turn, and their
product with the angle is exact (Payne and Hanek, Radian Reduction for Trigonometric Functions, 1983).

>>> from engine.kernels.codegen.vectors import IRText, REAL, Vectors
>>> ir = IRText(lanes=2)
>>> y = sin(Vectors(ir, REAL, ["%x"]))
>>> print(ir.lines[0])
%v1 = call fastcc {<2 x i64>, <2 x double>, <2 x double>} @reduce_angle(<2 x double> %x)
"""

from __future__ import annotations

import math
from functools import cache

from engine.kernels.codegen.vectors import (
    INTEGER,
    REAL,
    IRText,
    Vectors,
    fma,
    hex_constant,
    polynomial,
    round_to_integer,
    where,
)

_LARGE_ANGLE = 2.0**20
_EXPONENT_OF_ONE = 1023 + 52  # biased, of a number whose last bit counts 1
_LARGEST_SHIFT = 2046 - _EXPONENT_OF_ONE
_PI_BITS = 1300

# (sin r / r - 1) / r^2 and (cos r - 1 + r^2 / 2) / r^4 in r^2, for |r| <= pi/4
_SIN = tuple(map(float.fromhex, (
    "-0x1.5555555555549p-3", "0x1.111111110f861p-7", "-0x1.a01a019c0e4c2p-13", "0x1.71de3574b8f8fp-19",
    "-0x1.ae5e63cbcac51p-26", "0x1.5d92462c77325p-33",
)))  # fmt: skip
_COS = tuple(map(float.fromhex, (
    "0x1.555555555554cp-5", "-0x1.6c16c16c15167p-10", "0x1.a01a019caf534p-16", "-0x1.27e4f808117dcp-22",
    "0x1.1ee9ea903a6dap-29", "-0x1.8fade0d78ee62p-37",
)))  # fmt: skip


def sin(x: Vectors) -> Vectors:
    """Return the sine. It is NaN at infinity."""
    quarter, high, low = _reduce(x)
    result = _of_quarter(quarter, high, low)
    return where(x.equals(0.0), x, result)  # for the sign of zero


def cos(x: Vectors) -> Vectors:
    """Return the cosine: the sine a quarter turn further. It is NaN at infinity."""
    quarter, high, low = _reduce(x)
    return _of_quarter(quarter + 1, high, low)


def _of_quarter(quarter: Vectors, r: Vectors, low: Vectors) -> Vectors:
    """Return sin(quarter pi/2 + r + low)."""
    z = r * r
    half = z * 0.5
    one = -half + 1.0
    cosine = one + ((-one + 1.0 - half) + fma(z * z, polynomial(z, _COS), -(r * low)))
    sine = r + fma(r * z, polynomial(z, _SIN), low * one)
    value = where((quarter & 1).compare("eq", 0), sine, cosine)
    return (value.bits() ^ ((quarter & 2) << 62)).real()


def _reduce(x: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Return the number of the nearest quarter turn, and the rest of the angle as the sum of two reals."""
    ir = x.ir
    real, integer = ir.types[REAL], ir.types[INTEGER]
    result = f"{{{integer}, {real}, {real}}}"
    reduced = [ir.value(f"call fastcc {result} @reduce_angle({real} {name})") for name in x.names]
    parts = [[ir.value(f"extractvalue {result} {name}, {part}") for name in reduced] for part in range(3)]
    return Vectors(ir, INTEGER, parts[0]), Vectors(ir, REAL, parts[1]), Vectors(ir, REAL, parts[2])


def define_reduction(ir: IRText) -> None:
    """Write the function `@reduce_angle`, which `sin` and `cos` call.

    Payne and Hanek's method is slow. It runs only if some lane has a large angle.
    """
    real, integer = ir.types[REAL], ir.types[INTEGER]
    result = f"{{{integer}, {real}, {real}}}"
    turns = [hex_constant(part) for shift in range(_LARGEST_SHIFT + 1) for part in _two_over_pi_words(shift)]
    ir.line(f"@turns = internal constant [{len(turns)} x double] [{', '.join(f'double {turn}' for turn in turns)}]")
    ir.line(f"define internal fastcc {result} @reduce_angle({real} %x) noinline nounwind alignstack({8 * ir.lanes}) {{")
    ir.line("near:")
    x = Vectors(ir, REAL, ["%x"])
    near = _cody_waite(x)
    is_large = x.absolute() >= _LARGE_ANGLE
    some = ir.any_lane(is_large.names[0])
    ir.line(f"br i1 {some}, label %far, label %done")
    ir.line("far:")
    either = [where(is_large, a, b) for a, b in zip(_payne_hanek(x), near, strict=True)]
    ir.line("br label %done")
    ir.line("done:")
    ends = [
        ir.value(f"phi {a.type} [{a.names[0]}, %near], [{b.names[0]}, %far]") for a, b in zip(near, either, strict=True)
    ]
    value = "poison"
    for part, name in enumerate(ends):
        value = ir.value(f"insertvalue {result} {value}, {near[part].type} {name}, {part}")
    ir.line(f"ret {result} {value}")
    ir.line("}")


def _cody_waite(x: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Return n, and x - n pi/2 as the sum of two reals.

    The first two parts of pi/2 have 33 bits, so n times each of them is exact.
    """
    first, second, third, fourth = _quarter_turn()
    bits, n = round_to_integer(x, 2.0 / math.pi)
    a, a_low = _two_sum(fma(n, -first, x), n * -second)
    product = n * third
    b, b_low = _two_sum(a, -product)
    low = (a_low + b_low) - (fma(n, third, -product) + n * fourth)
    high = b + low
    return bits, high, (b - high) + low


def _payne_hanek(x: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Return the same as `_cody_waite`, for x of any size.

    x is m 2^shift with an integer m. The table has 2^shift 2/pi modulo 4, in quarter turns: 4 quarter turns are a whole
    turn, so m times a multiple of 4 has no influence.
    """
    bits = x.bits()
    exponent = (bits >> 52) & 2047
    shift = where(exponent.compare("ult", _EXPONENT_OF_ONE), exponent.like(0), exponent - _EXPONENT_OF_ONE)
    shift = where(
        shift.compare("ult", _LARGEST_SHIFT), shift, shift.like(_LARGEST_SHIFT)
    )  # the shift of infinity is larger
    m = (bits - (shift << 52)).real()
    parts = [_gather(shift * 4 + part) for part in range(4)]
    products = [m * part for part in parts]
    lost = [fma(m, part, -product) for part, product in zip(parts, products, strict=True)]
    # quarter turns, without whole turns; sums are computed with their rounding errors, because the rest may be tiny
    start = products[0] - (products[0] * 0.25).call("floor") * 4.0
    a, a_low = _two_sum(start, products[1])
    b, b_low = _two_sum(a, lost[0])
    quarter, n = round_to_integer(b, 1.0)
    c, c_low = _two_sum(b - n, products[2])
    d, d_low = _two_sum(a_low, b_low)
    e, e_low = _two_sum(d, c_low)
    f, f_low = _two_sum(e, lost[1])
    g, g_low = _two_sum(c, f)
    low = g_low + (d_low + e_low + f_low + products[3] + lost[2])
    high = g + low
    low = (g - high) + low
    # from quarter turns to radians
    half_pi, half_pi_low = _half_pi()
    radians = high * half_pi + (x - x)  # NaN where x is not finite
    radians_low = fma(high, half_pi, -radians) + fma(high, half_pi_low, low * half_pi)
    return quarter, radians, radians_low


def _gather(index: Vectors) -> Vectors:
    """Return the table's entries at these positions, lane by lane."""
    ir = index.ir
    vector = "poison"
    for lane in range(ir.lanes):
        position = ir.value(f"extractelement {index.type} {index.names[0]}, i64 {lane}")
        pointer = ir.value(f"getelementptr double, ptr @turns, i64 {position}")
        number = ir.value(f"load double, ptr {pointer}, align 8")
        vector = ir.value(f"insertelement {ir.types[REAL]} {vector}, double {number}, i64 {lane}")
    return Vectors(ir, REAL, [vector])


def _two_sum(a: Vectors, b: Vectors) -> tuple[Vectors, Vectors]:
    """Return the rounded sum and its rounding error (Knuth, The Art of Computer Programming, volume 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@cache
def _pi() -> int:
    """Return pi 2^_PI_BITS by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239), with an error of a few units."""

    def arctangent_of_inverse(n: int) -> int:
        total = term = (1 << (_PI_BITS + 20)) // n
        sign, odd = -1, 3
        while term:
            term //= n * n
            total += sign * (term // odd)
            sign, odd = -sign, odd + 2
        return total

    return (4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239))) >> 20


def _parts(number: int, point: int, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """Return number / 2^point as a sum of doubles, truncated. `sizes` are the bits of each double."""
    parts = []
    for size in sizes:
        drop = max(number.bit_length() - size, 0)
        high = number >> drop
        parts.append(math.ldexp(high, drop - point))
        number -= high << drop
    return tuple(parts)


def _quarter_turn() -> tuple[float, ...]:
    """Return pi/2 as a sum for Cody and Waite's method."""
    return _parts(_pi(), _PI_BITS + 1, (33, 33, 53, 53))


def _half_pi() -> tuple[float, ...]:
    """Return pi/2 as the sum of two doubles."""
    return _parts(_pi(), _PI_BITS + 1, (53, 53))


def _two_over_pi_words(shift: int) -> tuple[float, ...]:
    """Return 2^shift 2/pi modulo 4, as the sum of four doubles."""
    return _parts(_two_over_pi() << shift & ((4 << _PI_BITS) - 1), _PI_BITS, (53, 53, 53, 53))


@cache
def _two_over_pi() -> int:
    """Return 2/pi 2^_PI_BITS."""
    return (2 << (2 * _PI_BITS)) // _pi()
