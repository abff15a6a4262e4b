"""A look-alike of Slurm on this machine: sbatch, srun, sacct and scancel over a folder of job states.

`install` puts the commands into a folder for PATH. `limits.json` there says how many jobs run at a time; the
partition `full` is refused as sbatch refuses one that is not there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel")


def install(folder: Path, *, at_a_time: int = 2) -> Path:
    """The commands, in a new folder."""
    folder.mkdir()
    for name in COMMANDS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "{folder}" "$@"\n')
        script.chmod(0o755)
    (folder / "limits.json").write_text(json.dumps({"at_a_time": at_a_time}))
    (folder / "jobs").mkdir()
    return folder


def jobs(folder: Path) -> dict[int, dict]:
    """What is known of every job."""
    return {int(path.stem): json.loads(path.read_text()) for path in sorted((folder / "jobs").glob("*.json"))}


def _set(folder: Path, number: int, **changed: object) -> None:
    path = folder / "jobs" / f"{number}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(known | changed))
    os.replace(temporary, path)


def sbatch(folder: Path, script: str) -> int:
    text = Path(script).read_text()
    if "#SBATCH --partition=full" in text:
        print("sbatch: error: invalid partition specified: full", file=sys.stderr)
        return 1
    number = max(jobs(folder), default=0) + 1
    _set(folder, number, state="PENDING", text=text)
    subprocess.Popen(
        [sys.executable, __file__, "job", str(folder), str(number), script],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {number}")
    return 0


def job(folder: Path, number: str, script: str) -> int:
    """One job from the queue to its end, in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # that of the job's processes; the batch step outlives it
    mine = int(number)
    limit = json.loads((folder / "limits.json").read_text())["at_a_time"]
    while sum(one["state"] == "RUNNING" for one in jobs(folder).values()) >= limit:
        if jobs(folder)[mine]["state"] != "PENDING":
            break
        time.sleep(0.1)
    if jobs(folder)[mine]["state"] != "PENDING":  # cancelled before it began
        return 0
    text = Path(script).read_text()
    out, err = (
        re.search(rf"^#SBATCH --{name}=(\S+)", text, re.M)[1].replace("%j", number) for name in ("output", "error")
    )
    _set(folder, mine, state="RUNNING", session=os.getpid())
    with open(out, "ab") as output, open(err, "ab") as errors:
        code = subprocess.run(
            ["bash", script],
            env=os.environ | {"SLURM_JOB_ID": number},
            stdout=output,
            stderr=errors,
            preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
        ).returncode
    if jobs(folder)[mine]["state"] == "RUNNING":
        _set(folder, mine, state="COMPLETED" if code == 0 else "FAILED")
    return 0


def srun(folder: Path, *argv: str) -> int:
    rest = list(argv)
    targets = {}
    while rest[0].startswith("--"):
        name = rest.pop(0)
        if name != "--unbuffered":
            targets[name] = rest.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
    env = os.environ | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1", "SLURM_NODEID": "0"}
    for stream, name in ((1, "--output"), (2, "--error")):
        os.dup2(os.open(targets[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.execvpe(rest[0], rest, env)


def sacct(folder: Path, *argv: str) -> int:
    asked = [int(word) for before, word in zip(argv, argv[1:], strict=False) if before == "-j"]
    print("JobID|State|NodeList")
    for number in asked:
        print(f"{number}|{jobs(folder)[number]['state']}|here")
    return 0


def scancel(folder: Path, number: str, state: str = "CANCELLED by 0") -> int:
    known = jobs(folder)[int(number)]
    if known["state"] not in ("PENDING", "RUNNING"):
        return 0
    if "session" in known:
        end(known["session"])
    _set(folder, int(number), state=state)
    return 0


def end(session: int) -> None:
    """Ends every process of a job: asked first, killed after three seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        members = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and _session(p) == session]
        for pid in members:
            if pid != session or number == signal.SIGKILL:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        deadline = time.monotonic() + 3
        while number == signal.SIGTERM and time.monotonic() < deadline:
            if not any(Path(f"/proc/{pid}").exists() for pid in members if pid != session):
                break
            time.sleep(0.05)


def _session(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, IndexError):
        return -1


def lose(folder: Path, number: int) -> None:
    """Takes a job's machine away: its processes are killed at once."""
    session = jobs(folder)[number]["session"]
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _session(process) == session:
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
    _set(folder, number, state="NODE_FAIL")


if __name__ == "__main__":
    name, place, *rest = sys.argv[1:]
    command = {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scancel": scancel, "job": job}[name]
    sys.exit(command(Path(place), *rest))
