"""Reads what a compiled program would run out of its optimised HLO text."""

import math
import re
from collections import Counter
from typing import Any, NamedTuple

SMALL_BYTES = 1024  # a kernel that moves less takes as long as its launch


class Instruction(NamedTuple):
    """A line of HLO. Names are without their %; a parameter's operand is its number."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    operand_shapes: tuple[str, ...]
    attributes: str

    def search(self, pattern: str) -> str:
        """The pattern's group in the attributes; empty where it is not found."""
        found = re.search(pattern, self.attributes)
        return found[1] if found else ""


Program = dict[str, list[Instruction]]  # by computation; the program's own is ENTRY

_COMPUTATION = re.compile(r"(ENTRY )?%(\S+) \(.*\{$")
_INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*?)\)(?:, (.*))?$"
)
_NO_KERNELS = ("bitcast", "constant", "get-tuple-element", "parameter", "tuple")
_SLICES = ("dynamic-slice", "gather", "slice")


def read_hlo(text: str) -> Program:
    """Reads the text of a compiled program."""
    program: Program = {}
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            computation = program["ENTRY" if header[1] else header[2]] = []
            shapes: dict[str, str] = {}
        elif program and (parts := _INSTRUCTION.match(line)):
            name, shape, opcode, arguments, attributes = parts.groups(default="")
            operands = tuple(re.findall(r"%([\w.-]+)", arguments)) or (arguments,)
            of_operands = tuple(shapes.get(operand, "") for operand in operands)
            shapes[name] = shape
            computation.append(
                Instruction(name, shape, opcode, operands, of_operands, attributes)
            )
    return program


def size_in_bytes(shape: str) -> int:
    """Bytes of an array, or of the arrays of a tuple."""
    total = 0
    for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        bits = re.search(r"\d+", dtype)  # there are none in pred, nor in token
        count = math.prod(map(int, filter(None, sizes.split(","))))
        total += math.ceil(count * (int(bits[0]) / 8 if bits else dtype == "pred"))
    return total


def find_loop(program: Program) -> tuple[str, int | None] | None:
    """The body of the program's loop and how often it runs, None if XLA can't tell."""
    for instruction in program["ENTRY"]:
        if instruction.opcode == "while":
            trips = instruction.search(r'"known_trip_count":\{"n":"(\d+)"')
            return instruction.search(r"body=%([\w.-]+)"), int(trips or 0) or None
    return None


def inside_of(program: Program, kernel: Instruction) -> list[Instruction]:
    """What a fusion fuses; nothing for other kernels."""
    return program.get(kernel.search(r"calls=%([\w.-]+)"), [])


def traffic(program: Program, kernel: Instruction) -> int:
    """Bytes of a kernel's operands and results.

    Of an operand that it only slices, as the data set for a batch, just the slices.
    """
    inside = inside_of(program, kernel)
    names = {i.operands[0]: i.name for i in inside if i.opcode == "parameter"}
    total = size_in_bytes(kernel.shape)
    for number, shape in enumerate(kernel.operand_shapes):
        name = names.get(str(number))
        uses = [i for i in inside if name in i.operands]
        if uses and all(i.opcode in _SLICES and i.operands[0] == name for i in uses):
            total += sum(size_in_bytes(i.shape) for i in uses)
        else:
            total += size_in_bytes(shape)
    return total


def convolution(kernel: Instruction) -> str | None:
    """Kind, layouts and dtype of a cuDNN convolution; None for another kernel."""
    target = kernel.search(r'custom_call_target="__cudnn\$conv(\w+)"')
    if not target:
        return None
    kind = {"BackwardFilter": "weights", "BackwardInput": "inputs"}.get(target)
    if kind is None:  # autodiff's names tell what it transposed
        backward = "transpose(" in kernel.search(r'op_name="([^"]*)"')
        kind = "gradients as forward" if backward else "forward"
    layouts = kernel.search(r"dim_labels=([^,]*)")
    return f"{kind} {layouts} {kernel.shape.strip('(').split('[')[0]}"


def none_lost(found: dict[str, int], count: int) -> bool:
    """Whether the convolutions found are all that training `count` of them takes."""

    def number(kind: str) -> int:
        return sum(n for name, n in found.items() if name.startswith(kind))

    if number("forward") != count or number("weights") != count:
        return False
    # Nobody asks for the gradient of the images.
    return number("inputs") + number("gradients as forward") == count - 1


def summarize(program: Program, computation: str) -> dict[str, Any]:
    """What a computation runs once; loops in it are counted, but not looked into."""
    kernels = [i for i in program[computation] if i.opcode not in _NO_KERNELS]
    loops = sum(i.opcode == "while" for i in kernels)
    kernels = [i for i in kernels if i.opcode != "while"]
    sizes = [traffic(program, kernel) for kernel in kernels]
    insides = [{i.opcode for i in inside_of(program, kernel)} for kernel in kernels]
    return {
        "kernels": len(kernels),
        "small_kernels": sum(size < SMALL_BYTES for size in sizes),
        "bytes": sum(sizes),
        "copies": sum(kernel.opcode == "copy" for kernel in kernels),
        "transposes": sum("transpose" in opcodes for opcodes in insides),
        "loops": loops,
        "convolutions": dict(Counter(filter(None, map(convolution, kernels)))),
    }
