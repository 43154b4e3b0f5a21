"""Sine and cosine as vector code, for every double: the angle is first reduced to the quarter turn nearest 0.

Up to 2^20 the reduction is Cody and Waite's, with pi/2 in four parts. Beyond, it is Payne and Hanek's: of 2/pi those
bits are taken that decide the angle's place in its turn, and multiplied without loss.
"""

from __future__ import annotations

import math
from functools import cache

from engine.kernels.vectors import FLAG, REAL, WHOLE, Code, Lanes, fma, literal, nearest, polynomial, where

_FAR = 2.0**20
_EXPONENT_OF_ONE = 1023 + 52  # biased, of a number whose last bit is 1
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


def sin(x: Lanes) -> Lanes:
    """The sine; NaN at infinity."""
    quarter, high, low = _reduce(x)
    result = _of_quarter(quarter, high, low)
    return where(x.equals(0.0), x, result)  # the sign of zero


def cos(x: Lanes) -> Lanes:
    """The cosine, a sine a quarter turn further."""
    quarter, high, low = _reduce(x)
    return _of_quarter(quarter + 1, high, low)


def _of_quarter(quarter: Lanes, r: Lanes, low: Lanes) -> Lanes:
    """sin(quarter pi/2 + r + low)."""
    z = r * r
    half = z * 0.5
    one = -half + 1.0
    cosine = one + ((-one + 1.0 - half) + fma(z * z, polynomial(z, _COS), -(r * low)))
    sine = r + fma(r * z, polynomial(z, _SIN), low * one)
    value = where((quarter & 1).compare("eq", 0), sine, cosine)
    return (value.bits() ^ ((quarter & 2) << 62)).real()


def _reduce(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Which quarter turn is nearest, and the rest of the angle in two parts."""
    code = x.code
    real, whole = code.types["real"], code.types["whole"]
    result = f"{{{whole}, {real}, {real}}}"
    reduced = [code.value(f"call fastcc {result} @reduce_angle({real} {name})") for name in x.names]
    parts = [[code.value(f"extractvalue {result} {name}, {part}") for name in reduced] for part in range(3)]
    return Lanes(code, "whole", parts[0]), Lanes(code, "real", parts[1]), Lanes(code, "real", parts[2])


def define_reduction(code: Code) -> None:
    """Write `@reduce_angle`, which `sin` and `cos` call; the far way is gone only where some lane is far."""
    real, whole, flag = (code.types[kind] for kind in (REAL, WHOLE, FLAG))
    result = f"{{{whole}, {real}, {real}}}"
    turns = [literal(part) for shift in range(_LARGEST_SHIFT + 1) for part in _turn(shift)]
    code.line(f"@turns = internal constant [{len(turns)} x double] [{', '.join(f'double {turn}' for turn in turns)}]")
    code.line(f"define internal fastcc {result} @reduce_angle({real} %x) noinline nounwind {{")
    code.line("near:")
    x = Lanes(code, REAL, ["%x"])
    near = _near_reduction(x)
    is_far = x.absolute() >= _FAR
    some = code.value(f"call i1 @llvm.vector.reduce.or.v{code.lanes}i1({flag} {is_far.names[0]})")
    code.line(f"br i1 {some}, label %far, label %done")
    code.line("far:")
    either = [where(is_far, a, b) for a, b in zip(_far_reduction(x), near, strict=True)]
    code.line("br label %done")
    code.line("done:")
    ends = [
        code.value(f"phi {a.type} [{a.names[0]}, %near], [{b.names[0]}, %far]")
        for a, b in zip(near, either, strict=True)
    ]
    value = "poison"
    for part, name in enumerate(ends):
        value = code.value(f"insertvalue {result} {value}, {near[part].type} {name}, {part}")
    code.line(f"ret {result} {value}")
    code.line("}")


def _near_reduction(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """x - n pi/2; the products with the first two parts of pi/2, 33 bits each, are exact."""
    first, second, third, fourth = _quarter_turn()
    bits, n = nearest(x, 2.0 / math.pi)
    a, a_low = _two_sum(fma(n, -first, x), n * -second)
    product = n * third
    b, b_low = _two_sum(a, -product)
    low = (a_low + b_low) - (fma(n, third, -product) + n * fourth)
    high = b + low
    return bits, high, (b - high) + low


def _far_reduction(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """x = m 2^shift; whole turns of 2^shift 2/pi are left out of the table, for m of them are whole turns too."""
    bits = x.bits()
    exponent = (bits >> 52) & 2047
    shift = where(exponent.compare("ult", _EXPONENT_OF_ONE), exponent.like(0), exponent - _EXPONENT_OF_ONE)
    shift = where(shift.compare("ult", _LARGEST_SHIFT), shift, shift.like(_LARGEST_SHIFT))  # of infinity it is more
    m = (bits - (shift << 52)).real()
    parts = [_gather(shift * 4 + part) for part in range(4)]
    products = [m * part for part in parts]
    lost = [fma(m, part, -product) for part, product in zip(parts, products, strict=True)]
    # quarters, without whole turns; then every sum is kept with what is rounded off it, for the rest may be tiny
    start = products[0] - (products[0] * 0.25).call("floor") * 4.0
    a, a_low = _two_sum(start, products[1])
    b, b_low = _two_sum(a, lost[0])
    quarter, n = nearest(b, 1.0)
    c, c_low = _two_sum(b - n, products[2])
    d, d_low = _two_sum(a_low, b_low)
    e, e_low = _two_sum(d, c_low)
    f, f_low = _two_sum(e, lost[1])
    g, g_low = _two_sum(c, f)
    low = g_low + (d_low + e_low + f_low + products[3] + lost[2])
    high = g + low
    low = (g - high) + low
    # from quarters to radians
    half_pi, half_pi_low = _half_pi()
    radians = high * half_pi + (x - x)  # NaN where x is not finite
    radians_low = fma(high, half_pi, -radians) + fma(high, half_pi_low, low * half_pi)
    return quarter, radians, radians_low


def _gather(index: Lanes) -> Lanes:
    """The table's entries at these places, lane by lane."""
    code = index.code
    vector = "poison"
    for lane in range(code.lanes):
        place = code.value(f"extractelement {index.type} {index.names[0]}, i64 {lane}")
        pointer = code.value(f"getelementptr double, ptr @turns, i64 {place}")
        number = code.value(f"load double, ptr {pointer}, align 8")
        vector = code.value(f"insertelement {code.types[REAL]} {vector}, double {number}, i64 {lane}")
    return Lanes(code, REAL, [vector])


def _two_sum(a: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
    """The sum and what was rounded off it (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@cache
def _pi() -> int:
    """pi 2^_PI_BITS by Machin's formula, good to a few units."""

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
    """number / 2^point as a sum of doubles with so many bits each, cut off."""
    parts = []
    for size in sizes:
        drop = max(number.bit_length() - size, 0)
        kept = number >> drop << drop
        parts.append(math.ldexp(kept >> drop, drop - point))
        number -= kept
    return tuple(parts)


def _quarter_turn() -> tuple[float, ...]:
    return _parts(_pi(), _PI_BITS + 1, (33, 33, 53, 53))


def _half_pi() -> tuple[float, ...]:
    return _parts(_pi(), _PI_BITS + 1, (53, 53))


def _turn(shift: int) -> tuple[float, ...]:
    """2/pi 2^shift without its multiples of 4, in four doubles."""
    return _parts(_two_over_pi() << shift & ((4 << _PI_BITS) - 1), _PI_BITS, (53, 53, 53, 53))


@cache
def _two_over_pi() -> int:
    return (2 << (2 * _PI_BITS)) // _pi()
