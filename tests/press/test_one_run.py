"""One run, from a chapter to what is stored: what must not decide it, what it may show, what it leaves behind."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kexue.press.execution import displays, messages
from kexue.press.execution.messages import Gauge
from kexue.press.execution.paths import MachinePaths
from kexue.press.project import LIBRARY
from kexue.press.sources.chapter import Chapter
from kexue.press.store.fingerprint import fingerprint
from tests.press.processes import assert_gone, wait_for_pids
from tests.press.tiny_book import TinyBook


def stored(book: TinyBook) -> dict[str, Any]:
    """The notebook of the one stored run."""
    (path,) = book.store.glob("runs/*/*/notebook.ipynb")
    return json.loads(path.read_text(encoding="utf-8"))


def outputs(book: TinyBook, marker: str) -> list[dict[str, Any]]:
    """What the cell that holds `marker` shows in the one stored run, texts joined."""
    found = [cell for cell in stored(book)["cells"] if marker in "".join(cell["source"])]
    for output in found[0]["outputs"]:
        for holder in (output, output.get("data", {})):
            for name, value in holder.items():
                holder[name] = "".join(value) if isinstance(value, list) else value
    return found[0]["outputs"]


def line_of(path: Path, text: str) -> int:
    return path.read_text(encoding="utf-8").split("\n").index(text) + 1


# ---------------------------------------------------------------- the user's environment


def test_nothing_of_the_users_environment_decides_a_run(book: TinyBook, tmp_path: Path):
    startup = tmp_path / "startup.py"
    startup.write_text("import numpy\nnumpy.pi = 3\nsmuggled = 1\n")
    user = tmp_path / "userbase"
    site = user / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (site / "usercustomize.py").write_text("import builtins\nbuiltins.smuggled = 1\n")
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 77\n")
    given = {
        "PYTHONSTARTUP": str(startup),
        "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONUSERBASE": str(user),
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "NVIDIA_TF32_OVERRIDE": "1",
        "TORCH_LOGS": "all",
        "KEXUE_RUN": "mine",
        "COLUMNS": "33",
    }
    path = book.write(
        "one",
        body=f"""import builtins, os, warnings
import matplotlib, numpy
assert numpy.pi > 3.1, "numpy was changed"
assert "smuggled" not in globals() and not hasattr(builtins, "smuggled")
assert matplotlib.rcParams["lines.linewidth"] == 1.5
left = {sorted(given)!r}
assert [name for name in left if name in os.environ and name not in ("KEXUE_RUN", "MATPLOTLIBRC")] == []
warnings.warn("only told")
print(os.environ["KEXUE_RUN"])
try:
    assert False
except AssertionError:
    print("asserts run")""",
    )
    done = book.kexue("run", env=given)
    assert done.returncode == 0, done.stderr
    printed = outputs(book, "asserts run")[0]["text"]
    code = fingerprint(Chapter(book.root, path), profile="quick", seed=0, device="cpu").code
    assert printed == f"{code}\nasserts run\n"


def test_braces_in_the_paths_are_only_braces(tmp_path: Path):
    book = TinyBook(tmp_path / "book {of} {0}")
    book.store = tmp_path / "store {seed} {{}}"
    book.write("one")
    done = book.kexue("run")
    assert done.returncode == 0, done.stderr
    assert book.state("one") == "fresh"


# ---------------------------------------------------------------- what a run leaves behind

DAEMON = """import os, signal, subprocess, sys, time
code = '''
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
with open({pids!r}, "a") as noted: print(os.getpid(), file=noted)
signal = __import__("signal"); signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
'''
subprocess.run([sys.executable, "-c", code], env={{}}, check=True)
while not os.path.exists({pids!r}) or not open({pids!r}).read().strip():
    time.sleep(0.05)
{then}"""


@pytest.mark.parametrize("then", ["x = 1", "raise ValueError('boom')", "os._exit(3)"])
def test_a_daemon_that_hides_well_goes_with_its_run(book: TinyBook, tmp_path: Path, then: str):
    pids = str(tmp_path / "pids")
    book.write("one", body=DAEMON.format(pids=pids, then=then))
    done = book.kexue("run")
    assert done.returncode == (0 if then == "x = 1" else 1), done.stderr
    assert_gone(wait_for_pids(Path(pids)), within=60)


def test_a_run_that_deletes_the_store_is_told_in_a_sentence(book: TinyBook):
    book.write("one", body=f"import shutil\nshutil.rmtree({str(book.store)!r}, ignore_errors=True)")
    done = book.kexue("run")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the store" in done.stderr
    assert "cannot be written" in done.stderr


# ---------------------------------------------------------------- what a run may show

MEASUREMENT = "application/vnd.kexue.measurement+json"
BY_HAND = "from IPython.display import display\ndisplay({{{mime!r}: {data}}}, raw=True)"
GOOD = '{"id": "small", "values": [1.0], "error": 0.0, "binary": False}'


@pytest.mark.parametrize(
    ("mime", "data", "message"),
    [
        (MEASUREMENT, "'a word'", "must hold measurement: dict; got 'a word'"),
        (MEASUREMENT, "[1, 2]", "must hold measurement: dict; got [1, 2]"),
        (MEASUREMENT, "{'measurement': 3}", "must hold measurement: dict"),
        (MEASUREMENT, f"{{'measurement': {GOOD} | {{'values': [float('nan')]}}}}", "must be a finite number"),
        (
            MEASUREMENT,
            f"{{'measurement': {GOOD} | {{'values': [10**400]}}}}",
            "a value must be a finite number, got int",
        ),
        (
            MEASUREMENT,
            f"{{'measurement': {GOOD} | {{'values': ['1']}}}}",
            "a value must be a finite number, got str",
        ),
        (MEASUREMENT, f"{{'measurement': {GOOD} | {{'values': []}}}}", "must have a value, got none"),
        (MEASUREMENT, f"{{'measurement': {GOOD} | {{'error': None}}}}", "its error must be a finite number"),
        ("application/vnd.kexue.trace+json", "{'modules': []}", "only the press itself may show one"),
        ("application/vnd.kexue.claims+json", "7", "must hold claims: list, profile: str, seed: int; got 7"),
        ("application/vnd.kexue.verdicts+json", "{'measured': 'small'}", "must hold measured: list"),
        ("application/vnd.odd+json", "{}", "displays application/vnd.odd+json, which no page can show"),
        ("application/javascript", "'alert(1)'", "displays application/javascript, which no page can show"),
        ("text/html", "5", "displays text/html that is int, which no page can show"),
    ],
)
def test_what_cannot_be_stored_fails_with_the_line_of_its_cell(
    book: TinyBook, mime: str, data: str, message: str
):
    path = book.write("one", body=BY_HAND.format(mime=mime, data=data))
    done = book.kexue("run")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = line_of(path, "from IPython.display import display")
    told = " ".join(done.stderr.split())
    assert f"one.md:{line}: code cell 3 of 4" in told
    assert message in told
    assert book.kexue("claims").returncode == 0  # nothing of it was stored


def test_an_output_that_no_page_can_show_gives_way_to_one_that_can(book: TinyBook):
    body = """from IPython.display import display
display({"application/vnd.odd+json": {}, "text/plain": "in words"}, raw=True)
display({"application/javascript": "alert(1)", "text/html": "<b>in bold</b>", "text/plain": "x"}, raw=True)
display({"image/gif": "R0lGODdhAQABAIAAAP///////ywAAAAAAQABAAACAkQBADs=\\n", "text/plain": "moving"}, raw=True)
display({"image/webp": "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="}, raw=True)"""
    book.write("one", body=body)
    done = book.kexue("run")
    assert done.returncode == 0, done.stderr
    words, bold, gif, webp = (output["data"] for output in outputs(book, "in bold"))
    assert words == {"text/plain": "in words"}
    assert bold == {"text/html": "<b>in bold</b>", "text/plain": "x"}
    source = "data:image/gif;base64,R0lGODdhAQABAIAAAP///////ywAAAAAAQABAAACAkQBADs="
    assert gif == {"text/html": f'<img src="{source}" alt="">', "text/plain": "moving"}
    assert webp["text/html"].startswith('<img src="data:image/webp;base64,UklGR')


def test_streams_in_pieces_are_one(book: TinyBook):
    body = """import sys, time
from IPython.display import display
print("loss = ", end="", flush=True)
time.sleep(0.5)
print("off", file=sys.stderr, flush=True)
time.sleep(0.5)
print("0.25")
for step in range(3):
    print(f"\\rstep {step}", end="", flush=True)
    time.sleep(0.3)
print("\\r\\ndone")
display({"text/plain": "between"}, raw=True)
print("after")"""
    book.write("one", body=body)
    done = book.kexue("run")
    assert done.returncode == 0, done.stderr
    shown = [
        (o.get("name", "display"), o.get("text") or o["data"]["text/plain"]) for o in outputs(book, "loss = ")
    ]
    assert shown == [
        ("stdout", "loss = 0.25\nstep 2\ndone\n"),
        ("stderr", "off\n"),
        ("display", "between"),
        ("stdout", "after\n"),
    ]


def test_machine_paths_are_told_in_neutral_names_and_two_runs_give_the_same_bytes(
    book: TinyBook, tmp_path: Path
):
    body = """import os, warnings
from pathlib import Path
from IPython.display import HTML, display
import kexue, numpy
warnings.warn("careful")
print(os.getcwd(), Path.home() / "x", kexue.__file__, numpy.__file__, Path(kexue.__file__).parents[2] / "book")
display(HTML(f"<i>{os.getcwd()}</i>"))
os.getcwd()"""
    book.write("one", body=body)
    assert book.kexue("run").returncode == 0
    first = stored(book)
    text = json.dumps(first, ensure_ascii=False)
    for machine in (
        str(LIBRARY),
        str(Path.home()) + "/",
        "ipykernel_",
        str(tmp_path),
    ):
        assert machine not in text
    printed, warned, html, result = outputs(book, "careful")
    assert printed["text"].split()[:2] == ["<scratch>", "~/x"]
    assert printed["text"].split()[2] == "src/kexue/__init__.py"
    assert printed["text"].split()[3:] == ["site-packages/numpy/__init__.py", "./book"]
    assert warned["text"].startswith("<cell>:5: UserWarning: careful")
    assert html["data"]["text/html"] == "<i>&lt;scratch&gt;</i>"
    assert result["data"]["text/plain"] == "'<scratch>'"
    assert book.kexue("run", "--force").returncode == 0
    assert stored(book) == first


def test_a_long_line_is_stored_as_fast_as_a_short_one(tmp_path: Path):
    """Quadratic time would be hours here: the limit of the test is the measure."""
    paths, line = MachinePaths(tmp_path, tmp_path / "scratch"), "/a\r" * 2_000_000 + "end"
    assert paths.neutral(line) == line
    assert displays._as_on_a_terminal(line) == "end"


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (
            "x = 1\n%no_such_magic 3\ny = 2",
            2,
            "raised UsageError: Line magic function `%no_such_magic` not found",
        ),
        ("x = 1\n%timeit -n1 -r1 1 / 0", 2, "raised ZeroDivisionError"),
        ("x = 1\n\n\nraise ValueError('deep')", 4, "raised ValueError: deep"),
        ("%%no_such_cell_magic\nx", 1, "raised UsageError: Cell magic `%%no_such_cell_magic` not found"),
    ],
)
def test_an_error_says_which_line_and_what(book: TinyBook, body: str, line: int, message: str):
    path = book.write("one", body=body)
    done = book.kexue("run")
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    first = line_of(path, body.split("\n")[0])
    assert f"one.md:{first + line - 1}: code cell 3 of 4 {message}" in told


@pytest.mark.parametrize("tag", ["raises-exception", "skip-execution"])
def test_a_tag_that_hides_what_a_cell_does_is_refused_before_the_run(
    book: TinyBook, tmp_path: Path, tag: str
):
    ran = tmp_path / "ran"
    path = book.write("one", body=f":tags: [{tag}]\nopen({str(ran)!r}, 'w')")
    done = book.kexue("run")
    assert done.returncode == 1
    line = line_of(path, f"open({str(ran)!r}, 'w')")
    assert f"one.md:{line}: the tag `{tag}` would" in " ".join(done.stderr.split())
    assert not ran.exists()


def test_an_exception_of_many_words_is_cut(book: TinyBook):
    book.write("one", body="raise ValueError('begin' + 'x' * 5_000_000 + 'the end')")
    done = book.kexue("run")
    assert done.returncode == 1
    assert "ValueError: begin" in done.stderr
    assert len(done.stderr) < 10_000
    (failure,) = book.store.glob("failed/*/failure.json")
    assert failure.stat().st_size < 100_000
    assert failure.with_name("partial.ipynb").stat().st_size < 100_000


# ---------------------------------------------------------------- the gauge


def shown(kind: str, **content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "content": content}


def test_a_cell_has_a_limit_for_all_the_text_it_shows():
    gauge, half = Gauge(), "x" * (messages.TEXT_LIMIT // 2)
    first, second = (shown("display_data", data={"text/html": half, "text/plain": ""}) for _ in range(2))
    assert gauge.lets(first, 0)
    assert gauge.lets(second, 0)
    assert second["content"]["data"]["text/html"] == half
    third = shown("update_display_data", data={"text/html": "more", "image/png": "small"})
    assert gauge.lets(third, 0)
    assert third["content"]["data"] == {
        "text/plain": "[output left out here: more than 1,000,000 characters]"
    }
    printed = shown("stream", text="words")
    assert not gauge.lets(printed, 0)
    assert gauge.lets(shown("stream", text="words"), 1)  # another cell has a limit of its own


def test_what_is_measured_is_not_counted_with_the_text_nor_is_a_picture():
    gauge = Gauge()
    data = {MEASUREMENT: {"values": [0.5] * 400_000}, "image/png": "x" * 2_000_000, "text/html": "row"}
    for _ in range(3):
        message = shown("display_data", data=dict(data))
        assert gauge.lets(message, 0)
        assert message["content"]["data"] == data


def test_an_error_is_cut_in_the_middle():
    message = shown("error", ename="E", evalue="a" * 100_000, traceback=["first", "b" * 100_000, "last"])
    assert Gauge().lets(message, 0)
    (traceback,) = message["content"]["traceback"]
    assert traceback.startswith("first")
    assert traceback.endswith("last")
    assert max(len(traceback), len(message["content"]["evalue"])) < messages.ERROR_LIMIT + 100
