"""`Recipe`: a published experiment as data, one YAML file per experiment in `training/recipes/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import write_atomically
from ..validation import is_number, is_whole_number, seed_number
from .config import StreamConfig

_FOLDER = Path(__file__).with_name("recipes")
#: Attributes that a variant changes entry by entry; it replaces all others.
_MERGED = ("settings", "stream_settings", "run")
# YAML 1.1 reads 3e5 as text and infinity as .inf only; recipes contain many such numbers.
_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\.?(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))")


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        value: The number.
        tolerance: Largest accepted difference of the mean over our seeds.
        spread: Published standard deviation over seeds; None if not given.
    """

    value: float
    tolerance: float
    spread: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.value, self.tolerance] + ([] if self.spread is None else [self.spread])
        if not all(is_number(each) for each in numbers) or self.tolerance <= 0:
            raise ConfigError(f"{self}: expected numbers, and a tolerance above 0.")


@dataclass(frozen=True)
class Recipe:
    """An experiment and its published results.

    Attributes:
        rule: Name of the learning rule, as on the command line.
        stream: Name of the stream, as on the command line.
        name: Name of the file, followed by ":" and the name of the variant if it is one.
        title: Title, one line.
        source: Publication and figure.
        settings: Arguments of the learner.
        stream_settings: Arguments of the stream.
        run: Fields of `StreamConfig`, without the seed.
        synapse: "ideal", or a value of `--synapse`.
        ood: Name of the data that detection of out-of-distribution samples is tested with, or None.
        seeds: Seeds.
        published: Published numbers, by the names of `StreamResult.figures()`.
        differences: Differences from the published protocol, and choices that its text leaves open.
        variants: Changes by name, each a mapping of attributes of this class; `settings`, `stream_settings` and `run` are
            changed entry by entry, but a variant with another rule has only the settings that it lists.

    Raises:
        ConfigError: an attribute of a wrong type.

    Example:
        >>> recipe = load_recipe("mesu-permuted-mnist")
        >>> recipe.rule, recipe.config.tasks, recipe.variant("sgd").settings["rate"]
        ('mesu', 200, 0.002)
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
            raise ConfigError(f"ood of {self._place} is {self.ood!r}; expected the name of a stream.")
        seeds = self.seeds
        if not seeds or not all(is_whole_number(seed) for seed in seeds):
            raise ConfigError(f"seeds of {self._place} are {seeds!r}; expected a list of whole numbers.")
        for seed in seeds:
            seed_number(f"a seed of {self._place}", seed)
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"seeds of {self._place} are {list(seeds)}; expected each only once.")
        if not all(isinstance(sentence, str) for sentence in self.differences):
            raise ConfigError(f"differences of {self._place} are {self.differences!r}; expected a list of sentences.")
        self.config  # noqa: B018 - checks the fields of the run

    @property
    def _place(self) -> str:
        return f"recipe {self.name!r}" if self.name else "the recipe"

    @property
    def config(self) -> StreamConfig:
        """The fields of `run` as a configuration."""
        known = {field.name for field in fields(StreamConfig)} - {"seed"}
        _check_keys(self.run, known, f"run of {self._place}")
        return StreamConfig(**self.run)

    def variant(self, name: str) -> Recipe:
        """Return the recipe with the changes of a variant.

        Raises:
            ConfigError: an unknown variant.
        """
        if name not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise ConfigError(f"{self._place} has no variant {name!r}; its variants are: {known}.")
        base = {field.name: getattr(self, field.name) for field in fields(self)}
        changes = dict(_mapping(self.variants[name], f"variant {name!r} of {self._place}"))
        if "published" not in changes:
            changes["published"] = {}  # a number published for one setting does not apply to another
        for key in _MERGED:
            is_replaced = key == "settings" and changes.get("rule", self.rule) != self.rule
            changes[key] = {
                **({} if is_replaced else base[key]),
                **_mapping(changes.get(key), f"{key} of variant {name!r} of {self._place}"),
            }
        return _recipe_from({**base, **changes, "name": f"{self.name}:{name}", "variants": {}})

    def expanded(self) -> list[Recipe]:
        """Return the recipe itself and all variants."""
        return [self, *(self.variant(name) for name in self.variants)]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for YAML, without empty ones, from which `load_recipe` restores the recipe."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {name: value for name, value in values.items() if name != "name" and value not in ([], {}, None, "")}

    def save(self, path: str | Path) -> None:
        """Write a YAML file that `load_recipe` reads."""
        import yaml

        text = yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=120)
        write_atomically(path, text.encode())


def recipe_names() -> tuple[str, ...]:
    """Return the names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_recipe(name: str | Path) -> Recipe:
    """Load a shipped recipe by its name, or one from a `.yaml` file; "name:variant" for one of its variants.

    Raises:
        ConfigError: an unknown recipe, file or variant, keys that a recipe does not have, or values of a wrong type.

    Example:
        >>> load_recipe("bnn-permuted-mnist:m-2").settings["metaplasticity"]
        2.0
    """
    text = str(name)
    base, _, variant = text.rpartition(":")
    if base and not variant.endswith(".yaml"):
        return load_recipe(base).variant(variant)
    path = Path(name) if text.endswith((".yaml", ".yml")) else _FOLDER / f"{text}.yaml"
    try:
        content = parse_yaml(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        known = ", ".join(recipe_names())
        raise ConfigError(f"there is no recipe {text!r}; pass a .yaml file, or one of: {known}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Pass a UTF-8 text file.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} contains {type(content).__name__}, not a recipe; expected lines such as `rule: mesu`.")
    recipe = _recipe_from({"name": path.stem, **content})
    recipe.expanded()  # checks the variants
    return recipe


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text, with 3e5 and inf read as numbers.

    Args:
        text: The text.
        where: Its source, for messages.

    Raises:
        ConfigError: text that is not YAML, with the line.

    Example:
        >>> parse_yaml("memory: 3e5", "the example")
        {'memory': 300000.0}
    """
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [resolver for resolver in resolvers if resolver[0] != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # Last in order, so that whole numbers remain whole.
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT.pattern})$"), list("-+0123456789.iI"))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None


def _recipe_from(content: Mapping[str, Any]) -> Recipe:
    place = f"recipe {content['name']!r}" if content.get("name") else "the recipe"
    _check_keys(content, {field.name for field in fields(Recipe)}, place)
    missing = [key for key in ("rule", "stream") if key not in content]
    if missing:
        raise ConfigError(f"{place} has no {' and no '.join(missing)}; add both, such as `rule: mesu`, `stream: mnist`.")
    values = dict(content)
    for key in (*_MERGED, "published", "variants"):
        values[key] = _mapping(values.get(key), f"{key} of {place}")
    values["published"] = {
        figure: _published(value, f"published {figure!r} of {place}") for figure, value in values["published"].items()
    }
    known = {field.name for field in fields(Recipe)} - {"name", "variants"}
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
    content = _mapping(value, place)
    _check_keys(content, {field.name for field in fields(Published)}, place)
    if "value" not in content or "tolerance" not in content:
        raise ConfigError(f"{place} is {value!r}; expected {{value: ..., tolerance: ...}}.")
    return Published(**content)


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{place} is {value!r}; expected names and values, such as {{hidden: [50]}}.")
    return dict(value)


def _check_keys(content: Mapping[str, Any], known: set[str], place: str) -> None:
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ConfigError(f"{place} has unknown keys: {', '.join(unknown)}; expected some of: {', '.join(sorted(known))}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Published):
        return {field.name: getattr(value, field.name) for field in fields(value) if getattr(value, field.name) is not None}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
