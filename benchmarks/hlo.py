"""Reads what a compiled program would run out of its optimised HLO text."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

SMALL_BYTES = 1024  # a kernel that moves less takes as long as its launch
SMALL_SIZE = 2**14  # numbers; an array of fewer is not of images, nor of a layer

# Kinds of work, in the order of a table.
KINDS = (
    "convolutions forward",
    "gradients of inputs",
    "gradients of kernels",
    "matrix products",
    "sums",
    "elementwise",
    "augmentation",
    "optimizer",
    "copies",
    "collectives",
    "small arrays",
)


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

    @property
    def op_name(self) -> str:
        """The path of names that JAX gave to what this was made from."""
        return self.search(r'op_name="([^"]*)"')

    @property
    def cycles(self) -> int:
        """A TPU's compiler's estimate; 0 where it gives none."""
        return int(self.search(r'"estimated_cycles":"(\d+)"') or 0)


class Run(NamedTuple):
    """An instruction, how often it runs, and the op_name of the loop that it is in."""

    times: int
    kernel: Instruction
    loop: str


Program = dict[str, list[Instruction]]  # by computation; the program's own is ENTRY

_COMPUTATION = re.compile(r"(ENTRY )?%(\S+) \(.*\{$")
_INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*?)\)(?:, (.*))?$"
)
_NO_KERNEL = re.compile("(bitcast|constant|get-tuple-element|parameter|tuple|.*-done)$")
_SLICES = ("dynamic-slice", "gather", "slice")
_COLLECTIVE = re.compile(r"(all-\w+|collective-\w+|reduce-scatter)(-start)?$")


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
    """Bytes of an array, or of the arrays of a tuple; none of a TPU's fast memory."""
    total = 0
    arrays = re.findall(r"(\w+)\[([\d,]*)\](?:\{([^}]*)\})?", shape)
    for dtype, sizes, layout in arrays:
        bits = re.search(r"\d+", dtype)  # there are none in pred, nor in token
        count = 0 if "S(" in layout else math.prod(_numbers(sizes))
        total += math.ceil(count * (int(bits[0]) / 8 if bits else dtype == "pred"))
    return total


def turns(program: Program, loop: Instruction) -> int | None:
    """How often a loop's body runs; None where the text does not tell.

    Where it is not said outright, the condition compares a counter with a constant.
    """
    if known := loop.search(r'"known_trip_count":\{"n":"(\d+)"'):
        return int(known)
    condition = program.get(loop.search(r"condition=%([\w.-]+)"), [])
    constants = {i.name: i.operands[0] for i in condition if i.opcode == "constant"}
    limits = [
        constants.get(i.operands[1])
        for i in condition
        if i.opcode == "compare" and "direction=LT" in i.attributes
    ]
    return int(limits[0]) if len(limits) == 1 and limits[0] else None


def find_loop(program: Program, steps: int) -> Instruction | None:
    """The loop of so many training steps, or one that does not tell its turns."""
    loops = [i for i in program["ENTRY"] if i.opcode == "while" and steps > 1]
    return next((i for i in loops if turns(program, i) in (steps, None)), None)


def body_of(loop: Instruction) -> str:
    """The computation that a loop repeats."""
    return loop.search(r"body=%([\w.-]+)")


def runs(
    program: Program, computation: str, *, but: Instruction | None = None
) -> Iterator[Run]:
    """All that a computation runs, what is in its loops included, but not in `but`.

    A loop that does not tell its turns is among them; what is in it counts once.
    """
    for instruction in program[computation]:
        name, is_loop = instruction.op_name, instruction.opcode == "while"
        if is_loop and instruction != but:
            if (times := turns(program, instruction)) is None:
                yield Run(1, instruction, "")
            for inner, kernel, loop in runs(program, body_of(instruction)):
                yield Run((times or 1) * inner, kernel, name + loop)
        elif not is_loop and not _NO_KERNEL.match(instruction.opcode):
            yield Run(1, instruction, "")


def inside_of(program: Program, kernel: Instruction) -> list[Instruction]:
    """What a fusion fuses; nothing for other kernels."""
    return program.get(kernel.search(r"calls=%([\w.-]+)"), [])


def traffic(program: Program, kernel: Instruction) -> int:
    """Bytes of a kernel's operands and results.

    Of an operand that it only slices, as the data set for a batch, just the slices.
    Of a copy in the background, to fast memory or from it, one side of the two. Of a
    collective what it gives, wherever that lies.
    """
    results = list(map(size_in_bytes, re.findall(r"\w+\[[\d,]*\]", kernel.shape)))
    if _COLLECTIVE.match(kernel.opcode):
        return sum(results)
    if kernel.opcode in ("copy-start", "slice-start"):
        return min(results[:2])
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


def kind_of(program: Program, run: Run) -> str:
    """What a kernel is for, one of `KINDS`: of a fusion what weighs most in it."""
    kernel, names = run.kernel, run.loop + run.kernel.op_name
    parts = [kernel, *_all_inside_of(program, kernel)]
    opcodes = {part.opcode for part in parts}
    if _COLLECTIVE.match(kernel.opcode):
        return "collectives"
    if "crop_and_flip" in names or "normalize" in names:
        return "augmentation"
    for part in parts:
        if part.opcode == "convolution" or "__cudnn$conv" in part.attributes:
            return _kind_of_convolution(part)
    if "dot" in opcodes or "gemm" in kernel.attributes:
        return "matrix products"
    if "optimizer" in names:
        return "optimizer"
    if kernel.opcode.startswith(("copy", "slice-")) or kernel.opcode == "transpose":
        return "copies"
    shapes = "".join((kernel.shape, *kernel.operand_shapes))
    sizes = [math.prod(_numbers(x)) for x in re.findall(r"\[([\d,]+)\]", shapes)]
    if max(sizes, default=0) < SMALL_SIZE:
        return "small arrays"
    return "sums" if "reduce" in opcodes else "elementwise"


def _kind_of_convolution(part: Instruction) -> str:
    """A TPU takes products of matrices for convolutions too: without pixels, 0 and 1.

    In the gradient of a kernel the batch is what is summed over, as channels are
    elsewhere, and so `f` comes before `b`; cuDNN says what it is.
    """
    labels = part.search(r"dim_labels=(\w+)_")
    if not re.search(r"\d", labels):
        return "matrix products"
    kind = part.search(r"__cudnn\$convBackward(\w+)")
    if kind == "Filter" or labels.index("f") < labels.index("b"):
        return "gradients of kernels"
    is_gradient = kind or "transpose(" in part.op_name  # a name that autodiff gives
    return "gradients of inputs" if is_gradient else "convolutions forward"


def _all_inside_of(program: Program, kernel: Instruction) -> Iterator[Instruction]:
    """What a fusion fuses, and fusions in it."""
    for part in inside_of(program, kernel):
        yield part
        yield from _all_inside_of(program, part)


def summarize(program: Program, work: Iterable[Run]) -> dict[str, Any]:
    """What is run: sums over kernels, and of each kind of work."""
    kinds: dict[str, Counter] = {kind: Counter() for kind in KINDS}
    names = ("kernels", "small_kernels", "bytes", "cycles", "copies")
    total, collectives = Counter(dict.fromkeys(names, 0)), Counter()
    for run in work:
        times, kernel, _ = run
        if kernel.opcode == "while":
            total["loops_without_turns"] += times
            continue
        size = traffic(program, kernel)
        numbers = {"kernels": 1, "bytes": size, "cycles": kernel.cycles}
        kind = kind_of(program, run)
        for counter in (total, kinds[kind]):
            counter.update({name: times * number for name, number in numbers.items()})
        total["small_kernels"] += times * (size < SMALL_BYTES)
        total["copies"] += times * (kernel.opcode == "copy")
        if kind == "collectives":
            dtypes = "+".join(sorted(set(re.findall(r"(\w+)\[", kernel.shape))))
            collectives[f"{kernel.opcode} {dtypes}"] += times
    return dict(total) | {
        "collectives": dict(collectives),
        "kinds": {kind: dict(counts) for kind, counts in kinds.items() if counts},
    }


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]
