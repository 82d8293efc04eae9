"""Fuzz a reader: ``python -m tests.fuzz TARGET --seconds 600 --seed 0``.

Each input is a valid file, damaged. A finding is an error that the reader does not document, a
traceback or another exit code of the command, more than 512 MB for one input, or more than 20
seconds. Each kind of finding is kept once, with its input, in the folder that ``--keep`` names.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

MOST_BYTES = 512 << 20
MOST_SECONDS = 20.0
LEFT_FOR_READING = 6 << 30


class Oracle:
    """Runs inputs through a target and keeps what must not be."""

    def __init__(self, target, folder, keep):
        self.target = target
        self.folder = folder
        self.keep = keep
        self.n_inputs = 0
        self.findings = {}
        self.largest_rise = 0
        self.longest = 0.0
        self.started = time.monotonic()
        self.last_saved = 0.0

    def __call__(self, number, content):
        """Try one input: this content in place of the file of that number."""
        name = self.target.files[number][0]
        path = self.folder / name
        path.write_bytes(content)
        before, start = start_of_peak(), time.perf_counter()
        try:
            self.target.read(path, self.n_inputs, number)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            self.found(f"{type(error).__name__}: {error}", traceback.format_exc(), name, content)
        seconds, rise = time.perf_counter() - start, peak_bytes() - before
        if rise > MOST_BYTES and self.n_inputs > 20:
            self.found(f"memory: rose by {rise >> 20} MB", "", name, content)
        if seconds > MOST_SECONDS and self.n_inputs > 20:
            self.found(f"time: took {seconds:.0f} s", "", name, content)
        self.n_inputs += 1
        if self.n_inputs > 20:
            self.largest_rise = max(self.largest_rise, rise)
            self.longest = max(self.longest, seconds)
        if time.monotonic() - self.last_saved > 2:
            self.save()

    def found(self, what, trace, name, content):
        """Keep a finding, once for each place in our code."""
        places = re.findall(r'File "[^"]*/((?:geocells|geoloc_models)/[^"]+)", line (\d+)', trace)
        kind = what.split(":")[0]
        key = f"{kind} at {':'.join(places[-1])}" if places else re.sub(r"\d+", "N", what)[:80]
        known = self.findings.setdefault(key, {"what": what[:300], "file": name, "times": 0})
        known["times"] += 1
        if known["times"] == 1:
            stem = f"{len(self.findings):02d}-{kind}"
            (self.keep / f"{stem}-{name}").write_bytes(content)
            (self.keep / f"{stem}.txt").write_text(f"{key}\n{what}\n{trace}")
            self.save()

    def save(self):
        """Write the state for whoever waits for this process."""
        self.last_saved = time.monotonic()
        state = {
            "inputs": self.n_inputs,
            "seconds": round(self.last_saved - self.started, 1),
            "largest_rise_mb": self.largest_rise >> 20,
            "longest_seconds": round(self.longest, 2),
            "findings": self.findings,
        }
        draft = self.keep / ".state.json"
        draft.write_text(json.dumps(state, indent=1))
        os.replace(draft, self.keep / "state.json")


def start_of_peak():
    """Memory now, in bytes; where the system can, the peak starts anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes():
    """Most memory that was resident since the last start."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10
    except (OSError, TypeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def work(name, seconds, seed, keep):
    """Fuzz in this process."""
    warnings.simplefilter("ignore")
    from tests.fuzz.mutate import another
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch)
        target = TARGETS[name](folder)
        oracle = Oracle(target, folder, keep)
        # Imports and compilers run now, before memory and time are measured.
        for number, (_, content, _) in enumerate(target.files):
            oracle(number, content)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + LEFT_FOR_READING,) * 2)
        count = 0
        while time.monotonic() - oracle.started < seconds:
            oracle(*another(target.files, random.Random(f"{seed}-{count}")))
            count += 1
        oracle.save()


def main():
    """Fuzz in a process of its own, which is started again where an input ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=("tables", "photos", "cells", "bundles"))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder of findings")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep = options.keep or Path(tempfile.mkdtemp(prefix=f"fuzz-{options.target}-"))
    keep.mkdir(parents=True, exist_ok=True)
    if options.worker:
        work(options.target, options.seconds, options.seed, keep)
        return
    total = {"inputs": 0, "seconds": 0.0, "largest_rise_mb": 0, "longest_seconds": 0.0}
    findings, deadline, start = {}, time.monotonic() + options.seconds, 0
    while (left := round(deadline - time.monotonic())) > 0:
        own = keep / f"run-{start}"
        own.mkdir(exist_ok=True)
        command = [
            sys.executable, "-m", "tests.fuzz", options.target, "--seconds", str(left), "--seed",
            str(options.seed + start), "--keep", str(own), "--worker",
        ]  # fmt: skip
        with (own / "log.txt").open("wb") as log:
            ended = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        state_file = own / "state.json"
        state = json.loads(state_file.read_text()) if state_file.exists() else None
        if state is None:
            sys.exit(f"The fuzzer did not start; see {own / 'log.txt'}.")
        total["inputs"] += state["inputs"]
        total["seconds"] += state["seconds"]
        for name in ("largest_rise_mb", "longest_seconds"):
            total[name] = max(total[name], state[name])
        for key, finding in state["findings"].items():
            known = findings.setdefault(key, finding)
            if known is not finding:
                known["times"] += finding["times"]
        if ended != 0:
            key = f"the process ended with {ended}"
            findings.setdefault(key, {"what": f"see {own}", "file": "", "times": 0})["times"] += 1
        start += 1
    print(f"{options.target}: {total['inputs']} inputs in {total['seconds']:.0f} s, "
          f"{len(findings)} kinds of findings; one input took at most {total['longest_seconds']} s "
          f"and {total['largest_rise_mb']} MB")  # fmt: skip
    for key, finding in findings.items():
        print(f"- {key} ({finding['times']} times, {finding['file']}): {finding['what']}")
    print(f"Inputs of the findings: {keep}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
