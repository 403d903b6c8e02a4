"""A pytest plugin: the targets of ``[tool.lossaudit.fuzz]`` run as tests.

It is installed with lossaudit and does nothing until it is asked: with ``lossaudit_fuzz = true`` in pytest's configuration,
for runs that name no files, or with ``--lossaudit`` for any run. Each target is one test, in a child process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossaudit.config import Configuration, FuzzTarget
    from lossaudit.findings import TargetReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """The switch, as an option and as a setting."""
    group = parser.getgroup("lossaudit")
    group.addoption(
        "--lossaudit", action="store_true", help="run the targets of [tool.lossaudit.fuzz] as tests, too"
    )
    parser.addini(
        "lossaudit_fuzz", "run the targets of [tool.lossaudit.fuzz] as tests", type="bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark by which these tests can be left out: ``-m "not lossaudit"``."""
    config.addinivalue_line(
        "markers", "lossaudit: a loss of [tool.lossaudit.fuzz], run against its reference"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each configured target."""
    if _wanted(config):
        items += _items(session)


def _wanted(config: pytest.Config) -> bool:
    if config.getoption("--lossaudit"):
        return True
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return bool(config.getini("lossaudit_fuzz")) and not named


def _items(session: pytest.Session) -> Iterator[pytest.Item]:
    from lossaudit.config import ConfigError, find_configuration

    try:
        configuration = find_configuration([session.config.rootpath])
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    for target, settings in configuration.settings.fuzz.items():
        yield LossItem.from_parent(
            session,
            name=f"lossaudit::{target}",
            target=target,
            settings=settings,
            configuration=configuration,
        )


class LossDiverges(Exception):  # noqa: N818 (what a test raises)
    """A target that diverges, or cannot be judged; holds the report."""

    def __init__(self, report: TargetReport) -> None:
        super().__init__(report.target)
        self.report = report


class LossItem(pytest.Item):
    """One target as a test."""

    def __init__(
        self, *, target: str, settings: FuzzTarget, configuration: Configuration, **rest: Any
    ) -> None:
        super().__init__(**rest)
        self.target, self.settings, self.configuration = target, settings, configuration
        self.add_marker("lossaudit")

    def runtest(self) -> None:
        """Fuzz the target.

        Raises:
            LossDiverges: It has a finding, or cannot be judged.
        """
        from lossaudit.fuzz import FuzzOptions, fuzz_target

        limits = {
            name: value
            for name in ("max_examples", "max_time")
            if (value := getattr(self.settings, name)) is not None
        }
        options = FuzzOptions(
            init=self.settings.init, call=self.settings.call, reference=self.settings.reference, **limits
        )
        report = fuzz_target(self.target, options)
        if report.verdict != "conforms":
            raise LossDiverges(report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report instead of a traceback."""
        if isinstance(excinfo.value, LossDiverges):
            from lossaudit.report.fuzz_text import render_full
            from lossaudit.testing import plain

            return plain(render_full([excinfo.value.report]))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the target is configured."""
        return self.configuration.source or self.path, None, self.name
