"""The compiled kernel on another architecture: the same bits under an emulated aarch64 as on this machine.

Needs qemu-aarch64-static and aarch64-linux-gnu-gcc (Debian: qemu-user-static and gcc-aarch64-linux-gnu).
"""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from engine.kernels import chunk, compiled
from engine.kernels.codegen import pipeline
from engine.kernels.codegen.target import Target
from engine.kernels.codegen.train_loop import CONTEXT_FIELDS, POINTERS
from tests.engine.populations import JOBS, same

_AARCH64 = Target("generic", "+neon,+fp-armv8", lanes=2, registers=32, calling_convention="fastcc")
_EMULATOR, _COMPILER = "qemu-aarch64-static", "aarch64-linux-gnu-gcc"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which(_EMULATOR) is None or shutil.which(_COMPILER) is None,
        reason=f"{_EMULATOR} and {_COMPILER} are not installed",
    ),
]


class Emulated:
    """Takes the place of `target.JitModule`: links the code into a program, which the emulator runs."""

    def __init__(self, text: str, compiled_for: Target, folder: Path) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple("aarch64-linux-gnu")
        code, self._program, self._folder = folder / "code.o", folder / "program", folder
        options = {"cpu": compiled_for.cpu, "features": compiled_for.features, "reloc": "static", "codemodel": "small"}
        code.write_bytes(target.create_target_machine(**options).emit_object(llvm.parse_assembly(text)))
        source = Path(__file__).with_name("aarch64.c")
        subprocess.run([_COMPILER, "-static", "-O1", source, code, "-o", self._program], check=True)

    def run(self, address: int, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Do to these arrays, and to the table at the address, what `run(address)` does."""
        whole = np.ctypeslib.as_array((ctypes.c_int64 * len(CONTEXT_FIELDS)).from_address(address))
        table = whole.copy()
        owners = np.full(len(CONTEXT_FIELDS), -1, dtype=np.int64)
        for place, field in enumerate(CONTEXT_FIELDS):
            for number, array in enumerate(arrays.values()):
                inside = array.ctypes.data <= table[place] < array.ctypes.data + max(array.nbytes, 1)
                if field in POINTERS and inside and owners[place] < 0:
                    owners[place] = number
                    table[place] -= array.ctypes.data
        sizes = [array.nbytes for array in arrays.values()]
        numbers = np.array([len(CONTEXT_FIELDS), len(arrays), *table, *owners, *sizes], dtype=np.int64)
        before, after = self._folder / "before", self._folder / "after"
        before.write_bytes(numbers.tobytes() + b"".join(array.tobytes() for array in arrays.values()))
        subprocess.run([_EMULATOR, self._program, before, after], check=True)
        content, begin = after.read_bytes(), 0
        for array in arrays.values():
            if array.flags.writeable:
                array[...] = np.frombuffer(content, array.dtype, array.size, begin).reshape(array.shape)
            begin += array.nbytes
        whole[:] = np.frombuffer(content, np.int64, len(whole), begin)
        for place, owner in enumerate(owners):
            if owner >= 0:
                whole[place] += [*arrays.values()][owner].ctypes.data


@pytest.mark.parametrize("name", JOBS)
def test_an_emulated_aarch64_computes_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncached: None
) -> None:
    job = JOBS[name]()
    here = compiled.train(job)
    emulated: list[Emulated] = []

    class Code:
        def __init__(self, text: str, target: Target) -> None:
            emulated.append(Emulated(text, target, tmp_path))

        def address(self, function: str) -> int:
            return 1  # nobody calls it

    class Chunk(chunk.Chunk):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self._run: Any = lambda address: emulated[-1].run(address, {"blocks": self._of_blocks, **self._shared})

    monkeypatch.setattr(pipeline, "JitModule", Code)
    monkeypatch.setattr(compiled, "Chunk", Chunk)
    there = compiled.train(job, _AARCH64)
    assert emulated
    assert same(there, here)
