"""`spinode view`: what the page contains, whom the server answers, and the page in a real browser."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest

from spinode import ConfigError, Trace
from spinode.cli.commands import build_parser, view
from spinode.cli.view.server import HOST, ViewServer
from spinode.cli.view.session import MAX_SAMPLES, Session, model_session, recording_session
from spinode.datasets import sample_path
from spinode.surrogates import zoo

MODEL, TABLE = str(zoo.path("macrospin")), str(sample_path("macrospin_held.csv"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def session(*words) -> Session:
    return view.make_session(build_parser("view").parse_args(list(words)))


@pytest.fixture(scope="module")
def compared():
    return session(MODEL, TABLE, "--stop", "4e-9")


@pytest.fixture
def server(compared):
    with serving(compared) as running:
        yield running


class serving:
    """Serve a session in a thread."""

    def __init__(self, content):
        self.server = ViewServer(content)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode(), reply.headers


def drive_of(content) -> dict:
    return {name: values.tolist() for name, values in content.trace.drive.items()}


def test_the_unedited_drive_gives_the_model_on_the_page_and_another_one_another(compared):
    shown = compared.content()
    assert shown["verdict"]
    assert len(shown["time"]) == len(shown["recorded"]["mz"]) == len(shown["model"]["output"]["mz"])
    recorded, model = (np.array(each["mz"]) for each in (shown["recorded"], shown["model"]["output"]))
    assert np.sqrt(np.mean((recorded - model) ** 2)) < 0.2 * recorded.std()
    drive = drive_of(compared)
    assert compared.respond(drive) == shown["model"]
    drive["Ku"] = [float(np.mean(drive["Ku"]))] * len(drive["Ku"])
    assert np.std(compared.respond(drive)["output"]["mz"][-100:]) < 0.2 * model.std()


def test_a_model_alone_starts_at_rest_and_a_recording_alone_has_no_response():
    alone = model_session(zoo.open("macrospin"), "m").content()
    before_the_step = np.array(alone["model"]["output"]["mz"][:90])
    assert np.ptp(before_the_step) < 1e-3
    assert alone["recorded"] == {}
    with pytest.raises(ConfigError, match="without a model"):
        session(TABLE).respond({})


def test_a_long_recording_shows_its_first_samples_and_a_missing_one_is_null():
    values = np.sin(np.arange(3 * MAX_SAMPLES))
    values[3] = np.nan
    shown = recording_session(Trace(np.arange(len(values)) * 1e-9, {}, {"V": values}, missing="mask"), "t").content()
    assert len(shown["time"]) == MAX_SAMPLES
    assert shown["recorded"]["V"][3] is None
    json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize(
    "drive",
    [[], {}, {"Ku": "x"}, {"Ku": [1.0]}, {"V": []}, {"Ku": [None] * 401}, {"Ku": [float("nan")] * 401}, {"Ku": [True] * 401}],
)
def test_wrong_drives_are_refused_in_a_sentence(compared, drive):
    with pytest.raises(ConfigError, match=r"expected samples of the drives Ku|drive Ku must have \d+ finite numbers"):
        compared.respond(drive)


def test_the_server_listens_on_this_machine_only(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.socket.family == socket.AF_INET


def test_token_and_host_are_needed_and_tokens_differ(server, compared):
    path = urlsplit(server.address)
    good = f"{path.path}?{path.query}"
    assert ask(server, "GET", good)[0] == 200
    for wrong in ("/", "/?token=", f"/?token={server.token}x", "/?token=%C3%A9"):
        assert ask(server, "GET", wrong)[0] == 403
        assert ask(server, "POST", wrong.replace("/", "/respond", 1), "{}")[0] == 403
    assert ask(server, "GET", good, Host="attacker.example")[0] == 403
    assert ask(server, "GET", good.replace("/?", "/../../etc/passwd?"))[0] == 404
    other = ViewServer(compared)
    other.server_close()
    assert other.token != server.token


def test_requests_that_are_wrong_get_a_sentence_and_the_server_goes_on(server, compared):
    path = f"/respond?token={server.token}"
    for body in ("{", "[]", "nan", "[" * 5000, json.dumps({"Ku": [1]})):
        status, text, _ = ask(server, "POST", path, body)
        assert status == 400
        assert json.loads(text)["error"]
    assert ask(server, "POST", path, **{"Content-Length": "999999999999"})[0] == 400
    status, text, _ = ask(server, "POST", path, json.dumps(drive_of(compared)))
    assert status == 200
    assert json.loads(text) == compared.respond(compared.trace.drive)


def test_the_page_loads_nothing_and_runs_nothing_from_the_file():
    name = "</script><script>document.title='taken'</script>"
    trace = Trace(np.arange(50) * 1e-9, {}, {name: np.arange(50.0)})
    with serving(recording_session(trace, name)) as server:
        _, html, headers = ask(server, "GET", f"/?token={server.token}")
    assert "<script>document" not in html
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", html)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_a_taken_port_is_reported(server):
    with pytest.raises(ConfigError, match="leave --port out"):
        ViewServer(server.session, server.server_port)


@pytest.mark.parametrize(
    ("words", "message"),
    [((TABLE, TABLE), "is not a surrogate"), ((str(zoo.path("vteam")),), "spinode view shows surrogates of driven devices")],
)
def test_other_files_are_refused(run, here, words, message):
    code, out, err = run("view", "--no-browser", *words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_the_page_in_a_browser_has_no_error_in_its_console(server, tmp_path):
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}",
    ]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", server.address], capture_output=True, text=True, timeout=100
    )
    assert "CONSOLE" not in done.stderr
    assert "of the steps are" in done.stdout or "All steps are" in done.stdout
    assert done.stdout.count("<canvas") == 2


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_in_a_browser_an_edited_drive_changes_the_response_at_once(server):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 420, "height": 800})
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        before = page.evaluate("model.output.mz.slice()")
        with page.expect_response("**/respond*") as reply:
            page.locator("input[type=range]").first.fill("0")
        assert reply.value.ok
        page.wait_for_function("before => model.output.mz.at(-1) !== before.at(-1)", arg=before)
        flat = page.evaluate("drive.Ku")
        assert np.ptp(flat) == pytest.approx(0, abs=1e-6)
        box = page.locator("canvas.edit").bounding_box()
        page.mouse.move(box["x"] + 150, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 250, box["y"] + 150)
        page.mouse.up()
        assert page.evaluate("new Set(drive.Ku).size") > 10
        assert errors == []
        browser.close()
