"""Writing LLVM's language: `Code` is its text, `Lanes` the numbers in it, with the operators of arithmetic.

Everything here is an IEEE operation that every processor rounds alike, so what is written gives the same bits wherever
it runs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Number: TypeAlias = "Lanes | float"

REAL, WHOLE, FLAG = "real", "whole", "flag"

_PREDICATES = {REAL: "fcmp", WHOLE: "icmp"}


_SCALARS = {"float64": ("double", "i64", "f64"), "float32": ("float", "i32", "f32")}


class Code:
    """Lines of LLVM's language about vectors of `lanes` numbers; each value has a name that is used once."""

    def __init__(self, lanes: int, dtype: str = "float64") -> None:
        self.lanes = lanes
        self.dtype = dtype
        self.scalar, whole, suffix = _SCALARS[dtype]
        self.suffix = f"v{lanes}{suffix}"
        self.types = {REAL: f"<{lanes} x {self.scalar}>", WHOLE: f"<{lanes} x {whole}>", FLAG: f"<{lanes} x i1>"}
        self.lines: list[str] = []
        self._count = 0

    @property
    def real(self) -> str:
        """The type of a vector of numbers."""
        return self.types[REAL]

    def line(self, text: str) -> None:
        """Add a line that has no value."""
        self.lines.append(text)

    def value(self, text: str) -> str:
        """Add a line and return the name of its value."""
        self._count += 1
        self.lines.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"


def literal(number: float, dtype: str = "float64") -> str:
    """A number in hexadecimal, to the last bit; LLVM wants a float's written as the double that is equal to it."""
    if dtype == "float32":
        number = float(np.float32(number))
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(code: Code, number: float) -> str:
    """A vector of one number."""
    return f"splat ({code.scalar} {literal(number, code.dtype)})"


class Lanes:
    """Several vectors that undergo the same operations, line by line in turn, so that none waits for another.

    `kind` is `real`, `whole` (integers as wide) or `flag`. Plain numbers may stand on the right of an operator.
    """

    def __init__(self, code: Code, kind: str, names: Sequence[str]) -> None:
        self.code = code
        self.kind = kind
        self.names = tuple(names)

    @property
    def type(self) -> str:
        return self.code.types[self.kind]

    def __add__(self, other: Number) -> Lanes:
        return self._infix("add", other)

    def __sub__(self, other: Number) -> Lanes:
        return self._infix("sub", other)

    def __mul__(self, other: Number) -> Lanes:
        return self._infix("mul", other)

    def __truediv__(self, other: Number) -> Lanes:
        return self._each(f"fdiv {self.type} {{}}, {{}}", other)

    def __neg__(self) -> Lanes:
        return self._each(f"fneg {self.type} {{}}")

    def __and__(self, other: Number) -> Lanes:
        return self._each(f"and {self.type} {{}}, {{}}", other)

    def __or__(self, other: Number) -> Lanes:
        return self._each(f"or {self.type} {{}}, {{}}", other)

    def __xor__(self, other: Number) -> Lanes:
        return self._each(f"xor {self.type} {{}}, {{}}", other)

    def __invert__(self) -> Lanes:
        return self ^ Lanes(self.code, FLAG, ["splat (i1 true)"] * len(self.names))

    def __lshift__(self, bits: int) -> Lanes:
        return self._each(f"shl {self.type} {{}}, {{}}", bits)

    def __rshift__(self, bits: int) -> Lanes:
        """Zeros come in from above."""
        return self._each(f"lshr {self.type} {{}}, {{}}", bits)

    def compare(self, predicate: str, other: Number) -> Lanes:
        """A flag by one of LLVM's predicates: `olt`, `ole`, `oeq`, `uno` of reals, `eq`, `slt`, `ult` of integers."""
        return self._each(f"{_PREDICATES[self.kind]} {predicate} {self.type} {{}}, {{}}", other, result=FLAG)

    def __lt__(self, other: Number) -> Lanes:
        return self.compare("olt", other)

    def __le__(self, other: Number) -> Lanes:
        return self.compare("ole", other)

    def __gt__(self, other: Number) -> Lanes:
        return self.compare("ogt", other)

    def __ge__(self, other: Number) -> Lanes:
        return self.compare("oge", other)

    def equals(self, other: Number) -> Lanes:
        """Whether reals are equal; NaN is equal to nothing."""
        return self.compare("oeq", other)

    def is_nan(self) -> Lanes:
        return self.compare("uno", self)

    def bits(self) -> Lanes:
        """The doubles' bits as integers."""
        return self._each(f"bitcast {self.type} {{}} to {self.code.types[WHOLE]}", result=WHOLE)

    def real(self) -> Lanes:
        """The doubles that have these bits."""
        return self._each(f"bitcast {self.type} {{}} to {self.code.types[REAL]}", result=REAL)

    def absolute(self) -> Lanes:
        return self.call("fabs")

    def call(self, intrinsic: str, *others: Number) -> Lanes:
        """One of LLVM's functions of the vector type: fma, fabs, sqrt, floor, copysign."""
        marks = ", ".join([f"{self.type} {{}}"] * (1 + len(others)))
        return self._each(f"call {self.type} @llvm.{intrinsic}.{self.code.suffix}({marks})", *others)

    def _infix(self, name: str, other: Number) -> Lanes:
        return self._each(f"{'f' if self.kind == REAL else ''}{name} {self.type} {{}}, {{}}", other)

    def _each(self, template: str, *others: Number, result: str | None = None) -> Lanes:
        columns = [self.names, *(self.like(other).names for other in others)]
        names = [self.code.value(template.format(*row)) for row in zip(*columns, strict=True)]
        return Lanes(self.code, result or self.kind, names)

    def like(self, number: Number) -> Lanes:
        """A plain number as lanes of this kind; lanes as they are."""
        if isinstance(number, Lanes):
            return number
        text = splat(self.code, number) if self.kind == REAL else f"splat (i64 {int(number)})"
        return Lanes(self.code, self.kind, [text] * len(self.names))


def fma(a: Lanes, b: Number, c: Number) -> Lanes:
    """a b + c, rounded once."""
    return a.call("fma", b, c)


def where(flag: Lanes, yes: Lanes, no: Number) -> Lanes:
    """`yes` where the flag is set, else `no`."""
    template = f"select {flag.type} {{}}, {yes.type} {{}}, {yes.type} {{}}"
    rows = zip(flag.names, yes.names, yes.like(no).names, strict=True)
    return Lanes(yes.code, yes.kind, [yes.code.value(template.format(*row)) for row in rows])


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """c0 + c1 x + c2 x^2 + ..., by Horner's rule."""
    total = x.like(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


_ROUNDER = 1.5 * 2.0**52
"""Added to a small number it leaves the nearest integer in the low bits."""


def nearest(x: Lanes, factor: float) -> tuple[Lanes, Lanes]:
    """The integer nearest to x factor, a number below 2^51: in the low bits of a whole, and as a real."""
    shifted = fma(x, factor, _ROUNDER)
    return shifted.bits(), shifted - _ROUNDER
