"""The workflows: valid, without a finding of zizmor, and closed to forks where they can do harm."""

import re
import subprocess
import sys
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


def test_zizmor_finds_nothing():
    done = tool("zizmor", "--offline", "--strict-collection", "--no-ignores", "--persona", "pedantic", FOLDER)
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
        "site.yml": {"pages", "id-token"},
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


@pytest.mark.parametrize(("name", "environment"), [("site.yml", "github-pages"), ("release.yml", "release")])
def test_publishing_goes_through_a_protected_environment(name: str, environment: str):
    workflow = WORKFLOWS[name]
    assert "pull_request" not in workflow["on"]
    publishing = [job for job in jobs(workflow) if any(how != "read" for how in job["permissions"].values())]
    (job,) = publishing
    found = job["environment"]
    assert (found if isinstance(found, str) else found["name"]) == environment
    assert workflow["concurrency"]["cancel-in-progress"] is False


def test_results_are_uploaded_even_when_a_chapter_fails():
    after = WORKFLOWS["full.yml"]["jobs"]["full"]["steps"]
    run = next(number for number, step in enumerate(after) if step.get("run") == "ci/full.sh")
    assert len(after) > run + 1
    assert all(step["if"] == "always()" for step in after[run + 1 :])


def test_only_full_keeps_a_cache_and_no_release_reads_it():
    cached = {
        name
        for name, workflow in WORKFLOWS.items()
        if any("cache" in step.get("uses", "") for step in steps(workflow))
    }
    assert cached == {"full.yml"}


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
