"""Signatures of kernels: types and shapes of all arguments, checked at every call.

A kernel gets addresses and trusts the sizes passed with them. A signature is a Python parameter
list with these annotations:

    x: f32[rows, 2 * size]       a contiguous tensor on the CPU; each name is one size
    x: f32[rows : stride, size]  with a row stride of `stride`
    x: f32[size] | None          or the null pointer
    rows: int, left: 0 <= int < kernel, share: float
    plan: Plan[layers]           `layers` structs of `Struct.pack`, with fields plan[0].x

Rules that compare several arguments, or values in a tensor of indices, follow the parameters.
"""

import ast
import ctypes
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from speechseq.errors import ConfigError

DTYPES = {
    "f32": (torch.float32,),
    "f64": (torch.float64,),
    "bf16": (torch.bfloat16,),
    "i64": (torch.int64,),
    "u8": (torch.uint8,),
    "b8": (torch.bool,),
    "weight": (torch.float32, torch.bfloat16, torch.int8),
}
FEW = 256  # number of integers up to which Python compares faster than torch
CURE = "give what the caller's docstring asks for, or run torch operations: SPEECHSEQ_NATIVE=0"
Rule = str | Callable[[dict[str, Any]], bool]


class KernelArgumentError(ConfigError, ValueError):
    """Error for an argument that a kernel would read or write wrongly."""


def within(x: Tensor, least: int, most: int) -> bool:
    """Return True if all values of a tensor are in a range; for rules of a `Signature`.

    Args:
        x: integers of any shape.
        least, most: smallest and largest value allowed.
    """
    if not x.numel():
        return True
    if x.numel() <= FEW:
        values = x.flatten().tolist()
        return least <= min(values) and max(values) <= most
    low, high = x.aminmax()
    return least <= int(low) and int(high) <= most


def falling(x: Tensor) -> bool:
    """Return True if no value of x (n integers) exceeds the previous one; for rules of kernels."""
    return bool((x[1:] <= x[:-1]).all())


def inside(starts: Tensor, lengths: Tensor, frames: int) -> bool:
    """Return True if utterances lie within a range of frames, the longest first; for rules.

    Args:
        starts, lengths: (utterances) int64, first frame and number of frames of each utterance.
        frames: number of frames of all utterances.
    """
    begin, long = starts.tolist(), lengths.tolist()
    sound = min(begin) >= 0 and long[-1] >= 0 and max(*begin, long[0]) <= frames
    ends = (a + b for a, b in zip(begin, long, strict=True))
    return sound and long == sorted(long, reverse=True) and max(ends) <= frames


class Structs:
    """Array of C++ structs; indexing gives the values of one struct by the names of its fields.

    C++ reads the memory of the attribute `words` (structs, words per struct) int64.

    Args:
        name: name of the struct, which must be that of the kernel's parameter.
        words: all fields as 64-bit words, addresses included.
        rows: the same values by field name, one dict for each struct.
    """

    def __init__(self, name: str, words: Tensor, rows: Sequence[dict[str, Any]]) -> None:
        self.name, self.words = name, words
        self.rows = [types.SimpleNamespace(**row) for row in rows]  # keeps the tensors alive

    def __getitem__(self, index: int) -> types.SimpleNamespace:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)


class _Parameter:
    """One parameter, and the lines of Python that check its argument.

    Attributes:
        sizes: expressions of names, of a tensor or of structs.
        address: expression of the argument that ctypes gets.
    """

    def __init__(self, argument: ast.arg) -> None:
        node, self.name = argument.annotation, argument.arg
        assert node is not None
        self.text, self.sizes, self.stride = ast.unparse(node), list[str](), ""
        self.optional = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        inner = node.left if isinstance(node, ast.BinOp) and self.optional else node
        self.kind = self.text if self.text == "float" else "int"
        if isinstance(inner, ast.Subscript):
            self.kind = ast.unparse(inner.value)
            dims = inner.slice.elts if isinstance(inner.slice, ast.Tuple) else [inner.slice]
            for dim in dims:
                row = isinstance(dim, ast.Slice)
                self.stride = ast.unparse(dim.upper) if row else self.stride  # type: ignore
                self.sizes.append(ast.unparse(dim.lower if row else dim))  # type: ignore
        self.ctype = {"int": ctypes.c_int64, "float": ctypes.c_float}.get(
            self.kind, ctypes.c_void_p
        )
        tensor = f"None if {self.name} is None else {self.name}.data_ptr()"
        structs = tensor if self.kind in DTYPES else f"{self.name}.words.data_ptr()"
        numbers = {"int": self.name, "float": f"float({self.name})"}
        self.address = numbers.get(self.kind, structs)

    def lines(self, numbers: set[str]) -> list[str]:
        """Lines that call `wrong` or define the names of sizes; `numbers` are known already."""
        name, wrong = self.name, f"wrong({self.name!r}, {self.name})"
        if self.kind == "int":
            return [
                f"if not isinstance({name}, int) or not {-(2**63)} <= {name} < {2**63}: {wrong}"
            ]
        if self.kind == "float":
            whole = f"isinstance({name}, int) and abs({name}) < {2**63}"
            return [f"if not isinstance({name}, float) and not ({whole}): {wrong}"]
        if self.kind not in DTYPES:
            is_struct = f"isinstance({name}, Structs) and {name}.name == {self.kind!r}"
            lines = [f"if not ({is_struct}): {wrong}", f"{name}_0 = len({name})"]
            return lines + self._sizes(numbers, wrong)
        gaps = f"{name}.is_contiguous()" if not self.stride else f"{name}.stride(1) == 1"
        lines = [
            f"if not (isinstance({name}, Tensor) and {name}.dtype in DTYPES[{self.kind!r}] and "
            f"{name}.is_cpu and {name}.layout is strided and {name}.dim() == {len(self.sizes)} and "
            f"{gaps}): {wrong}",
            f"{', '.join(f'{name}_{i}' for i in range(len(self.sizes)))}, = {name}.shape",
            *self._sizes(numbers, wrong),
        ]
        if self.stride:
            lines.append(f"if {name}.stride(0) != {self.stride}: {wrong}")
        if self.optional:
            lines = [f"if {name} is not None:", *("    " + line for line in lines)]
        return lines

    def _sizes(self, numbers: set[str], wrong: str) -> list[str]:
        lines = []
        for i, size in enumerate(self.sizes):
            if size.isidentifier() and size not in numbers:
                lines.append(f"if {size} is None: {size} = {self.name}_{i}")
            lines.append(f"if {self.name}_{i} != {size}: {wrong}")
        return lines

    def judge(self) -> list[str]:
        """The line that checks an integer's range, once all integers are known."""
        if self.kind != "int" or self.text == "int":
            return []
        condition = ast.parse(self.text, mode="eval")
        for node in ast.walk(condition):
            if isinstance(node, ast.Name) and node.id == "int":
                node.id = self.name
        return [f"if not ({ast.unparse(condition)}): wrong({self.name!r}, {self.name})"]


class Signature:
    """Parameter list of a C++ kernel, and rules that compare several arguments.

    The check is compiled to Python code, because interpreting the annotations at each call takes
    several times as long, which matters for small kernels.

    Args:
        parameters: a Python parameter list with types and shapes, such as "x: f32[rows, 4]".
        rules: expressions of the parameters' names, or functions of a dict of them, that must be
            true.
    """

    def __init__(self, parameters: str, *rules: Rule) -> None:
        tree = ast.parse(f"def kernel({parameters}): pass").body[0]
        assert isinstance(tree, ast.FunctionDef)
        self.parameters = [_Parameter(argument) for argument in tree.args.args]
        self.rules = rules
        self.ctypes = [parameter.ctype for parameter in self.parameters]
        scope: dict[str, Any] = {
            "Tensor": Tensor,
            "Structs": Structs,
            "DTYPES": DTYPES,
            "strided": torch.strided,
            "within": within,
            "falling": falling,
            "inside": inside,
            "wrong": self._wrong,
            "broken": self._broken,
            "rules": rules,
        }
        exec(compile(self.source(), "<signature>", "exec"), scope)
        self._compiled = scope["kernel"]

    def source(self) -> str:
        """Return Python source of a function that checks the arguments of a call.

        The function returns the addresses and numbers to pass to the kernel, and a dict of all
        arguments and sizes by name.
        """
        numbers = {p.name for p in self.parameters if p.kind == "int"}
        first = sorted(self.parameters, key=lambda p: p.kind not in ("int", "float"))
        sizes = {size for p in self.parameters for size in p.sizes if size.isidentifier()}
        lines = [f"{name} = None" for name in sorted(sizes - numbers)]
        for parameter in first:
            lines += parameter.lines(numbers)
        for parameter in self.parameters:
            lines += parameter.judge()
        for i, rule in enumerate(self.rules):
            met = f"({rule})" if isinstance(rule, str) else f"rules[{i}](locals())"
            lines.append(f"if not {met}: broken({i})")
        taken = ", ".join(parameter.address for parameter in self.parameters)
        names = ", ".join(["kernels", *(parameter.name for parameter in self.parameters)])
        body = "\n    ".join([*lines, f"return ({taken},), locals()"])
        return f"def kernel({names}):\n    {body}\n"

    def check(
        self, function: str, arguments: Sequence[Any], kernels: ctypes.CDLL | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Check the arguments of a call.

        Args:
            function: name of the kernel, for messages.
            arguments: one value for each parameter.
            kernels: the library, which rules may need.

        Returns:
            The addresses and numbers to pass to the kernel, and a dict of all arguments and sizes
            by name.

        Raises:
            KernelArgumentError: an argument does not match; the message names it.
        """
        if len(arguments) != len(self.parameters):
            raise KernelArgumentError(
                f"{function}: {len(arguments)} arguments for {len(self.parameters)} parameters",
                CURE,
            )
        try:
            return self._compiled(kernels, *arguments)
        except KernelArgumentError as error:
            raise KernelArgumentError(f"{function}: {error.problem}", CURE) from None

    def _wrong(self, name: str, value: Any) -> NoReturn:
        text = next(p.text for p in self.parameters if p.name == name)
        raise KernelArgumentError(f"{name} is {_described(value)}, where the kernel takes {text}")

    def _broken(self, index: int) -> NoReturn:
        rule = self.rules[index]
        text = rule if isinstance(rule, str) else rule.__doc__
        raise KernelArgumentError(f"the arguments do not meet: {text}")


class Struct(Signature):
    """Fields of a C++ struct in their order, each of 64 bits, declared like a `Signature`."""

    def pack(self, name: str, rows: Sequence[Sequence[Any]], kernels: ctypes.CDLL) -> Structs:
        """Check rows of values, one for each struct, and pack them to an array of structs.

        Args:
            name: name of the struct, for messages.
            rows: values of all fields of each struct, in their order.
            kernels: the library, which rules may need.

        Raises:
            KernelArgumentError: a value does not match; the message names it.
        """
        checked = [self.check(name, row, kernels) for row in rows]
        words = torch.tensor([[0 if x is None else x for x in taken] for taken, _ in checked])
        words = words.view(len(checked), len(self.parameters))
        return Structs(name, words, [own for _, own in checked])


def _described(value: Any) -> str:
    if isinstance(value, Structs):
        return f"{len(value)} structs {value.name}"
    if not isinstance(value, Tensor):
        return f"{value!r}"[:80]
    gaps = "" if value.layout == torch.strided and value.is_contiguous() else ", not contiguous"
    return f"{value.dtype} {tuple(value.shape)} on {value.device}{gaps}"
