"""What identifies a computation: data, settings, seeds and the user's own code, as plain JSON.

Whatever can be resumed stores the identity of what shaped its result, and compares it before it resumes: a checkpoint of
another experiment would otherwise return that one's result. `spinode.differences` compares two identities.

    arrays, tensors, generators     type, shape and a digest of the values
    functions and classes           of a library: qualified name and version; of the user: a digest of the bytecode, and what
                                    it uses: closure, defaults, globals of the user's own modules
    modules, objects, dataclasses   their class, and their attributes one by one
    dictionaries, lists             their entries

A class says itself what identifies its objects with a method `identity_parts()`, which returns that in any of these forms.
"""

from __future__ import annotations

import copyreg
import hashlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from .code_digest import code_digest, code_names, library_version
from .digest import tensor_digest

#: Deepest nesting that is followed; what is deeper counts by its class.
_MAX_DEPTH = 60
_PLAIN_MODULE = frozenset(vars(nn.Module()))
_WRAPPERS = (staticmethod, classmethod, types.MethodType)
_OPAQUE = (np.dtype, torch.dtype, torch.device, torch.layout, np.ufunc, type(Ellipsis), type(NotImplemented))


def identity_of(value: Any) -> Any:
    """Return what identifies a value, as plain JSON: equal for equal values, also in another process.

    Args:
        value: Settings, arrays, tensors, streams, modules, functions, classes, and dictionaries and lists of these.

    Example:
        >>> identity_of({"seed": 0, "rate": torch.tensor([0.5])})
        {'seed': 0, 'rate': 'float32 (1,) sha256 d99e58435243d9fe'}
        >>> def field(gain):
        ...     return lambda x: gain * x
        >>> identity_of(field(2.0))["closure"], identity_of(field(2.0)) == identity_of(field(3.0))
        ({'gain': 2.0}, False)
    """
    return _Walk().of(value, "")


class _Walk:
    """One walk through a value; functions and classes that occur again are named by where they occurred first."""

    def __init__(self) -> None:
        self._open: set[int] = set()  # what contains the present value
        self._code: dict[int, tuple[Any, str]] = {}  # with the objects, so that no other gets their id

    def of(self, value: Any, path: str) -> Any:
        if value is None or (isinstance(value, (bool, int, float, str)) and type(value).__module__ == "builtins"):
            return value
        if isinstance(value, np.generic):
            return self.of(value.item(), path)
        if isinstance(value, (bytes, bytearray)):
            return f"{len(value)} bytes sha256 {hashlib.sha256(value).hexdigest()[:16]}"
        if isinstance(value, torch.Tensor):
            return tensor_digest(value)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return _array_digest(value)
        if isinstance(value, torch.Generator):
            return f"generator {tensor_digest(value.get_state())}"
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, _OPAQUE):
            return str(value)
        if id(value) in self._open or len(self._open) > _MAX_DEPTH:
            return {"class": _name(type(value))}
        self._open.add(id(value))
        try:
            return self._compound(value, path)
        finally:
            self._open.remove(id(value))

    def _compound(self, value: Any, path: str) -> Any:
        if isinstance(value, type):
            return self._once(value, path, self._class)
        if isinstance(value, types.FunctionType):
            return self._once(value, path, self._function)
        if isinstance(value, _WRAPPERS):
            owner = [self.of(value.__self__, path)] if isinstance(value, types.MethodType) else []
            return [*owner, self.of(value.__func__, path)]
        if isinstance(value, property):
            return [self.of(part, path) for part in (value.fget, value.fset, value.fdel)]
        if isinstance(value, cached_property):
            return self.of(value.func, path)
        if callable(value) and hasattr(value, "__wrapped__"):  # such as functools.lru_cache
            return self.of(value.__wrapped__, path)
        if callable(value) and hasattr(value, "__qualname__"):  # compiled functions
            return _name(value)
        if hasattr(type(value), "identity_parts"):
            return {"class": self.of(type(value), path), **self._entries(value.identity_parts(), path)}
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
            return self._entries(value, path)
        if isinstance(value, (list, tuple)) and type(value).__module__ in ("builtins", "torch"):
            return [self.of(item, f"{path}.{index}") for index, item in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            return sorted((self.of(item, path) for item in value), key=str)
        return {"class": self.of(type(value), path), **self._entries(self._attributes(value), path)}

    def _entries(self, values: Mapping[Any, Any], path: str) -> dict[str, Any]:
        return {str(name): self.of(item, f"{path}.{name}") for name, item in values.items()}

    def _once(self, value: Any, path: str, describe: Any) -> Any:
        if id(value) in self._code:
            return f"as {self._code[id(value)][1]}"
        library = library_version(getattr(value, "__module__", None))
        if library is not None and not getattr(value, "__closure__", None):
            return f"{_name(value)} {library}".strip()
        self._code[id(value)] = (value, path.removeprefix("."))
        return describe(value, path)

    def _function(self, function: types.FunctionType, path: str) -> Any:
        closure = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        parts: dict[str, Any] = {"closure": {name: cell for name, cell in _cells(closure) if name != "__class__"}}
        if (library := library_version(function.__module__)) is not None:
            label = {"function": f"{_name(function)} {library}".strip()}
        else:
            label = {"function": function.__qualname__, "code": code_digest(function.__code__, function.__doc__)}
            parts |= {"defaults": function.__defaults__ or (), "keywords": function.__kwdefaults__ or {}}
            parts["globals"] = _used_globals(function)
        return {**label, **{name: self.of(part, f"{path}.{name}") for name, part in parts.items() if part}}

    def _class(self, cls: type, path: str) -> Any:
        members = {
            name: member
            for name, member in sorted(vars(cls).items())
            if not (name.startswith("__") and name.endswith("__"))
            or isinstance(member, (types.FunctionType, staticmethod, classmethod))
        }
        bases = [self.of(base, path) for base in cls.__bases__ if base is not object]
        return {"class": cls.__qualname__, **({"bases": bases} if bases else {}), **self._entries(members, path)}

    def _attributes(self, value: Any) -> Mapping[str, Any]:
        """Return what an object consists of, by name."""
        if isinstance(value, nn.Module):
            return module_parts(value)
        if isinstance(value, torch.optim.Optimizer):
            return value.state_dict()
        if is_dataclass(value):
            return {field.name: getattr(value, field.name, None) for field in fields(value)}
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # locks, files, generators and the like cannot be taken apart
            return {}
        if isinstance(reduced, str):
            return {"name": reduced}
        maker, arguments, state, items, entries = (*reduced, None, None, None)[:5]
        if maker is copyreg.__newobj__:  # type: ignore[attr-defined]
            maker, arguments = None, arguments[1:]
        cached = {name for cls in type(value).__mro__ for name, each in vars(cls).items() if isinstance(each, cached_property)}
        own = {name: each for part in _states(state) for name, each in part.items() if name not in cached}
        parts = {"made by": maker, "arguments": arguments, "items": list(items or ()), "entries": dict(entries or ())}
        return {**own, **{name: part for name, part in parts.items() if part}}


def module_parts(module: nn.Module, ignored: frozenset[str] = _PLAIN_MODULE) -> dict[str, Any]:
    """Return attributes, weights, buffers, submodules and hooks of a module by name.

    Args:
        module: The module.
        ignored: Names of attributes that are left out: those that every module has.
    """
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return {
        **{name: value for name, value in vars(module).items() if name not in ignored},
        **{name: value for part in (module._parameters, module._buffers, module._modules) for name, value in part.items()},
        **({"hooks": hooks} if hooks else {}),
    }


def _name(value: Any) -> str:
    owner = getattr(value, "__module__", None) or ""
    return f"{owner}.{getattr(value, '__qualname__', type(value).__qualname__)}".removeprefix("builtins.").lstrip(".")


def _array_digest(array: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {array.shape} sha256 {digest[:16]}"


def _cells(closure: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, cell in closure:
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that was not assigned yet
            continue


def _used_globals(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals that a function uses; of a module of the user's own, the attributes that the function names."""
    names = sorted(code_names(function.__code__))
    used: dict[str, Any] = {}
    for name in names:
        if name not in function.__globals__ or (name.startswith("__") and name.endswith("__")):
            continue
        value = function.__globals__[name]
        if not isinstance(value, types.ModuleType):
            used[name] = value
        elif library_version(value.__name__) is None:
            used[name] = {each: getattr(value, each) for each in names if hasattr(value, each)}
    return used


def _states(state: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the attributes in the state that an object is pickled with."""
    if isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
        yield from (part for part in state if part)
    elif isinstance(state, dict):
        yield {str(name): value for name, value in state.items()}
    elif state is not None:
        yield {"state": state}
