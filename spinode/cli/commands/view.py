"""Open a local page with a recording, a model beside it, and a drive that can be edited, whose response appears at once.
The page is served to this machine only, and to whoever has its address.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ..parser import Parser
    from ..view.session import Session

SUMMARY = "open a local page with a recording, a model beside it, and a drive to edit"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_channels, add_reading

    parser.add_argument("file", metavar="FILE_OR_MODEL", help="measurement file, or surrogate that spinode fit wrote")
    parser.add_argument("table", metavar="TABLE", nargs="?", help="recording to show beside a surrogate")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the page (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    add_channels(parser)
    add_reading(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    import webbrowser

    from ..view.server import ViewServer

    server = ViewServer(make_session(arguments), arguments.port)
    print(f"{server.address}\nOpen this address in a browser of this machine; Ctrl-C ends the page.", flush=True)
    if not arguments.no_browser:
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nspinode: the page is closed.", file=sys.stderr)
    finally:
        server.server_close()


def make_session(arguments: Any) -> Session:
    """Return what the page shows.

    Raises:
        ConfigError: two recordings, or a model of another kind.
    """
    from ...surrogates.artifacts import load
    from ...surrogates.neural_ode.surrogate import Surrogate
    from ..inputs import check_not_a_folder, read, read_with_roles
    from ..view.session import compared_session, model_session, recording_session

    name = Path(arguments.file).name
    if not name.endswith(".safetensors"):
        if arguments.table is not None:
            raise ConfigError(f"{arguments.file} is not a surrogate; expected spinode view MODEL TABLE, or one recording.")
        if arguments.drive or arguments.output:
            arguments.tables = [arguments.file]
            return recording_session(read_with_roles(arguments)[0], name)
        return recording_session(read(arguments, arguments.file), name)
    check_not_a_folder(arguments.file)
    model = load(arguments.file)
    if not isinstance(model, Surrogate):
        raise ConfigError(f"{arguments.file} is a {type(model).__name__}; spinode view shows surrogates of driven devices.")
    if arguments.table is None:
        return model_session(model, name)
    trace = read(arguments, arguments.table)
    title = f"{name} beside {Path(arguments.table).name}"
    return compared_session(model, trace, title, drive=arguments.drive, output=arguments.output)
