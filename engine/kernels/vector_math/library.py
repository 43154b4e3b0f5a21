"""The vector functions of a module: their definitions in LLVM's language, for callers with doubles or floats.

>>> lines = library([("exp", 1)], lanes=2, convention="fastcc", dtype="float64")
>>> print(lines[0])
define internal fastcc <2 x double> @exp.1(<2 x double> %x0) noinline nounwind alignstack(16) {
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.kernels.codegen.vectors import REAL, IRText, Vectors
from engine.kernels.vector_math.functions import FUNCTIONS, IN_FLOATS
from engine.kernels.vector_math.trigonometry import define_reduction


def library(called: Iterable[tuple[str, int]], lanes: int, convention: str, dtype: str) -> list[str]:
    """Return the definitions of these functions, and of the functions that they call, line by line.

    called: names of FUNCTIONS, each with the number of vectors of a call.
    lanes: doubles in a vector.
    convention: LLVM's name of the functions' calling convention.
    dtype: type of the callers' numbers. Most functions compute in doubles: a vector has twice as many floats, so it is
    split in two, and the results are rounded. The functions IN_FLOATS compute in floats.
    """
    ir = IRText(lanes)
    names = sorted(called)
    if dtype == "float32" and names:
        ir.declare_intrinsics()
    if any(name in ("sin", "cos") for name, _ in names):
        define_reduction(ir)
    for name, count in names:
        kind = ir.real if dtype == "float64" else f"<{2 * ir.lanes} x float>"
        operands = [[f"%{letter}{n}" for n in range(count)] for letter in ("xy" if name == "power" else "x")]
        arguments = ", ".join(f"{kind} {operand}" for row in operands for operand in row)
        result = result_type(kind, count)
        # a vector that is spilled across the end of a page costs as much as many instructions
        attributes = f"noinline nounwind alignstack({8 * lanes})"
        ir.line(f"define internal {convention} {result} @{name}.{count}({arguments}) {attributes} {{")
        if dtype == "float64":
            _define(ir, name, operands)
        elif name in IN_FLOATS:
            floats = IRText(2 * lanes, dtype)
            _define(floats, name, operands)
            ir.lines += floats.lines
        else:
            _define_for_floats(ir, name, operands)
        ir.line("}")
    return ir.lines


def _define(ir: IRText, name: str, names: Sequence[Sequence[str]]) -> None:
    """Write the body of a function. An operand is the names of some vectors."""
    _return(ir, ir.real, FUNCTIONS[name](*(Vectors(ir, REAL, row) for row in names)).names)


def _define_for_floats(ir: IRText, name: str, names: Sequence[Sequence[str]]) -> None:
    """Write the body of a function of floats. It splits vectors in two, widens them, and joins the results."""
    lanes, floats = ir.lanes, f"<{2 * ir.lanes} x float>"
    halves = [", ".join(f"i32 {n}" for n in range(begin, begin + lanes)) for begin in (0, lanes)]
    operands = []
    for row in names:
        parts = [
            ir.value(f"shufflevector {floats} {vector}, {floats} poison, <{lanes} x i32> <{half}>")
            for vector in row
            for half in halves
        ]
        operands.append([ir.value(f"fpext <{lanes} x float> {part} to {ir.real}") for part in parts])
    result = FUNCTIONS[name](*(Vectors(ir, REAL, row) for row in operands))
    rounded = [ir.value(f"fptrunc {ir.real} {part} to <{lanes} x float>") for part in result.names]
    both = ", ".join(f"i32 {n}" for n in range(2 * lanes))
    half = f"<{lanes} x float>"
    joined = [
        ir.value(f"shufflevector {half} {low}, {half} {high}, <{2 * lanes} x i32> <{both}>")
        for low, high in zip(rounded[::2], rounded[1::2], strict=True)
    ]
    _return(ir, floats, joined)


def _return(ir: IRText, kind: str, names: Sequence[str]) -> None:
    result = result_type(kind, len(names))
    value = names[0]
    if len(names) > 1:
        value = "poison"
        for n, name in enumerate(names):
            value = ir.value(f"insertvalue {result} {value}, {kind} {name}, {n}")
    ir.line(f"ret {result} {value}")


def result_type(kind: str, count: int) -> str:
    """Return LLVM's type of the result of a function of `count` vectors: a vector, or a structure of vectors."""
    return kind if count == 1 else "{" + ", ".join([kind] * count) + "}"
