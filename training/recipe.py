"""`Recipe`: a published experiment as data, one YAML file each in `training/recipes/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import write_atomically
from .config import StreamConfig

_FOLDER = Path(__file__).with_name("recipes")
#: What a variant changes entry by entry; everything else it replaces.
_MERGED = ("settings", "stream_settings", "run")
# YAML 1.1 reads 3e5 as a word and knows infinity as .inf alone; a recipe is full of such numbers.
_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\.?(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))")


@dataclass(frozen=True)
class Published:
    """A number that somebody has published.

    Attributes:
        value: The number.
        tolerance: How far the mean of our seeds may lie from it.
        spread: Standard deviation over seeds as published; None where none is given.
    """

    value: float
    tolerance: float
    spread: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.value, self.tolerance] + ([] if self.spread is None else [self.spread])
        if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in numbers) or self.tolerance <= 0:
            raise ConfigError(f"{self}: expected numbers, and a tolerance above 0.")


@dataclass(frozen=True)
class Recipe:
    """What is run, and what others got.

    Attributes:
        rule: Name of the learning rule, as on the command line.
        stream: Name of the stream, as on the command line.
        name: Name of the file, followed by ":" and the variant if it is one.
        title: One line.
        source: Publication and figure.
        settings: Arguments of the learner.
        stream_settings: Arguments of the stream.
        run: Fields of `StreamConfig`, without the seed.
        synapse: "ideal", or what `--synapse` takes.
        ood: Name of the data by which detection of strangers is tested, or None.
        seeds: Seeds.
        published: Published numbers by the name that the figure has in `StreamResult.figures()`.
        differences: What differs from the published protocol, and what the text leaves open.
        variants: Changes by name, each a mapping of attributes of this class; `settings`, `stream_settings` and `run` are
            changed entry by entry, but a variant with a rule of its own has only the settings that it gives.

    Raises:
        ConfigError: an attribute of a wrong kind.
    """

    rule: str
    stream: str
    name: str = ""
    title: str = ""
    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    stream_settings: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    synapse: str = "ideal"
    ood: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    published: Mapping[str, Published] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("rule", "stream", "name", "title", "source", "synapse"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} of {self._place} is {getattr(self, name)!r}; expected text.")
        if not (self.ood is None or isinstance(self.ood, str)):
            raise ConfigError(f"strangers of {self._place} is {self.ood!r}; expected the name of a stream.")
        seeds = self.seeds
        if not seeds or not all(isinstance(each, int) and not isinstance(each, bool) for each in seeds):
            raise ConfigError(f"seeds of {self._place} are {seeds!r}; expected a list of whole numbers.")
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"seeds of {self._place} are {list(seeds)}; expected each once.")
        if not all(isinstance(each, str) for each in self.differences):
            raise ConfigError(f"differences of {self._place} are {self.differences!r}; expected a list of sentences.")
        self.config  # noqa: B018 - a wrong field of the run is found now

    @property
    def _place(self) -> str:
        return f"recipe {self.name!r}" if self.name else "the recipe"

    @property
    def config(self) -> StreamConfig:
        """How the stream is gone through."""
        known = {each.name for each in fields(StreamConfig)} - {"seed"}
        _check_keys(self.run, known, f"run of {self._place}")
        return StreamConfig(**self.run)

    def variant(self, name: str) -> Recipe:
        """The recipe with the changes of a variant.

        Raises:
            ConfigError: no such variant.
        """
        if name not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise ConfigError(f"{self._place} has no variant {name!r}; its variants are: {known}.")
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        changes = dict(self.variants[name])
        if "published" not in changes:
            changes["published"] = {}  # a number published for one setting says nothing of another
        for key in _MERGED:
            alone = key == "settings" and changes.get("rule", self.rule) != self.rule
            changes[key] = {**({} if alone else own[key]), **(changes.get(key) or {})}
        return _recipe({**own, **changes, "name": f"{self.name}:{name}", "variants": {}})

    def expanded(self) -> list[Recipe]:
        """The recipe itself and all variants."""
        return [self, *(self.variant(name) for name in self.variants)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for YAML, without what is empty, so that `load_recipe` gives the same recipe back."""
        values = {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        return {name: value for name, value in values.items() if name != "name" and value not in ([], {}, None, "")}

    def save(self, path: str | Path) -> None:
        """Write a file that `load_recipe` reads."""
        import yaml

        text = yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=120)
        write_atomically(path, text.encode())


def recipe_names() -> tuple[str, ...]:
    """Names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_recipe(name: str | Path) -> Recipe:
    """A shipped recipe by its name, or one from a `.yaml` file; "name:variant" for one of its variants.

    Raises:
        ConfigError: no such recipe, file or variant, keys that a recipe does not have, or values of a wrong kind.
    """
    text = str(name)
    head, _, variant = text.rpartition(":")
    if head and not variant.endswith(".yaml"):
        return load_recipe(head).variant(variant)
    path = Path(name) if text.endswith((".yaml", ".yml")) else _FOLDER / f"{text}.yaml"
    try:
        content = parse_yaml(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        known = ", ".join(recipe_names())
        raise ConfigError(f"there is no recipe {text!r}; pass a .yaml file, or one of: {known}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Pass a text file of UTF-8.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {type(content).__name__}, not a recipe; expected lines such as `rule: mesu`.")
    recipe = _recipe({"name": path.stem, **content})
    recipe.expanded()  # a mistake in a variant is found now
    return recipe


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text, with 3e5 and inf as numbers.

    Raises:
        ConfigError: text that is no YAML, with the line.
    """
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # Last in line: what is a whole number stays one.
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT.pattern})$"), list("-+0123456789.iI"))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is no YAML: {' '.join(str(error).split())}") from None


def _recipe(content: Mapping[str, Any]) -> Recipe:
    place = f"recipe {content['name']!r}" if content.get("name") else "the recipe"
    _check_keys(content, {each.name for each in fields(Recipe)}, place)
    missing = [key for key in ("rule", "stream") if key not in content]
    if missing:
        raise ConfigError(f"{place} has no {' and no '.join(missing)}; every recipe names both.")
    values = dict(content)
    for key in (*_MERGED, "published", "variants"):
        values[key] = _mapping(values.get(key), f"{key} of {place}")
    values["published"] = {
        figure: _published(value, f"published {figure!r} of {place}") for figure, value in values["published"].items()
    }
    known = {each.name for each in fields(Recipe)} - {"name", "variants"}
    for name, changes in values["variants"].items():
        _check_keys(_mapping(changes, f"variant {name!r} of {place}"), known, f"variant {name!r} of {place}")
    for key in ("seeds", "differences"):
        if key in values:
            if not isinstance(values[key], (list, tuple)):
                raise ConfigError(f"{key} of {place} is {values[key]!r}; expected a list.")
            values[key] = tuple(values[key])
    return Recipe(**values)


def _published(value: Any, place: str) -> Published:
    if isinstance(value, Published):
        return value
    found = _mapping(value, place)
    _check_keys(found, {each.name for each in fields(Published)}, place)
    if "value" not in found or "tolerance" not in found:
        raise ConfigError(f"{place} is {value!r}; expected {{value: ..., tolerance: ...}}.")
    return Published(**found)


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{place} is {value!r}; expected names and values, such as {{hidden: [50]}}.")
    return dict(value)


def _check_keys(content: Mapping[str, Any], known: set[str], place: str) -> None:
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ConfigError(f"{place} has no place for {', '.join(unknown)}; what it may have is: {', '.join(sorted(known))}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Published):
        return {each.name: getattr(value, each.name) for each in fields(value) if getattr(value, each.name) is not None}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
