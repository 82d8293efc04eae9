"""Runs the tests that concern a mutant, in processes that are forked once the tests are collected."""

import collections
import gc
import inspect
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import CodeType, FunctionType

COPIED = ("geocells", "tests", "examples")
DOCTEST = "tests/test_doctests.py::test_examples_of_a_module_print_what_they_say"


class TooSlowError(BaseException):
    """A test took too long without its kernels compiled."""


class Session:
    """Plugin that, once tests are collected, runs them in forks: once as they are, then for every mutant.

    Imports and collection are paid for once: in the fork the code of the one broken function is exchanged.
    """

    def __init__(self, check):
        self.check = check
        self.seen = set()
        self.failed = ""
        self.tests = None
        self.start_of_test = 0.0
        self.functions = collections.defaultdict(list)
        self.item_of_test = {}

    def trace(self, frame, event, argument):
        code = frame.f_code
        file = self.check.file_of_path.get(code.co_filename)
        if file is not None:
            self.seen.add(f"{file}:{code.co_firstlineno}")

    def follow(self, trace):
        threading.settrace(trace)
        sys.settrace(trace)

    def pytest_sessionstart(self):
        use_same_examples(self.check.examples)
        self.follow(self.trace)

    def pytest_runtestloop(self, session):
        self.follow(None)
        self.check.called_at_import = sorted(self.seen)
        items = session.items
        self.check.tests = forked(lambda: self.run_whole(items), self.check.folder, 3600)
        self.item_of_test = {item.nodeid: item for item in items}
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                place = thing.__code__.co_filename, thing.__code__.co_firstlineno
                self.functions[place].append(thing)
        gc.freeze()
        jobs = self.check.jobs
        workers = [forked_worker(self.check.try_all, self.broken, k, jobs) for k in range(jobs)]
        for worker in workers:
            os.waitpid(worker, 0)
        return True

    def run_whole(self, items):
        """{test: (seconds of CPU, functions that it calls)} of those that pass in time."""
        self.tests = {}
        signal.signal(signal.SIGPROF, too_slow)
        run_items(items, lambda: False)
        return self.tests

    def broken(self, file, mutant, tests):
        """Return what runs tests with a mutant: it gives the first that fails, or ""."""
        path = str(self.check.tree / file)
        code = code_at(mutant.code(path), mutant.function)
        functions = self.functions[path, mutant.function]
        if not functions or any(
            each.__code__.co_freevars != code.co_freevars for each in functions
        ):
            raise RuntimeError(f"{file}:{mutant.line}: no function to exchange the code of")

        def run():
            for function in functions:
                function.__code__ = code
            run_items([self.item_of_test[name] for name in tests], lambda: self.failed)
            return self.failed

        return run

    def pytest_runtest_logstart(self, nodeid):
        if self.tests is None:
            # Nobody handles this signal in a mutant: it ends a test that goes on and on.
            signal.setitimer(signal.ITIMER_PROF, 2.0 + 5.0 * self.check.tests[nodeid][0])
        else:
            self.seen = set()
            self.start_of_test = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, self.check.slowest)
            self.follow(self.trace)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid
        elif report.when == "call" and report.passed and self.tests is not None:
            self.tests[report.nodeid] = (
                time.process_time() - self.start_of_test,
                sorted(self.seen),
            )

    def pytest_runtest_logfinish(self, nodeid):
        if self.tests is not None:
            self.follow(None)
            signal.setitimer(signal.ITIMER_PROF, 0.0)


class Chosen:
    """Plugin of a run from scratch, for what happens at import: chosen tests only, in their order."""

    def __init__(self, check, tests):
        self.check = check
        self.place = {test: place for place, test in enumerate(tests)}
        self.failed = ""

    def pytest_sessionstart(self):
        use_same_examples(self.check.examples)

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted(
            (item for item in items if item.nodeid in self.place),
            key=lambda item: self.place[item.nodeid],
        )

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid


def too_slow(number, frame):
    raise TooSlowError


def use_same_examples(n_examples):
    """Let Hypothesis try the same examples in every run, and not look for simpler ones."""
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutation", settings.get_profile("default"), max_examples=n_examples, derandomize=True,
        database=None, phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    settings.load_profile("mutation")


def run_items(items, is_enough):
    """Run collected tests in this order."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if is_enough():
            return


def code_at(code, first_line):
    """Code of the function that starts at a line."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    for each in inner:
        if (
            each.co_firstlineno == first_line
            and each.co_flags & inspect.CO_NEWLOCALS
            and each.co_flags & inspect.CO_OPTIMIZED
        ):
            return each
    return next((found for each in inner if (found := code_at(each, first_line))), None)


def run_pytest(tree, arguments, plugin):
    """Run tests of the copy in this process."""
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    import pytest

    flags = [
        "-q",
        "-x",
        "-s",
        "--tb=native",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]
    return int(pytest.main([*flags, *arguments], plugins=[plugin]))


def forked_worker(work, *arguments):
    """Start ``work`` in a child and return the child's number."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except BaseException:  # noqa: BLE001  (no exception may leave the fork)
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(0)
    return child


def forked(work, folder, cpu_seconds):
    """Run ``work`` in a child; return its answer, or None when it crashed or ran out of time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.dont_write_bytecode = True
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
            signal.alarm(20 * cpu_seconds)
            answer = json.dumps(work()).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
        except BaseException:  # noqa: BLE001  (no exception may leave the fork)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


class Check:
    """Mutants of some files against the tests that concern them."""

    def __init__(self, root, chosen, arguments, folder, *, slowest, examples, seconds, total, jobs):
        self.chosen, self.arguments, self.folder = chosen, arguments, folder
        self.slowest, self.examples, self.seconds, self.jobs = slowest, examples, seconds, jobs
        self.total, self.tree = total, folder / "tree"
        self.start = time.monotonic()
        self.file_of_path = {str(self.tree / file): file for file, _ in chosen}
        self.tests, self.called_at_import = None, []
        self.noticed_by = collections.defaultdict(collections.Counter)
        shutil.rmtree(self.tree, ignore_errors=True)
        no_caches = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, self.tree / name, ignore=no_caches)
        shutil.copy2(root / "pyproject.toml", self.tree)
        if (root / "docs" / "rooms.py").is_file():  # the list of public names
            (self.tree / "docs").mkdir()
            shutil.copy2(root / "docs" / "rooms.py", self.tree / "docs")
        (self.tree / "geoloc_models").mkdir()

    def run(self):
        """Try all mutants: those inside functions in one session, then what takes effect at import."""
        (self.folder / "later").write_text("")
        state = forked(self.session, self.folder, 36000)
        if state is None or not state[0]:
            raise RuntimeError(f"The tests did not run; see {self.folder / 'log'}.")
        self.tests, self.called_at_import = state
        later = (self.folder / "later").read_text().split()
        self.chosen = [self.chosen[int(number)] for number in later]
        self.try_all(self.run_from_scratch, at_import=True)

    def session(self):
        """Try the mutants inside functions; return what is known of the tests then."""
        run_pytest(self.tree, self.arguments, Session(self))
        import geocells

        if Path(geocells.__file__).parents[1] != self.tree:
            raise RuntimeError(f"Not the copy: {geocells.__file__}")
        return self.tests, self.called_at_import

    def runs_at_import(self, file, mutant):
        """Whether a break takes effect at import, so that modules must be imported again."""
        return not mutant.function or f"{file}:{mutant.function}" in self.called_at_import

    def run_from_scratch(self, file, mutant, tests):
        """Return what runs tests with a mutant: it gives the first that fails, "import", or ""."""

        def run():
            (self.tree / file).write_text(mutant.source(), encoding="utf-8")
            names = [name for name in tests if name.startswith(DOCTEST)]
            names += sorted({name.split("::")[0] for name in tests} - {DOCTEST.split("::", 1)[0]})
            plugin = Chosen(self, tests)
            code = run_pytest(self.tree, names, plugin)
            return plugin.failed or ("" if code == 0 else "import")

        return run

    def concerned(self, file, mutant, at_import):
        """Tests that call a function (any of the file, for what runs at import), the likeliest first."""
        own = f"{file}:" if at_import else f"{file}:{mutant.function}"
        tests = [
            name
            for name, (_, functions) in self.tests.items()
            if any(each.startswith(own) if at_import else each == own for each in functions)
        ]
        noticed = self.noticed_by[file, mutant.function]
        tests.sort(key=lambda name: (-noticed[name], self.tests[name][0]))
        until = itertools.accumulate(self.tests[name][0] for name in tests)
        return [name for name, seconds in zip(tests, until, strict=True) if seconds < self.total]

    def try_all(self, run, worker=0, n_workers=1, *, at_import=False):
        """Try a worker's share of the mutants and write down how tests take them.

        What takes effect at import is left for later, unless the tests notice it without.
        """
        # A tenth of the time is kept for what runs at import.
        seconds = None if self.seconds is None else self.seconds * (1.0 if at_import else 0.9)
        for number, (file, mutant) in list(enumerate(self.chosen))[worker::n_workers]:
            if seconds is not None and time.monotonic() - self.start > seconds:
                return
            tests = self.concerned(file, mutant, at_import)
            failed = ""
            if tests:
                limit = 10 + 4 * int(sum(self.tests[name][0] for name in tests))
                whole = (self.tree / file).read_bytes()
                failed = forked(run(file, mutant, tests), self.folder, limit)
                if at_import:
                    (self.tree / file).write_bytes(whole)
            if failed == "" and not at_import and self.runs_at_import(file, mutant):
                with (self.folder / "later").open("a") as later:
                    later.write(f"{number}\n")
                continue
            if failed in self.tests:
                self.noticed_by[file, mutant.function][failed] += 1
            failed = "crash or time" if failed is None else failed
            row = [file, mutant.line, mutant.what, failed, len(tests)]
            with (self.folder / "results.jsonl").open("a") as results:
                results.write(json.dumps(row) + "\n")
