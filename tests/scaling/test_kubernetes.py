"""The profile for Kubernetes and the image, as far as they go without a cluster and a registry."""

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_api
import pytest
import s3_server
import yaml
from copies import Copy, copied
from shared import ROOT

PROFILE = "workflow/profiles/kubernetes"
TOOL = shutil.which("buildah") or shutil.which("podman")


@pytest.fixture(scope="module")
def launcher(s3: s3_server.Store, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    for package in ("snakemake_storage_plugin_s3", "snakemake_executor_plugin_kubernetes"):
        pytest.importorskip(package, reason=f"{package} is not installed: make scaling")
    copy = copied(tmp_path_factory.mktemp("launcher") / "copy")
    copy.ran("dvc", "remote", "add", "--default", "storage", f"s3://{s3_server.BUCKET}/superres")
    copy.commit()
    return copy


def snakemake(
    copy: Copy, store: s3_server.Store, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with the profile, whose bucket is that of the server here."""
    here = ["--default-storage-prefix", f"s3://{s3_server.BUCKET}/snakemake", "--storage-s3-endpoint-url", store.url]
    command = [sys.executable, "-m", "snakemake", "report", "--workflow-profile", PROFILE, *here, *arguments]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    kept |= s3_server.KEYS | {"MLFLOW_TRACKING_URI": "http://mlflow.example"} | environment
    return subprocess.run(command, cwd=copy.folder, env=kept, capture_output=True, text=True)


def test_the_profile_plans_every_stage(launcher: Copy, s3: s3_server.Store) -> None:
    done = snakemake(launcher, s3, "-n")
    assert done.returncode == 0, done.stderr
    listed = launcher.ran("dvc", "stage", "list", "--all", "--name-only").split()
    assert set(re.findall(r"(?m)^(?:Job \d+|localrule|rule)[: ]\s?([\w@]+)", done.stdout + done.stderr)) == set(listed)


def test_a_stage_becomes_a_pod_with_the_image_the_keys_and_the_memory(
    launcher: Copy, s3: s3_server.Store, tmp_path: Path
) -> None:
    profile = yaml.safe_load((ROOT / PROFILE / "config.yaml").read_text())
    with kubernetes_api.started(tmp_path) as api:
        quick = ["--retries", "0", "--seconds-between-status-checks", "1"]
        done = snakemake(launcher, s3, *quick, KUBECONFIG=str(api.config))
    assert done.returncode == 1, "no job ends well there"
    (containers,) = zip(*(job["spec"]["template"]["spec"]["containers"] for job in api.jobs), strict=True)
    commands = [shlex.split(container["args"][1]) for container in containers]
    started = {after(words, "--target-jobs").rstrip(":"): number for number, words in enumerate(commands)}
    assert {*started} == {"fetch@photos", "fetch@judged", "operators"}, "what depends on nothing"
    container, words = containers[started["operators"]], commands[started["operators"]]
    assert container["image"] == profile["container-image"]
    assert set(profile["config"]) <= {*words}
    assert after(words, "--deploy-sources").startswith(f"s3://{s3_server.BUCKET}/snakemake/")
    assert {variable["name"] for variable in container["env"]} >= {*profile["envvars"]}
    (secret,) = api.secrets
    assert base64.b64decode(secret["data"]["aws_access_key_id"]).decode() == s3_server.KEYS["AWS_ACCESS_KEY_ID"]
    meta = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["operators"]["meta"]
    assert container["resources"]["requests"]["memory"] == f"{meta['mem_mb']}M"
    assert workdir() == container["workingDir"]


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile with their arguments."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line]


def workdir() -> str:
    return next(argument for name, argument in instructions() if name == "WORKDIR")


def test_the_image_is_made_of_files_that_are_there_and_of_a_base_that_must_be_named() -> None:
    names = [name for name, _ in instructions()]
    assert names[:2] == ["ARG", "FROM"]
    assert instructions()[:2] == [("ARG", "BASE"), ("FROM", "${BASE}")], "without a default, so a digest is chosen"
    for name, argument in instructions():
        if name == "COPY":
            assert all((ROOT / source).is_file() for source in argument.split()[:-1])


def test_the_versions_that_the_image_installs_fit_together() -> None:
    (command,) = [argument for name, argument in instructions() if name == "RUN" and "pip install" in argument]
    words = shlex.split(command.replace("/locked/scaling", "workflow/envs/scaling").replace("/locked/", ""))
    checked = [sys.executable, *words[1:], "--dry-run", "--no-index", "--quiet", "--report", "-"]
    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # and each is what is installed here, so none is looked for elsewhere


@pytest.mark.skipif(TOOL is None, reason="neither buildah nor podman is installed (on Debian: apt install buildah)")
def test_the_image_is_built_by_a_rootless_tool() -> None:
    base = os.environ.get("SR_BASE_IMAGE", "docker.io/library/python:3.11-slim")
    if subprocess.run([str(TOOL), "pull", "--quiet", base], capture_output=True).returncode:
        pytest.skip(f"{base} cannot be pulled here; SR_BASE_IMAGE names another image with Python 3.11")
    build = [str(TOOL), "build", "--build-arg", f"BASE={base}", "--tag", "superres-test", "."]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
