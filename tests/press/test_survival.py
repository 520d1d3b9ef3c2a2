"""What must survive: real processes are killed, stored runs are damaged, disks are full. No mocks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.press.processes import assert_gone, can_mount, hang, note_pid, wait_for_pids
from tests.press.tiny_book import TinyBook


def test_a_killed_kernel_is_named_and_hurts_nobody_else(book: TinyBook, tmp_path: Path):
    book.write("good")
    path = book.write("killed", body=hang(tmp_path / "pids"))
    process = book.start("run", "--jobs", "2")
    (pid,) = wait_for_pids(tmp_path / "pids")
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    line = path.read_text().split("\n").index("import os") + 1
    assert f"book/language/killed.md:{line}: code cell 3 of 4" in err
    assert "killed by SIGKILL" in err
    assert "MB of memory" in err
    assert {row["chapter"]: row["state"] for row in book.json("list")} == {
        "good": "fresh",
        "killed": "failed",
    }
    (failed,) = (book.store / "failed").iterdir()
    partial = json.loads((failed / "partial.ipynb").read_text())
    assert any("profile" in "".join(cell["source"]) for cell in partial["cells"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ending_the_command_leaves_no_kernel_and_loses_no_finished_run(book: TinyBook, tmp_path: Path, how):
    counter = tmp_path / "finished"
    book.write("afirst", body=note_pid(counter))
    book.write("second", body=hang(tmp_path / "pids"))
    process = book.start("run", "--jobs", "1")
    pids = wait_for_pids(tmp_path / "pids")
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == (-9 if how is signal.SIGKILL else 130)
    assert_gone(pids)
    assert how is signal.SIGKILL or not list((book.store / "tmp").iterdir())
    assert book.state("afirst") == "fresh"
    book.write("second")
    again = book.kexue("run")
    assert again.returncode == 0, again.stderr
    assert len(counter.read_text().splitlines()) == 1  # what had finished was not run again


def test_a_killed_run_process_leaves_no_kernel_and_is_told(book: TinyBook, tmp_path: Path):
    book.write("one", body=hang(tmp_path / "pids"))
    process = book.start("run")
    (kernel,) = wait_for_pids(tmp_path / "pids")
    worker = psutil.Process(kernel).parent()
    assert worker is not None
    worker.kill()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the process of the run was killed by SIGKILL" in err
    assert_gone([kernel])
    assert book.state("one") == "failed"


def test_what_a_kernel_started_goes_with_it(book: TinyBook, tmp_path: Path):
    pids = tmp_path / "pids"
    child = f"import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nopen({str(pids)!r}, 'a').write(str(child.pid) + '\\n')"
    book.write("one", body=child)
    assert book.kexue("run").returncode == 0
    assert_gone(wait_for_pids(pids))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('boom')", "code cell 3 of 4 raised ValueError: boom"),
        ("import sys\nsys.exit(0)", "code cell 3 of 4 raised SystemExit: 0"),
        ("import os\nos._exit(0)", "code cell 3 of 4 was running when the kernel ended with exit code 0"),
        ("import os\nos.abort()", "was running when the kernel was killed by SIGABRT"),
        ("1 +", "invalid syntax"),
    ],
)
def test_a_bad_cell_is_never_green(book: TinyBook, body: str, message: str):
    book.write("bad", body=body)
    book.write("good")
    done = book.kexue("run")
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"cell_limit": 2}, "ran past the limit of 2 s a cell"),
        ({"chapter_limit": 4}, "when the chapter reached its limit of 4 s"),
    ],
)
def test_a_hung_cell_meets_its_limit(book: TinyBook, tmp_path: Path, limits: dict[str, float], message: str):
    book.write("hung", body=hang(tmp_path / "pids"), **limits)
    done = book.kexue("run")
    assert done.returncode == 1
    assert message in done.stderr
    assert_gone(wait_for_pids(tmp_path / "pids"))


def test_a_parameter_the_chapter_does_not_know_is_an_error(book: TinyBook):
    book.write("one", device="machine = 'auto'")
    done = book.kexue("run")
    assert done.returncode == 1
    assert "unknown parameter device" in done.stderr


def damage_truncate(run: Path) -> None:
    target = run / "notebook.ipynb"
    target.write_bytes(target.read_bytes()[:100])


def damage_empty(run: Path) -> None:
    (run / "run.json").write_bytes(b"")


def damage_flip(run: Path) -> None:
    target = run / "run.json"
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(bytes(content))


def damage_manifest(run: Path) -> None:
    target = run / "manifest.json"
    target.write_text(target.read_text().replace('"seed": 0', '"seed": 1'))


def damage_half_deleted(run: Path) -> None:
    (run / "notebook.ipynb").unlink()


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_empty, damage_flip, damage_manifest, damage_half_deleted]
)
def test_a_damaged_run_counts_as_absent_and_is_made_again(book: TinyBook, damage):
    book.write("one")
    assert book.kexue("run").returncode == 0
    (manifest,) = (book.store / "runs").glob("*/*/manifest.json")
    damage(manifest.parent)
    assert book.state("one") == "stale"
    assert "the stored run is damaged" in book.kexue("why").stdout
    assert [row["verdict"] for row in book.json("claims")] == ["untested", "untested"]
    assert book.kexue("run").returncode == 0
    assert book.state("one") == "fresh"
    assert len(list((book.store / "runs").glob("*/*"))) == 1


def test_two_commands_at_once_make_one_run(book: TinyBook, tmp_path: Path):
    counter = tmp_path / "runs"
    book.write("one", body=note_pid(counter) + "\nimport time\ntime.sleep(3)")
    both = [book.start("run"), book.start("run")]
    ends = [process.communicate(timeout=90) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert len(counter.read_text().splitlines()) == 1
    assert book.state("one") == "fresh"


def in_namespace(book: TinyBook, mount: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `kexue` where the store is mounted as `mount` says; the mount ends with the process."""
    if not can_mount():
        pytest.skip("this system lets nobody mount in a namespace of one's own")
    command = f'{mount} && exec "$@"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "sh", *arguments],
        cwd=book.root,
        env={**os.environ, "KEXUE_STORE": str(book.store)},
        capture_output=True,
        text=True,
        timeout=120,
    )


KEXUE = (sys.executable, "-m", "kexue.cli")


def test_a_read_only_store_serves_what_it_has_and_refuses_the_rest(book: TinyBook):
    book.write("one")
    assert book.kexue("run").returncode == 0
    read_only = f"mount --bind {book.store} {book.store} && mount -o remount,bind,ro {book.store}"
    served = in_namespace(book, read_only, *KEXUE, "run")
    assert served.returncode == 0, served.stderr
    book.write("one", body="x = 2")
    refused = in_namespace(book, read_only, *KEXUE, "run")
    assert refused.returncode == 2
    assert "is read-only; free it or set KEXUE_STORE" in refused.stderr
    assert book.state("one") == "stale"


def test_a_full_disk_is_told_and_stores_nothing_half(book: TinyBook):
    book.write("big", body="import os, base64\nprint(base64.b64encode(os.urandom(700_000)).decode())")
    book.store.mkdir()
    listing = f"find {book.store}/runs -type f 2>/dev/null | wc -l"
    done = in_namespace(
        book,
        f"mount -t tmpfs -o size=300k tmpfs {book.store}",
        "sh",
        "-c",
        f"{' '.join(KEXUE)} run; echo exit $?; {listing}",
    )
    assert "exit 1" in done.stdout, done.stderr
    assert done.stdout.split()[-1] == "0"
    assert "has no space left; free it or set KEXUE_STORE" in done.stderr
    assert book.kexue("run").returncode == 0  # outside the namespace the disk has room


def test_a_flood_of_output_is_cut_and_costs_no_measurement(book: TinyBook):
    flood = "import time\nend = time.time() + 3\nwhile time.time() < end:\n    print('x' * 100_000)\n    time.sleep(0.01)"
    book.write("flood", body=flood)
    done = book.kexue("run")
    assert done.returncode == 0, done.stderr
    (notebook,) = (book.store / "runs").glob("*/*/notebook.ipynb")
    assert notebook.stat().st_size < 2_000_000
    assert "output cut here" in notebook.read_text()
    assert book.json("claims")[0]["values"] == [1.0]


def test_a_chapter_renamed_keeps_its_run_and_one_removed_is_gone(book: TinyBook):
    path = book.write("before", title="Same")
    assert book.kexue("run").returncode == 0
    path.unlink()
    book.write("after", title="Same")
    assert [(row["chapter"], row["state"]) for row in book.json("list")] == [("after", "fresh")]
    (book.root / "book" / "language" / "after.md").unlink()
    assert book.json("list") == []
    assert book.json("claims") == []


def test_one_failed_seed_leaves_the_others(book: TinyBook):
    book.write("seeds", body="assert seed != 1, 'unlucky'", seeds=3)
    done = book.kexue("run")
    assert done.returncode == 1
    assert "2 of 3" in done.stdout
    (row, _) = book.json("claims")
    assert row["seeds"] == [0, 2]
    assert row["n"] == 2


def test_ending_one_command_leaves_the_run_another_is_making(book: TinyBook, tmp_path: Path):
    book.write("one", body=note_pid(tmp_path / "pids") + "\nimport time\ntime.sleep(6)")
    maker = book.start("run")
    wait_for_pids(tmp_path / "pids")
    waiting = book.start("run")
    time.sleep(3)
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=30)
    _, err = maker.communicate(timeout=60)
    assert maker.returncode == 0, err
    assert book.state("one") == "fresh"


def test_an_interrupted_run_is_no_failure(book: TinyBook, tmp_path: Path):
    book.write("one", body=hang(tmp_path / "pids"))
    process = book.start("run")
    wait_for_pids(tmp_path / "pids")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert book.state("one") == "never run"


def test_what_a_kernel_started_in_a_session_of_its_own_goes_with_it(book: TinyBook, tmp_path: Path):
    pids = tmp_path / "pids"
    start = "import subprocess, time\nchild = subprocess.Popen(['sleep', '600'], start_new_session=True)"
    book.write("one", body=f"{start}\nopen({str(pids)!r}, 'a').write(str(child.pid) + '\\n')\ntime.sleep(1)")
    assert book.kexue("run").returncode == 0
    assert_gone(wait_for_pids(pids))


def test_the_users_ipython_start_up_files_decide_nothing(book: TinyBook, tmp_path: Path):
    startup = tmp_path / "home" / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("hidden = 41\n")
    book.write("one", body="x = hidden")
    done = book.kexue("run", env={"HOME": str(tmp_path / "home")})
    assert done.returncode == 1
    assert "NameError: name 'hidden' is not defined" in done.stderr


def test_a_seed_or_profile_overwritten_in_the_chapter_is_refused(book: TinyBook):
    path = book.write("one", seeds=2)
    claims_cell = "```{code-cell} ipython3\n:tags: [claims]"
    override = "```{code-cell} ipython3\nseed = 0\n```\n\n"
    path.write_text(path.read_text().replace(claims_cell, override + claims_cell))
    done = book.kexue("run")
    assert done.returncode == 1
    assert "was to run with {'profile': 'quick', 'seed': 1}" in done.stderr


def test_an_expectation_that_depends_on_the_profile_is_refused(book: TinyBook):
    path = book.write("one")
    text = path.read_text()
    assert '    """,\n' in text
    path.write_text(
        text.replace('    """,\n', '    """.replace("10", "0.5" if profile == "smoke" else "10"),\n')
    )
    done = book.kexue("run", "--profile", "smoke")
    assert done.returncode == 1
    assert "the claims cell may hold only" in done.stderr


def test_claims_that_are_other_ones_when_run_are_refused(book: TinyBook):
    path = book.write("one")
    before = "import kexue.claims\n\nsound = kexue.claims.declare\nkexue.claims.declare = "
    other = before + "lambda text, **run: sound(text.replace('over: seeds', 'over: exact'), **run)"
    claims_cell = "```{code-cell} ipython3\n:tags: [claims]"
    path.write_text(
        path.read_text().replace(claims_cell, f"```{{code-cell}} ipython3\n{other}\n```\n\n{claims_cell}")
    )
    done = book.kexue("run")
    assert done.returncode == 1
    assert "declares other claims when run" in done.stderr


def test_two_measurements_of_one_claim_are_refused(book: TinyBook):
    book.write("one", body='claims.measure("small", 1)')
    done = book.kexue("run")
    assert done.returncode == 1
    assert "chapter 'one' measured small more than once; one measurement a run" in done.stderr


@pytest.mark.parametrize("ending", ["raise SystemExit(0)", "exit()", "1 / 0"])
def test_a_claims_cell_cannot_end_the_command(book: TinyBook, ending: str):
    path = book.write("bad")
    path.write_text(
        path.read_text().replace("from kexue.claims import", f"{ending}\nfrom kexue.claims import", 1)
    )
    book.write("good")
    done = book.kexue("run")
    assert done.returncode == 1
    assert "the claims cell may hold only" in done.stderr
    listed = json.loads(book.kexue("list", "--json").stdout)
    assert {row["chapter"]: row["state"] for row in listed} == {"good": "fresh", "bad": "failed"}
