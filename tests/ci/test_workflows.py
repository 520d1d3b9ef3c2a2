"""The workflows: valid, without a finding of zizmor, and closed to forks where they can do harm."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.book.chapters import ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
HOSTED = "ubuntu-24.04"
OWN = "$/.github/workflows/"  # a workflow of this repository, at the commit that runs
BY_ANYONE = {
    "pull_request",
    "pull_request_target",
    "workflow_run",
    "issue_comment",
    "issues",
    "fork",
    "watch",
}


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML takes its key `on` for the truth value."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    events = workflow.pop(True)
    events = (
        dict.fromkeys([events] if isinstance(events, str) else events)
        if not isinstance(events, dict)
        else events
    )
    return {**workflow, "on": events}


WORKFLOWS = {path.name: read(path) for path in FILES}


def jobs(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The jobs of a workflow, and those of the workflows of ours that it calls."""
    for job in workflow["jobs"].values():
        yield job
        if job.get("uses", "").startswith(OWN):
            yield from jobs(WORKFLOWS[job["uses"].removeprefix(OWN)])


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Their steps."""
    for job in jobs(workflow):
        yield from job.get("steps", [])


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the environment."""
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True, cwd=ROOT
    )


def test_they_follow_the_schema():
    assert FILES
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES)
    assert done.returncode == 0, done.stdout


def test_dependabot_keeps_the_actions_up_to_date():
    path = FOLDER.with_name("dependabot.yml")
    done = tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", path)
    assert done.returncode == 0, done.stdout
    (update,) = yaml.safe_load(path.read_text(encoding="utf-8"))["updates"]
    assert update["package-ecosystem"] == "github-actions"


def test_zizmor_finds_nothing():
    done = tool(
        "zizmor",
        "--offline",
        "--strict-collection",
        "--no-ignores",
        "--persona",
        "pedantic",
        FOLDER,
        FOLDER.with_name("dependabot.yml"),
    )
    assert done.returncode == 0, done.stdout


def test_zizmor_would_find_something(tmp_path: Path):
    text = (FOLDER / "checks.yml").read_text(encoding="utf-8")
    (tmp_path / "open.yml").write_text(text.replace("  pull_request:\n", "  pull_request_target:\n"))
    done = tool("zizmor", "--offline", tmp_path / "open.yml")
    assert "dangerous-triggers" in done.stdout
    assert done.returncode != 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_action_is_named_by_its_commit_and_its_version(path: Path):
    for line in path.read_text(encoding="utf-8").splitlines():
        _, found, action = line.partition("uses: ")
        if found:
            assert action.startswith(OWN) or re.fullmatch(
                r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action
            ), line


@pytest.mark.parametrize("name", WORKFLOWS)
def test_permissions_default_to_none(name: str):
    assert WORKFLOWS[name]["permissions"] == {}
    for job in WORKFLOWS[name]["jobs"].values():
        assert isinstance(job["permissions"], dict)


def writes(workflow: dict[str, Any]) -> set[str]:
    """What the workflow's tokens may write."""
    return {what for job in jobs(workflow) for what, how in job["permissions"].items() if how != "read"}


def test_what_each_may_write():
    assert {name: writes(workflow) for name, workflow in WORKFLOWS.items() if writes(workflow)} == {
        "full-on-label.yml": {"actions"},
        "site.yml": {"contents", "pages", "id-token"},
        "release.yml": {"contents"},
    }


def test_no_secret_but_the_token_of_the_job():
    for path in FILES:
        assert "secrets" not in path.read_text(encoding="utf-8")


def test_only_full_leaves_hosted_machines_and_nobody_outside_starts_it():
    elsewhere = {
        name
        for name, workflow in WORKFLOWS.items()
        for job in jobs(workflow)
        if "uses" not in job and job["runs-on"] != HOSTED
    }
    assert elsewhere == {"full.yml"}
    assert set(WORKFLOWS["full.yml"]["on"]) == {"push", "schedule", "workflow_dispatch"}
    assert WORKFLOWS["full.yml"]["on"]["push"] == {"branches": ["main"]}


def test_the_gpu_job_is_in_a_group_an_environment_and_behind_the_plan():
    job = WORKFLOWS["full.yml"]["jobs"]["full"]
    assert job["runs-on"]["group"] == "gpu"
    assert job["environment"] == "gpu"
    assert job["needs"] == "plan"
    plan = WORKFLOWS["full.yml"]["jobs"]["plan"]
    assert "github.ref == 'refs/heads/main'" in plan["if"]
    checked_out = [
        step["with"].get("ref") for step in plan["steps"] + job["steps"] if "checkout" in step.get("uses", "")
    ]
    assert checked_out == [None, "${{ steps.admit.outputs.commit }}", "${{ needs.plan.outputs.commit }}"]
    names = [step.get("id") for step in plan["steps"]]
    assert names.index("admit") < names.index("plan")


def test_what_anyone_can_start():
    started = {name: BY_ANYONE & set(workflow["on"]) for name, workflow in WORKFLOWS.items()}
    assert {name: events for name, events in started.items() if events} == {
        "checks.yml": {"pull_request"},
        "full-on-label.yml": {"pull_request"},
    }


def test_the_label_runs_no_code_of_the_pull_request():
    workflow = WORKFLOWS["full-on-label.yml"]
    assert workflow["on"] == {"pull_request": {"types": ["labeled"]}}
    (job,) = workflow["jobs"].values()
    assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"]
    (step,) = job["steps"]
    assert "uses" not in step
    assert "--ref main" in step["run"]
    assert step["env"]["COMMIT"] == "${{ github.event.pull_request.head.sha }}"  # not what is pushed later


def test_a_job_that_may_write_runs_nothing_of_the_repository():
    for workflow in WORKFLOWS.values():
        for job in jobs(workflow):
            if any(how != "read" for how in job["permissions"].values()):
                ours = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
                assert not ours
                assert not [
                    step for step in job["steps"] if re.search(r"\bci/|\bmake\b", step.get("run", ""))
                ]


PUBLISHING = {
    ("site.yml", "github-pages"): {"pages", "id-token"},
    ("site.yml", "notebooks"): {"contents"},
    ("release.yml", "release"): {"contents"},
}


def test_publishing_goes_through_a_protected_environment():
    found = {}
    for name in ("site.yml", "release.yml"):
        workflow = WORKFLOWS[name]
        assert not BY_ANYONE & set(workflow["on"])
        assert workflow["concurrency"]["cancel-in-progress"] is False
        for job in jobs(workflow):
            if writes := {what for what, how in job["permissions"].items() if how != "read"}:
                environment = job["environment"]
                place = environment if isinstance(environment, str) else environment["name"]
                found[name, place] = writes
                assert name == "release.yml" or job["if"] == "github.ref == 'refs/heads/main'"
    assert found == PUBLISHING


def test_the_site_is_published_after_the_notebooks_that_its_buttons_open():
    site = WORKFLOWS["site.yml"]["jobs"]
    assert set(site["deploy"]["needs"]) == {"book", "notebooks"}
    made = {
        step["with"]["name"]
        for step in steps(WORKFLOWS["book.yml"])
        if "upload-artifact" in step.get("uses", "")
    }
    taken = [
        step["with"]["name"] for step in site["notebooks"]["steps"] if "download" in step.get("uses", "")
    ]
    assert taken == ["notebooks"]
    assert "notebooks" in made
    commands = [step.get("run", "") for step in WORKFLOWS["book.yml"]["jobs"]["build"]["steps"]]
    build = commands.index("make book")
    assert commands.index(".venv/bin/kexue publish --pdf") > build
    assert commands.index(".venv/bin/kexue notebooks _build/notebooks") > build
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["branch"] == "notebooks"


def test_the_branch_of_notebooks_is_what_was_made_and_nothing_else(tmp_path: Path):
    """The job's own commands, with a folder for GitHub."""
    job = WORKFLOWS["site.yml"]["jobs"]["notebooks"]
    origin = tmp_path / "someone" / "kexue"
    subprocess.run(["git", "init", "--quiet", "--bare", origin], check=True)
    for run, text in enumerate(("first", "second")):
        here = tmp_path / f"run{run}"
        page = here / "notebooks" / "book" / f"{text}.ipynb"
        page.parent.mkdir(parents=True)
        page.write_text(text)
        hook = here / "notebooks" / ".git" / "hooks" / "pre-commit"  # nothing that was downloaded is run
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
        hook.chmod(0o755)
        given = {
            "GITHUB_SERVER_URL": tmp_path.as_uri(),
            "GITHUB_REPOSITORY": "someone/kexue",
            "GITHUB_SHA": f"commit {run}",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        own = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_"))}
        for step in job["steps"]:
            if "run" in step:
                command = ["bash", "-e", "-c", step["run"]]
                subprocess.run(command, cwd=here, env={**own, **given, **job["env"]}, check=True)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", origin, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert git("ls-tree", "-r", "--name-only", "notebooks") == "book/second.ipynb"
    assert git("log", "--format=%s", "notebooks") == "The executed chapters of commit 1"
    assert git("branch", "--format=%(refname:short)") == "notebooks"
    assert not (tmp_path / "hooked").exists()


def test_results_are_uploaded_even_when_a_chapter_fails():
    after = WORKFLOWS["full.yml"]["jobs"]["full"]["steps"]
    run = next(number for number, step in enumerate(after) if step.get("run") == "ci/full.sh")
    assert len(after) > run + 1
    assert all(step["if"].startswith("always()") for step in after[run + 1 :])


def test_only_full_keeps_runs_and_no_release_reads_a_cache():
    runs = {
        name
        for name, workflow in WORKFLOWS.items()
        if any("actions/cache" in step.get("uses", "") for step in steps(workflow))
    }
    packages = {
        name
        for name, workflow in WORKFLOWS.items()
        if any("cache" in step.get("with", {}) for step in steps(workflow))
    }
    assert runs == {"full.yml"}
    assert packages == {"checks.yml"}  # a pull request's cache is its own; what may publish installs anew


def test_runs_are_kept_of_main_s_own_commits_alone():
    """A labelled branch's code runs with the store at hand: what it leaves there must not become main's record."""
    held = [step for step in steps(WORKFLOWS["full.yml"]) if "actions/cache" in step.get("uses", "")]
    kept = [step for step in held if "actions/cache/restore@" not in step["uses"]]
    assert kept
    for step in kept:
        assert "actions/cache/save@" in step["uses"]  # and nothing that saves by itself
        assert step["if"] == "always() && needs.plan.outputs.commit == github.sha"
    assert "github.ref == 'refs/heads/main'" in WORKFLOWS["full.yml"]["jobs"]["plan"]["if"]
    assert all(step["with"]["key"].startswith("runs-of-main-") for step in held)


def test_every_supported_python_is_tested_and_publishes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    job = WORKFLOWS["checks.yml"]["jobs"]["test"]
    versions = job["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.11,<3.14"
    commands = [step.get("run", "") for step in job["steps"]]
    assert commands.index("make test") < commands.index(".venv/bin/kexue build --profile smoke")


def test_a_push_to_main_builds_the_quick_book_once():
    building = [
        job.get("if", "")
        for workflow in WORKFLOWS.values()
        if "main" in (workflow["on"].get("push") or {}).get("branches", ())
        for job in workflow["jobs"].values()
        if job.get("uses") == f"{OWN}book.yml"
    ]
    assert sorted(building) == ["github.event_name == 'pull_request'", "github.ref == 'refs/heads/main'"]


def test_a_pull_request_says_which_verdicts_changed():
    (step,) = [step for step in steps(WORKFLOWS["checks.yml"]) if "ci/verdicts.py" in step.get("run", "")]
    assert step["run"].endswith('>>"$GITHUB_STEP_SUMMARY"')
    assert step["if"] == "${{ !cancelled() }}"


def test_every_job_has_a_limit_of_time_and_no_checkout_keeps_its_token():
    for workflow in WORKFLOWS.values():
        for job in jobs(workflow):
            assert "uses" in job or job["timeout-minutes"] <= 1440
        for step in steps(workflow):
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_they_are_thin_and_what_they_call_is_there():
    for workflow in WORKFLOWS.values():
        for step in steps(workflow):
            command = step.get("run", "")
            assert len(command.splitlines()) <= 1, f"belongs in ci/: {command}"
            for script in re.findall(r"\bci/[\w/.-]+", command):
                assert (ROOT / script).is_file(), script
            for target in re.findall(r"\bmake ([\w-]+)", command):
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
