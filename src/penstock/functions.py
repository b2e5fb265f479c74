"""functions: what the user wrote in Python and names in a setting, found by "module:function"."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigError
from penstock.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["import_function"]


def import_function(name: str, where: str) -> Callable[..., Any]:
    """Import "module:function"; ConfigError, which begins with `where`, if it is not there or cannot be called."""
    module_name, colon, path = name.partition(":")
    if not module_name or not colon or not path:
        raise ConfigError(f'{where}: give it as "module:function"')
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{where}: {error}; a module is found on sys.path of this process, so add its folder there or to PYTHONPATH"
        ) from error
    except Exception as error:
        raise ConfigError(f"{where}: importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, [one for one in dir(found) if not one.startswith("_")])
            raise ConfigError(f'{where}: module {module_name} has no "{path}"{hint}')
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"{where}: it is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function
