"""The command line: parse options, call one function, render. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lossaudit import __version__

if TYPE_CHECKING:
    from lossaudit.check.audit import CheckRun
    from lossaudit.config import Configuration
    from lossaudit.findings import TargetReport
    from lossaudit.fuzz import FuzzOptions

EXIT_CLEAN, EXIT_FINDINGS, EXIT_UNABLE, EXIT_INTERRUPTED = 0, 1, 2, 130

Command = TypeVar("Command", bound=Callable[..., Any])


class Unable(click.ClickException):
    """The tool cannot do its work; click prints ``Error: message`` and we leave with 2."""

    exit_code = EXIT_UNABLE


def _split(
    _context: click.Context, _option: click.Parameter, values: Sequence[str]
) -> tuple[str, ...] | None:
    """Options that may be repeated and may hold commas: ``--select LA1,LA205 --select LA401``."""
    parts = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    return parts or None


def _configuration_options(command: Command) -> Command:
    for option in (
        click.option("--isolated", is_flag=True, help="Read no configuration file."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Read this pyproject.toml or lossaudit.toml instead of the nearest one.",
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            help="Colour the output. 'auto' asks the terminal and honours NO_COLOR and FORCE_COLOR.",
        ),
    ):
        command = option(command)
    return command


def _selection_options(command: Command) -> Command:
    for name, text in (
        ("--ignore", "Leave these rules out. Wins over --select."),
        ("--extend-select", "Run these rules besides the ones that are on (info rules are off by default)."),
        ("--select", "Run these rules only: a code, the beginning of one (LA1), a name, or ALL."),
    ):
        command = click.option(name, multiple=True, metavar="RULES", callback=_split, help=text)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="lossaudit")
def cli() -> None:
    """Find the loss bugs that do not crash.

    \b
    lossaudit check src/            read code, report broken loss contracts with the trail that proves each
    lossaudit fuzz losses.py:MyLoss run a loss against the formula that it claims to be, name the mistake
    lossaudit rule LA101            explain a rule, with a wrong and a right example

    Exit codes: 0 nothing found, 1 findings, 2 the tool could not do its work.
    """  # noqa: D301 (click keeps the lines after the character \b as they are)


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@_selection_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERNS",
    callback=_split,
    help="Leave these paths out, besides the configured ones (.gitignore syntax).",
)
@click.option(
    "--force-exclude",
    is_flag=True,
    help="Leave excluded files out even if they are named on the command line.",
)
@click.option(
    "--output-format", type=click.Choice(["full", "concise", "json"]), default="full", show_default=True
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Do not report the findings that this file holds (lines may move).",
)
@click.option(
    "--write-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write today's findings to this file and report none of them.",
)
@click.option(
    "--fix", is_flag=True, help="Make the fixes that keep what is computed, and report what remains."
)
@click.option(
    "--unsafe-fixes", is_flag=True, help="With --fix or --diff: also the fixes that change what is computed."
)
@click.option("--diff", is_flag=True, help="Write nothing; show what --fix would change.")
@click.option(
    "--show-fixes", is_flag=True, help="With --fix or --diff: list what was mended, by file and rule."
)
@click.option("--add-ignore", is_flag=True, help="Write a suppression comment for every finding.")
@click.option("--exit-zero", is_flag=True, help="Leave with 0 even if something was found.")
@click.option(
    "--statistics", is_flag=True, help="Show how often each rule was broken instead of the findings."
)
@click.option("--show-files", is_flag=True, help="List the files that would be checked, and check none.")
@click.option(
    "--stdin-filename",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The name of what is read from standard input, if the path is '-'.",
)
@click.option("--no-cache", is_flag=True, help="Analyse every file anew and remember nothing.")
@click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Remember results here instead of in .lossaudit/cache beside the configuration.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that analyse at a time; as many as there are cores.",
)
@click.option(
    "--executor",
    metavar="dask:ADDRESS",
    help="Have the workers of this Dask scheduler analyse instead; they see the same files at the same places.",
)
@click.option("--debug", is_flag=True, help="Show the traceback if the analysis itself fails.")
@_configuration_options
def check(paths: tuple[Path, ...], **options: Any) -> None:
    """Read Python files and report broken loss contracts. Nothing is imported or run.

    PATHS are files or folders; without any, the current folder is checked. '-' is standard input.

    \b
    Examples:
      lossaudit check                       everything below the current folder
      lossaudit check src/train.py          one file (the modules that it imports are followed)
      lossaudit check --select LA1,LA401    some rules only
      lossaudit check --fix --diff          see what would be fixed
      lossaudit check --output-format json  for another program
    """  # noqa: D301 (click keeps the lines after the character \b as they are)
    from lossaudit.check import Declared
    from lossaudit.check.audit import Request, files_of, run
    from lossaudit.check.baseline import BaselineError
    from lossaudit.check.fix import WriteError
    from lossaudit.crews import ExecutorError

    change = _change(options)
    paths, stdin = _from_stdin(paths, options)
    configuration = _configuration(paths, options)
    settings = configuration.settings
    request = Request(
        paths=paths or (Path(),),
        base=configuration.base,
        select=_selected(configuration, options),
        per_file_ignores=_per_file_ignores(configuration),
        exclude=settings.exclude,
        extend_exclude=(*settings.extend_exclude, *(options["exclude"] or ())),
        respect_gitignore=settings.respect_gitignore,
        force_exclude=options["force_exclude"],
        src=tuple(configuration.base / folder for folder in settings.src),
        contracts=tuple(Declared(name, **one) for name, one in settings.contracts.items()),
        baseline=options["baseline"]
        or (configuration.base / settings.baseline if settings.baseline else None),
        write_baseline=options["write_baseline"],
        debug=options["debug"],
        cache=None if options["no_cache"] else _cache_folder(options["cache_dir"], configuration.base),
        change=change,
        unsafe=options["unsafe_fixes"],
        jobs=options["jobs"] or _cores(),
        executor=options["executor"],
        stdin=stdin,
    )
    if options["show_files"]:
        click.echo("".join(f"{path}\n" for path in files_of(request)), nl=False)
        return
    try:
        outcome = run(request)
    except (BaselineError, WriteError, ExecutorError) as error:
        raise Unable(str(error)) from error
    _tell_check(outcome, change, options)
    if outcome.interrupted:
        click.echo(f"Interrupted: {outcome.checked} of {outcome.given} files were checked.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    code = outcome.exit_code
    sys.exit(EXIT_CLEAN if options["exit_zero"] and code == EXIT_FINDINGS else code)


@cli.command()
@click.argument("targets", nargs=-1)
@click.option(
    "--init",
    multiple=True,
    metavar="K=V",
    help="A constructor (or factory) argument; the value is JSON, or text if it is none.",
)
@click.option("--call", multiple=True, metavar="K=V", help="An argument of every call of the loss.")
@click.option(
    "--reference",
    metavar="NAME[:K=V,...]",
    help="Judge against this reference, or against module:function, instead of recognising one.",
)
@click.option(
    "--with",
    "transforms",
    multiple=True,
    type=click.Choice(["compile", "vmap", "grad"]),
    help="Judge the loss also under torch.compile, torch.func.vmap or torch.func.grad; may be repeated.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same report.")
@click.option(
    "--max-examples",
    type=click.IntRange(min=1),
    help="Stop after so many structures have been drawn; 60 by default.",
)
@click.option(
    "--max-time",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after so many seconds a target, imports not counted; 4 by default. Allow more for slow losses.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    metavar="N",
    help="Targets at a time; as many as there are cores.",
)
@click.option(
    "--executor",
    metavar="dask:ADDRESS",
    help="Have the workers of this Dask scheduler fuzz instead; they see the same files at the same places.",
)
@click.option(
    "--write-test",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a pytest file that fails while the losses are wrong; it needs torch only.",
)
@click.option(
    "--verbose",
    "-v",
    is_flag=True,
    help="Say what was left out of a place that was searched, and why; show what conforms in full too.",
)
@_selection_options
@click.option(
    "--output-format", type=click.Choice(["full", "concise", "json"]), default="full", show_default=True
)
@_configuration_options
def fuzz(targets: tuple[str, ...], **options: Any) -> None:
    """Run a loss against the formula that it claims to be, and name the mistake.

    TARGETS are module:Attr or path/file.py:Attr: a class, an instance, a function or a factory; or places that are searched
    for losses: a file, a folder, an installed package. The current folder is on sys.path. Without any, the targets of the
    configuration run. Needs torch: pip install 'lossaudit[fuzz]'.

    \b
    Examples:
      lossaudit fuzz losses:SmoothLoss --init alpha=0.1
      lossaudit fuzz src/losses.py:FocalLoss --reference sigmoid_focal_loss:gamma=2.0,alpha=0.25
      lossaudit fuzz src/ --jobs 4
      lossaudit fuzz losses:MyLoss --output-format json --seed 7
    """  # noqa: D301 (click keeps the lines after the character \b as they are)
    from lossaudit.crews import ExecutorError
    from lossaudit.fuzz.campaign import run
    from lossaudit.report.fuzz_progress import watch

    configuration = _configuration((), options)
    named = _fuzz_targets(targets or tuple(configuration.settings.fuzz), verbose=options["verbose"])
    if not named:
        raise Unable(
            "no target: name one, as in `lossaudit fuzz losses.py:MyLoss`, or give some in the configuration: "
            '[tool.lossaudit.fuzz."losses:MyLoss"]'
        )
    jobs = [(target, _fuzz_options(target, configuration, options)) for target in named]
    workers, executor = options["jobs"] or _cores(), options["executor"]
    try:
        with watch(len(jobs)) as (on_event, on_done):
            outcome = run(jobs, workers, on_event, on_done, configuration.base, executor)
    except ExecutorError as error:
        raise Unable(str(error)) from error
    if options["write_test"] is not None:
        _write_tests(options["write_test"], outcome.reports)
    text = _render_fuzz(outcome.reports, options["output_format"], verbose=options["verbose"])
    _print(text, options["color"])
    if outcome.interrupted:
        click.echo(f"Interrupted: {len(outcome.reports)} of {len(jobs)} targets were done.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(_fuzz_exit_code(outcome.reports))


@cli.command()
@click.argument("code_or_name")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def rule(code_or_name: str, output_format: str, color: str) -> None:
    """Explain a rule: what it is, why it hurts, wrong and right code. CODE_OR_NAME is LA101 or its name."""
    from lossaudit.report.rules import render_rule
    from lossaudit.rulebook import closest_rules, find_rule

    found = find_rule(code_or_name)
    if found is None:
        close = closest_rules(code_or_name)
        hint = f"did you mean {' or '.join(close)}?" if close else "`lossaudit rules` lists them all"
        raise Unable(f"there is no rule {code_or_name!r}; {hint}")
    _print(render_rule(found, output_format, wants_colour=_wants_colour(color)), color)


explain = copy.copy(rule)
explain.hidden = True
cli.add_command(explain, "explain")


@cli.command()
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def rules(output_format: str, color: str) -> None:
    """List every rule with its severity and its fix."""
    from lossaudit.report.rules import render_rules
    from lossaudit.rulebook import load_rules

    _print(render_rules(list(load_rules().values()), output_format, wants_colour=_wants_colour(color)), color)


@cli.command()
@click.argument("identity", metavar="ID")
@_configuration_options
def replay(identity: str, **options: Any) -> None:
    """Run a kept failure again: fixed (exit code 0), still failing (1), or it cannot be replayed (2).

    `lossaudit fuzz` keeps what it finds under .lossaudit/failures and prints the ID of each.
    """
    from lossaudit.fuzz import TargetError
    from lossaudit.fuzz.isolation import replay_isolated
    from lossaudit.fuzz.keep import load, load_all
    from lossaudit.fuzz.nursery import Nursery

    base = _configuration((), options).base
    kept = load(base, identity)
    if kept is None:
        known = ", ".join(other.id for other in load_all(base))
        raise Unable(
            f"no failure {identity} is kept here; " + (f"there are {known}" if known else "there are none")
        )
    try:
        with Nursery() as nursery:
            failing, message = replay_isolated(kept, nursery)
    except TargetError as error:
        raise Unable(f"{identity} cannot be replayed: {error}") from error
    if failing:
        _print(f"{identity} {kept.target} {kept.code}: still failing: {message}\n", options["color"])
        sys.exit(EXIT_FINDINGS)
    _print(f"{identity} {kept.target} {kept.code}: fixed (it was: {kept.message})\n", options["color"])


@cli.command()
@_configuration_options
def clean(**options: Any) -> None:
    """Delete what was remembered beside the configuration: .lossaudit with its cache and the kept failures."""
    from lossaudit.statefolder import remove_state

    try:
        removed = remove_state(_configuration((), options).base)
    except OSError as error:
        raise Unable(f"cannot delete {error.filename}: {error.strerror or error}") from error
    _print("There is nothing to delete.\n" if removed is None else f"Deleted {removed}\n", options["color"])


@cli.command()
@click.argument("name", required=False)
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def references(name: str | None, output_format: str, color: str) -> None:
    """List the formulas that losses are judged against; with a NAME, show one: formula, source, domain, parameters."""
    from lossaudit.fuzz import TargetError
    from lossaudit.fuzz.catalogue import entries, find
    from lossaudit.report.references import render_reference, render_references

    try:
        if name is None:
            text = render_references(entries(), output_format)
        else:
            text = render_reference(find(name), output_format)
    except TargetError as error:
        raise Unable(str(error)) from error
    _print(text, color)


def main() -> None:
    """Run the command line and leave with its exit code; no traceback for what the user can mend."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_UNABLE)
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing is left to say, and Python must not complain at exit.
        sys.stderr.close()
        sys.exit(EXIT_CLEAN)
    except Exception as error:
        message = _mendable(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(EXIT_UNABLE)


def _mendable(error: Exception) -> str | None:
    """What to tell of an error that is no defect of the code; None of any other."""
    from lossaudit.rulebook import RulebookError

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the output cannot be written: {error.strerror}"
    return str(error) if isinstance(error, RulebookError) else None


def _cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _configuration(paths: Sequence[Path], options: dict[str, Any]) -> Configuration:
    from lossaudit.config import ConfigError, find_configuration, isolated, read_configuration

    try:
        if options["isolated"]:
            return isolated()
        if options["config"] is not None:
            return read_configuration(options["config"])
        return find_configuration(paths)
    except ConfigError as error:
        raise Unable(str(error)) from error


def _cache_folder(asked: Path | None, base: Path) -> Path | None:
    """Where results are remembered; None where nothing can be written, which is no reason not to check."""
    from lossaudit.statefolder import state_folder

    try:
        if asked is None:
            return state_folder(base, "cache")
        asked.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if asked is None:
            return None
        raise Unable(f"--cache-dir {asked}: {error.strerror or error}") from error
    return asked


def _selected(configuration: Configuration, options: dict[str, Any]) -> frozenset[str]:
    from lossaudit.config import ConfigError, select_codes

    settings = configuration.settings
    select = options["select"] if options["select"] is not None else settings.select
    extend = (*settings.extend_select, *(options["extend_select"] or ()))
    ignore = options["ignore"] if options["ignore"] is not None else settings.ignore
    try:
        return select_codes(select, extend, ignore)
    except ConfigError as error:
        raise Unable(str(error)) from error


def _selected_for_fuzz(configuration: Configuration, options: dict[str, Any]) -> frozenset[str]:
    """The dynamic rules to judge. A configured ``select`` that names static rules only says nothing of them."""
    from lossaudit.config import expand_selector

    selected = {code for code in _selected(configuration, options) if code.startswith("LF")}
    if selected or options["select"] is not None:
        return frozenset(selected)
    ignored = {code for selector in options["ignore"] or () for code in expand_selector(selector)}
    return frozenset(expand_selector("LF")) - ignored


def _fuzz_targets(named: Sequence[str], *, verbose: bool) -> list[str]:
    """The targets that the command line names, with every place replaced by the losses that are found in it."""
    from lossaudit.fuzz import TargetError
    from lossaudit.fuzz.discover import PRIVATE, discover, is_place

    targets: list[str] = []
    for name in named:
        if not is_place(name):
            targets.append(name)
            continue
        try:
            found = discover(name)
        except TargetError as error:
            raise Unable(str(error)) from error
        targets += [loss.target for loss in found.losses]
        for left in found.left_out if verbose else ():
            click.echo(f"left out {left.target}: {left.reason}", err=True)
        public = [left for left in found.left_out if left.reason != PRIVATE]
        if public and found.losses and not verbose:
            click.echo(f"{len(public)} left out of {name}; -v says which, and why", err=True)
        if not found.losses:
            hint = "" if verbose else "; -v says what was left out"
            raise Unable(f"no loss was found in {name}{hint}")
    return list(dict.fromkeys(targets))


def _write_tests(path: Path, reports: Sequence[TargetReport]) -> None:
    from lossaudit.fuzz.written import write

    try:
        count, left = write(path, reports)
    except OSError as error:
        raise Unable(f"--write-test: {error}") from error
    noun = "test" if count == 1 else "tests"
    click.echo(f"{count} {noun} written to {path}", err=True)
    if left:
        click.echo(f"no test could be written for {', '.join(left)}", err=True)


def _fuzz_exit_code(reports: Sequence[TargetReport]) -> int:
    verdicts = {report.verdict for report in reports}
    if verdicts == {"error"}:
        return EXIT_UNABLE
    found = any(report.findings for report in reports) or "error" in verdicts
    return EXIT_FINDINGS if found else EXIT_CLEAN


def _per_file_ignores(configuration: Configuration) -> tuple[tuple[str, frozenset[str]], ...]:
    from lossaudit.config import ConfigError, expand_selector

    try:
        return tuple(
            (pattern, frozenset(code for selector in selectors for code in expand_selector(selector)))
            for pattern, selectors in configuration.settings.per_file_ignores.items()
        )
    except ConfigError as error:
        raise Unable(f"per-file-ignores: {error}") from error


def _fuzz_options(target: str, configuration: Configuration, options: dict[str, Any]) -> FuzzOptions:
    from lossaudit.config import FuzzTarget
    from lossaudit.fuzz import FuzzOptions

    configured = configuration.settings.fuzz.get(target, FuzzTarget())
    limits = {
        name: options[name] if options[name] is not None else getattr(configured, name)
        for name in ("max_examples", "max_time")
    }
    return FuzzOptions(
        init=configured.init | _pairs(options["init"], "--init"),
        call=configured.call | _pairs(options["call"], "--call"),
        reference=options["reference"] or configured.reference,
        seed=options["seed"],
        select=_selected_for_fuzz(configuration, options),
        transforms=frozenset(options["transforms"]),
        **{name: limit for name, limit in limits.items() if limit is not None},
    )


def _pairs(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """``K=V`` options as a dictionary; V is JSON where it parses, else text."""
    import json

    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise Unable(f"{option} wants NAME=VALUE, as in {option} alpha=0.1; got {pair!r}")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def _change(options: dict[str, Any]) -> Literal["none", "fix", "diff", "ignore"]:
    """What is to happen to the files. ``--diff`` says more of ``--fix``; nothing else goes together."""
    wanted = {
        "--add-ignore": options["add_ignore"],
        "--write-baseline": options["write_baseline"] is not None,
    }
    wanted["--diff" if options["diff"] else "--fix"] = options["diff"] or options["fix"]
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise Unable(f"{chosen[0]} and {chosen[1]} do not go together")
    if options["diff"]:
        return "diff"
    return "ignore" if options["add_ignore"] else "fix" if options["fix"] else "none"


def _from_stdin(paths: tuple[Path, ...], options: dict[str, Any]) -> tuple[tuple[Path, ...], bytes | None]:
    """The paths, and what standard input holds if they name it."""
    if Path("-") not in paths:
        if options["stdin_filename"] is not None:
            raise Unable("--stdin-filename names what the path '-' brings; there is no such path")
        return paths, None
    if len(paths) > 1:
        raise Unable("'-' is standard input, and goes with no other path")
    if options["write_baseline"] is not None:
        raise Unable("- and --write-baseline do not go together")
    from lossaudit.report.source import show_instead

    path = options["stdin_filename"] or Path("stdin.py")
    data = sys.stdin.buffer.read()
    show_instead(str(path), data)
    return (path,), data


def _tell_check(outcome: CheckRun, change: str, options: dict[str, Any]) -> None:
    """The report on stdout. What was changed is told there too, unless another program reads it: then on stderr."""
    from lossaudit.report.changes import render_changes, render_diff
    from lossaudit.report.source import show_instead

    said = render_changes(outcome.changes, change, listed=options["show_fixes"])
    if outcome.text is not None:
        for one in outcome.changes:
            show_instead(one.filename, outcome.text)
        sys.stdout.buffer.write(outcome.text)
        click.echo(_render_check(outcome, options) + said, nl=False, err=True)
        return
    if change == "diff":
        _print(render_diff(outcome.changes), options["color"])
    else:
        _print(_render_check(outcome, options), options["color"])
    is_for_people = change != "diff" and options["output_format"] in ("full", "concise")
    click.echo(said, nl=False, err=not is_for_people)


def _render_check(outcome: CheckRun, options: dict[str, Any]) -> str:
    output_format = options["output_format"]
    if options["statistics"]:
        from lossaudit.report.statistics import render_statistics

        return render_statistics(outcome.findings, outcome.checked, output_format)
    if output_format == "json":
        from lossaudit.report.json import render_check

        return render_check(outcome.findings)
    from lossaudit.report import check_text

    if output_format == "concise":
        return check_text.render_concise(outcome.findings, outcome.checked)
    return check_text.render_full(outcome.findings, outcome.checked, _terminal_width())


def _terminal_width() -> int | None:
    """The cells of a row of the terminal; None where the output goes elsewhere, and nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _render_fuzz(reports: Sequence[TargetReport], output_format: str, *, verbose: bool) -> str:
    if output_format == "json":
        from lossaudit.report.json import render_fuzz

        return render_fuzz(reports)
    from lossaudit.report import fuzz_text

    if output_format == "concise":
        return fuzz_text.render_concise(reports)
    return fuzz_text.render_full(reports, verbose=verbose)


def _print(text: str, color: str) -> None:
    click.echo(text, nl=False, color=_wants_colour(color))


def _wants_colour(color: str) -> bool:
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
