"""``extend``: keys of another configuration file hold too."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossaudit.config import ConfigError, find_configuration


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_own_keys_win_and_the_others_are_inherited(tmp_path: Path) -> None:
    write(
        tmp_path / "pyproject.toml",
        '[tool.lossaudit]\nignore = ["LA4"]\nselect = ["LA1", "LA4"]\nbaseline = "known.json"\n',
    )
    write(
        tmp_path / "shared/lossaudit.toml", 'extend = "../pyproject.toml"\nsrc = ["lib"]\nignore = ["LA5"]\n'
    )
    own = write(tmp_path / "work/lossaudit.toml", 'extend = "../shared/lossaudit.toml"\nselect = ["LA2"]\n')
    configuration = find_configuration([own.parent])
    settings = configuration.settings
    assert configuration.base == own.parent
    assert (settings.select, settings.ignore) == (["LA2"], ["LA5"])
    assert Path(settings.src[0]).resolve() == tmp_path / "shared/lib"
    assert settings.baseline is not None
    assert Path(settings.baseline).resolve() == tmp_path / "known.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extend = "nowhere.toml"', "nowhere.toml: cannot be read: No such file or directory"),
        ('extend = "."', "cannot be read: Is a directory"),
        ('extend = "lossaudit.toml"', "`extend` leads back to"),
        ('extend = "plain.toml"', "which has no [tool.lossaudit] table"),
        ('extend = "misspelt.toml"', "misspelt.toml: unknown key `ignroe` in [tool.lossaudit]; did you mean ignore?"),
        ("extend = 3", "lossaudit.toml: Expected `str | null`, got `int`"),
        ('extend = "a\\u0000"', "`extend` holds a null byte"),
        ('extend = "~nobody/x.toml"', "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "plain.toml", "[tool.ruff]\n")
    write(tmp_path / "misspelt.toml", "[tool.lossaudit]\nignroe = []\n")
    write(tmp_path / "lossaudit.toml", text)
    with pytest.raises(ConfigError) as caught:
        find_configuration([tmp_path])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "lossaudit.toml", 'extend = "other.toml"')
    write(tmp_path / "other.toml", '[tool.lossaudit]\nextend = "lossaudit.toml"')
    with pytest.raises(ConfigError, match="leads back"):
        find_configuration([tmp_path])
