"""Write LLVM's language: `IRText` is the text, and `Vectors` are numbers in it, with the operators of arithmetic.

IEEE 754 rounds every operation here in one way only. So the code gives the same bits on every processor.

>>> ir = IRText(lanes=4)
>>> x = Vectors(ir, REAL, ["%x"])
>>> y = (x + 1.0) * x
>>> print(ir)
%v1 = fadd <4 x double> %x, splat (double 0x3FF0000000000000)
%v2 = fmul <4 x double> %v1, %x
>>> y.names
('%v2',)

The text is formatted here, without llvmlite.ir. That module builds an object for every value and prints all of them in
the end: for a straight line of fused multiply-adds, it took twenty times as long. It also does not know the intrinsics
of vectors, so their names and types would be formatted here anyway. tinygrad's LLVM renderer formats text too.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

VectorOperand: TypeAlias = "Vectors | float"

REAL, INTEGER, FLAG = "real", "integer", "flag"

_PREDICATES = {REAL: "fcmp", INTEGER: "icmp"}
_SCALARS = {"float64": ("double", "i64", "f64"), "float32": ("float", "i32", "f32")}

INTRINSICS = {"fma": 3, "fabs": 1, "sqrt": 1, "floor": 1, "copysign": 2}
"""LLVM's functions of vectors that the kernel uses, with their numbers of operands."""


_NO_SIGN = (1 << 63) - 1


class IRText:
    """Lines of LLVM's language. Every value has a name that is assigned only once.

    lanes: numbers in a vector. dtype: their type, `float64` or `float32`.
    """

    def __init__(self, lanes: int, dtype: str = "float64") -> None:
        self.lanes = lanes
        self.dtype = dtype
        self.scalar, self.integer, suffix = _SCALARS[dtype]
        self.suffix = f"v{lanes}{suffix}"
        self.types = {
            REAL: f"<{lanes} x {self.scalar}>",
            INTEGER: f"<{lanes} x {self.integer}>",
            FLAG: f"<{lanes} x i1>",
        }
        self.lines: list[str] = []
        self._values = 0

    @property
    def real(self) -> str:
        """LLVM's type of a vector of numbers."""
        return self.types[REAL]

    def line(self, text: str) -> None:
        """Add a line without a value."""
        self.lines.append(text)

    def value(self, text: str) -> str:
        """Add a line, and return the name of its value."""
        self._values += 1
        self.lines.append(f"%v{self._values} = {text}")
        return f"%v{self._values}"

    def declare_intrinsics(self) -> None:
        """Add the declarations of the INTRINSICS."""
        for name, arity in INTRINSICS.items():
            self.line(f"declare {self.real} @llvm.{name}.{self.suffix}({', '.join([self.real] * arity)})")
        self.line(f"declare i1 @llvm.vector.reduce.or.v{self.lanes}i1(<{self.lanes} x i1>)")

    def any_lane(self, flag: str) -> str:
        """Add a line whose value, an i1, says whether a flag of the vector is set, and return its name."""
        return self.value(f"call i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.types[FLAG]} {flag})")

    def __str__(self) -> str:
        return "\n".join(self.lines)


def hex_constant(number: float, dtype: str = "float64") -> str:
    """Return a number in LLVM's hexadecimal form, exact to the last bit. LLVM writes a float as the equal double."""
    if dtype == "float32":
        number = float(np.float32(number))
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(ir: IRText, number: float) -> str:
    """Return a constant vector with this number in all lanes."""
    return f"splat ({ir.scalar} {hex_constant(number, ir.dtype)})"


class Vectors:
    """Several vectors for the same operations.

    ir: the text.
    kind: `real`, `integer` (of the same width) or `flag`.
    names: names of the vectors in the text.

    The lines of an operation, one for each vector, follow each other. So the processor can overlap them. The right
    operand of an operator may be a plain number.
    """

    def __init__(self, ir: IRText, kind: str, names: Sequence[str]) -> None:
        self.ir = ir
        self.kind = kind
        self.names = tuple(names)

    @property
    def type(self) -> str:
        """LLVM's type of each vector."""
        return self.ir.types[self.kind]

    def __add__(self, other: VectorOperand) -> Vectors:
        return self._infix("add", other)

    def __sub__(self, other: VectorOperand) -> Vectors:
        return self._infix("sub", other)

    def __mul__(self, other: VectorOperand) -> Vectors:
        return self._infix("mul", other)

    def __truediv__(self, other: VectorOperand) -> Vectors:
        return self._map(f"fdiv {self.type} {{}}, {{}}", other)

    def __neg__(self) -> Vectors:
        return self._map(f"fneg {self.type} {{}}")

    def __and__(self, other: VectorOperand) -> Vectors:
        return self._map(f"and {self.type} {{}}, {{}}", other)

    def __or__(self, other: VectorOperand) -> Vectors:
        return self._map(f"or {self.type} {{}}, {{}}", other)

    def __xor__(self, other: VectorOperand) -> Vectors:
        return self._map(f"xor {self.type} {{}}, {{}}", other)

    def __invert__(self) -> Vectors:
        return self ^ Vectors(self.ir, FLAG, ["splat (i1 true)"] * len(self.names))

    def __lshift__(self, bits: int) -> Vectors:
        return self._map(f"shl {self.type} {{}}, {{}}", bits)

    def __rshift__(self, bits: int) -> Vectors:
        """Return the bits shifted to the right; the upper bits become 0."""
        return self._map(f"lshr {self.type} {{}}, {{}}", bits)

    def compare(self, predicate: str, other: VectorOperand) -> Vectors:
        """Return flags that say where one of LLVM's predicates holds.

        predicate: `olt`, `ole`, `ogt`, `oge`, `oeq`, `one` or `uno` for reals; `eq`, `slt` or `ult` for integers.
        """
        return self._map(f"{_PREDICATES[self.kind]} {predicate} {self.type} {{}}, {{}}", other, result=FLAG)

    def __lt__(self, other: VectorOperand) -> Vectors:
        return self.compare("olt", other)

    def __le__(self, other: VectorOperand) -> Vectors:
        return self.compare("ole", other)

    def __gt__(self, other: VectorOperand) -> Vectors:
        return self.compare("ogt", other)

    def __ge__(self, other: VectorOperand) -> Vectors:
        return self.compare("oge", other)

    def equals(self, other: VectorOperand) -> Vectors:
        """Return flags that say where reals are equal. NaN is not equal to anything."""
        return self.compare("oeq", other)

    def is_nan(self) -> Vectors:
        """Return flags that say where reals are NaN."""
        return self.compare("uno", self)

    def bits(self) -> Vectors:
        """Return the bits of reals as integers."""
        return self._map(f"bitcast {self.type} {{}} to {self.ir.types[INTEGER]}", result=INTEGER)

    def real(self) -> Vectors:
        """Return the reals that have these bits."""
        return self._map(f"bitcast {self.type} {{}} to {self.ir.types[REAL]}", result=REAL)

    def is_constant_number(self) -> bool:
        """Return whether each vector is one that `splat` makes of a number other than NaN."""
        constants = [re.fullmatch(r"splat \(\w+ 0x(\w+)\)", name) for name in self.names]
        infinity = 0x7FF << 52
        return all(found is not None and int(found[1], 16) & _NO_SIGN <= infinity for found in constants)

    def repeated(self, other: Vectors) -> Vectors:
        """Return this vector as many times as there are others."""
        return Vectors(self.ir, self.kind, [*self.names] * len(other.names))

    def masked(self, keep: str) -> Vectors:
        """Return reals as they are if an i1 is true, else 0."""
        mask = self.ir.value(f"sext i1 {keep} to {self.ir.integer}")
        kind = self.ir.types[INTEGER]
        first = self.ir.value(f"insertelement {kind} poison, {self.ir.integer} {mask}, i64 0")
        every = f"<{self.ir.lanes} x i32> zeroinitializer"
        lanes = self.ir.value(f"shufflevector {kind} {first}, {kind} poison, {every}")
        return (self.bits() & Vectors(self.ir, INTEGER, [lanes] * len(self.names))).real()

    def absolute(self) -> Vectors:
        """Return |x|."""
        return self.call("fabs")

    def call(self, intrinsic: str, *others: VectorOperand) -> Vectors:
        """Return the result of one of the INTRINSICS."""
        marks = ", ".join([f"{self.type} {{}}"] * (1 + len(others)))
        return self._map(f"call {self.type} @llvm.{intrinsic}.{self.ir.suffix}({marks})", *others)

    def _infix(self, name: str, other: VectorOperand) -> Vectors:
        return self._map(f"{'f' if self.kind == REAL else ''}{name} {self.type} {{}}, {{}}", other)

    def _map(self, template: str, *others: VectorOperand, result: str | None = None) -> Vectors:
        """Write the template for each vector, with the operands' names filled in, and return the results."""
        operands = [self.names, *(self.like(other).names for other in others)]
        names = [self.ir.value(template.format(*row)) for row in zip(*operands, strict=True)]
        return Vectors(self.ir, result or self.kind, names)

    def like(self, number: VectorOperand) -> Vectors:
        """Return a plain number as vectors of this kind; return vectors as they are."""
        if isinstance(number, Vectors):
            return number
        text = splat(self.ir, number) if self.kind == REAL else f"splat ({self.ir.integer} {int(number)})"
        return Vectors(self.ir, self.kind, [text] * len(self.names))


def fma(a: Vectors, b: VectorOperand, c: VectorOperand) -> Vectors:
    """Return a b + c, rounded once."""
    return a.call("fma", b, c)


def where(flag: Vectors, yes: Vectors, no: VectorOperand) -> Vectors:
    """Return `yes` where the flag is set, else `no`."""
    template = f"select {flag.type} {{}}, {yes.type} {{}}, {yes.type} {{}}"
    rows = zip(flag.names, yes.names, yes.like(no).names, strict=True)
    return Vectors(yes.ir, yes.kind, [yes.ir.value(template.format(*row)) for row in rows])


def polynomial(x: Vectors, coefficients: Sequence[float]) -> Vectors:
    """Return c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    total = x.like(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


_ROUNDERS = {"float64": 1.5 * 2.0**52, "float32": 1.5 * 2.0**23}
"""Adding it to a double below 2^51, or a float below 2^22, rounds to the nearest integer: the low bits of the sum.

The last bit of the sum counts 1. The trick is common in libraries of functions: musl's exp calls this number `shift`,
and its rem_pio2 `toint`.
"""


def round_to_integer(x: Vectors, factor: float) -> tuple[Vectors, Vectors]:
    """Return the integer nearest to x factor, twice: in the low bits of an integer, and as a real.

    Its size must be below 2^51, for floats below 2^22.
    """
    rounder = _ROUNDERS[x.ir.dtype]
    shifted = fma(x, factor, rounder)
    return shifted.bits(), shifted - rounder
