import dataclasses
import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.config import (
    AlertSettings,
    CameraSettings,
    IndicatorSettings,
    Settings,
    TrackerSettings,
    example_toml,
    load_settings,
)
from maskwatch.errors import ConfigError, ExitCode
from maskwatch.setting import rule_of

TABLES = dataclasses.fields(Settings)
EXAMPLE = resources.files("maskwatch") / "data" / "config.example.toml"


def all_settings() -> list:
    return [
        pytest.param(table.name, setting, id=f"{table.name}.{setting.name}")
        for table in TABLES
        for setting in dataclasses.fields(getattr(Settings(), table.name))
    ]


@pytest.fixture
def load(tmp_path: Path):
    def load_text(text: str | bytes) -> Settings:
        path = tmp_path / "config.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(path)

    return load_text


def test_example_parses_to_the_defaults(load):
    assert load(EXAMPLE.read_bytes()) == Settings()


def test_example_file_is_up_to_date():
    assert EXAMPLE.read_text(encoding="utf-8") == example_toml(), "write maskwatch.config.example_toml() to the file"


@pytest.mark.parametrize(("table", "setting"), all_settings())
def test_example_mentions_every_key_with_its_bounds(table, setting):
    _, _, after = EXAMPLE.read_text(encoding="utf-8").partition(f"[{table}]")
    section = re.split(r"^\[", after, flags=re.MULTILINE)[0]
    comment, found, _ = section.partition(f"\n{setting.name} = ")
    assert found
    comment = " ".join(line.removeprefix("# ") for line in comment.rpartition("\n\n")[2].splitlines())
    rule = rule_of(setting)
    assert rule.doc in comment
    assert rule.bounds() in comment


def test_empty_file_gives_the_defaults(load):
    assert load("") == Settings()


def test_given_keys_replace_defaults_and_whole_numbers_serve_as_numbers(load):
    settings = load('[camera]\nsource = "v4l2:0"\ntimeout_seconds = 3\n[alert]\nquiet_hours = "22:00-07:00"\n')
    assert settings.camera == CameraSettings(source="v4l2:0", timeout_seconds=3.0)
    assert type(settings.camera.timeout_seconds) is float
    assert settings.alert == AlertSettings(quiet_hours="22:00-07:00")
    assert settings.tracker == TrackerSettings()


def test_a_byte_order_mark_does_no_harm(load):
    assert load(b"\xef\xbb\xbf[model]\r\nthreads = 1\r\n").model.threads == 1


BAD = [
    ("[camera]\nwidht_px = 640", ["unknown key camera.widht_px", "did you mean width_px?"]),
    ("[camera]\nthreads = 2", ["unknown key camera.threads", "belongs under [model]"]),
    ('[camera]\n"a\\nb" = 2', ["unknown key camera.'a\\nb'"]),
    ('[model]\nbundle = ["a\\u2028b"]', ["model.bundle = a list must be text"]),
    ('[indicator]\nlight = "a\\tb"', ["indicator.light = 'a\\tb' is out of bounds"]),
    ("[indicator]\nlight = '" + "x" * 500 + "'", ['xxx"… is out of bounds']),
    ("[kamera]\nwidth_px = 640", ["unknown table [kamera]", "did you mean camera?"]),
    ("[[camera]]\nwidth_px = 640", ["camera = a list must be a table"]),
    ("camera = 3", ["camera = 3 must be a table"]),
    ("hold_seconds = 3", ["the key hold_seconds stands outside any table", "belongs under [alert]"]),
    ("[model]\nthreads = 5", ["model.threads = 5", "1 to 4"]),
    ("[model]\nthreads = true", ["model.threads = true must be a whole number (1 to 4)"]),
    ("[model]\nthreads = 2.0", ["model.threads = 2.0 must be a whole number"]),
    ('[model]\nthreads = "2"', ['model.threads = "2" must be a whole number']),
    ("[model]\nbundle = 7", ["model.bundle = 7 must be text in quotes"]),
    ("[model]\nbundle = {}", ["model.bundle = a table must be text"]),
    ("[indicator]\nactive_high = 1", ["indicator.active_high = 1 must be true or false"]),
    ("[camera]\ntimeout_seconds = nan", ["camera.timeout_seconds = nan", "0.5 to 60.0"]),
    ("[camera]\ntimeout_seconds = inf", ["camera.timeout_seconds = inf", "0.5 to 60.0"]),
    ("[camera]\ntimeout_seconds = false", ["camera.timeout_seconds = false must be a number"]),
    ("[camera]\ntimeout_seconds = 0x" + "f" * 5000, ["camera.timeout_seconds = a huge number", "0.5 to 60.0"]),
    ("[camera]\nwidth_px = 1001", ["camera.width_px = 1001", "64 to 4608, a multiple of 16"]),
    ("[camera]\nrotation_degrees = 90", ["camera.rotation_degrees = 90", "one of 0, 180"]),
    ('[camera]\nsource = ""', ['camera.source = ""', "not empty"]),
    ('[camera]\nsource = "v4l2:front"', ['camera.source = "v4l2:front"', 'a number after "v4l2:"']),
    ('[indicator]\nlight = "neon"', ['indicator.light = "neon"', '"two_leds", "rgb"']),
    ('[alert]\nquiet_hours = "22-7"', ['alert.quiet_hours = "22-7"', "HH:MM-HH:MM"]),
    ('[alert]\nquiet_hours = "22:00-24:00"', ['alert.quiet_hours = "22:00-24:00"']),
    ('[alert]\nquiet_hours = "07:00-07:00"', ["alert.quiet_hours", "starts when it ends", "alarm_seconds = 0"]),
    ("[camera]\nlores_width_px = 1280\nlores_height_px = 960\nwidth_px = 640", ["camera.lores_width_px", "640×960"]),
    ("[camera]\nwidth_px = 1280\nheight_px = 720", ["camera.lores_height_px = 384", "needs 288"]),
    ("[tracker]\nvotes_needed = 10", ["tracker.votes_needed = 10", "window_frames = 9"]),
    ("[indicator]\nred_pin = 18", ["indicator.red_pin and buzzer_pin are both 18"]),
    ('[indicator]\nlight = "rgb"\nblue_pin = 17', ["red_pin and blue_pin are both 17"]),
    ("[camera]\nwidth_px = \n", ["is not TOML", "line 2"]),
    (b"[camera]\nsource = '\xff'", ["not UTF-8"]),
    ("x = " + "[" * 5000, ["is not TOML"]),
    ("x = " + "9" * 5000, ["is not TOML"]),
]


@pytest.mark.parametrize(("text", "parts"), BAD, ids=[str(parts[0]) for _, parts in BAD])
def test_bad_file_is_named_in_one_line(load, tmp_path, text, parts):
    with pytest.raises(ConfigError) as caught:
        load(text)
    message = str(caught.value)
    assert caught.value.exit_code == ExitCode.OPERATOR
    assert message.startswith(str(tmp_path / "config.toml"))
    assert message.isprintable()
    assert len(message) < 400
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_unreadable_file_is_a_config_error(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / name)


def test_pins_of_parts_not_in_use_may_clash():
    IndicatorSettings(light="two_leds", blue_pin=17)
    IndicatorSettings(buzzer="none", buzzer_pin=17)


def test_sizes_that_differ_in_shape_concern_only_the_camera_with_two_streams():
    CameraSettings(source="v4l2:0", width_px=320, height_px=180)


@pytest.mark.parametrize(("table", "setting"), [p for p in all_settings() if type(p.values[1].default) in (int, float)])
def test_numbers_are_taken_up_to_their_limits_and_no_further(table, setting):
    rule = rule_of(setting)
    if rule.choices:
        lowest, highest, step = min(rule.choices), max(rule.choices), 1
    else:
        lowest, highest = rule.minimum, rule.maximum
        step = rule.multiple_of if type(setting.default) is int else 1e-6
    assert rule.allows(lowest)
    assert rule.allows(highest)
    assert not rule.allows(lowest - step)
    assert not rule.allows(highest + step)


toml_values = st.one_of(
    st.booleans().map(lambda value: str(value).lower()),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(st.characters(codec="ascii", exclude_characters="'", exclude_categories=["Cc"])).map(lambda t: f"'{t}'"),
    st.sampled_from(["[]", "{}", "1979-05-27", "07:32:00", "[1, 'a']"]),
)
KEYS = [(table.name, key.name) for table in TABLES for key in dataclasses.fields(getattr(Settings(), table.name))]


def outcome(path: Path) -> Settings | ConfigError:
    try:
        return load_settings(path)
    except ConfigError as error:
        return error


@settings(deadline=None)
@given(st.sampled_from(KEYS), toml_values)
def test_any_value_gives_settings_or_an_error_that_names_the_key(tmp_path_factory, key, value):
    table, name = key
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(f"[{table}]\n{name} = {value}\n", encoding="utf-8")
    result = outcome(path)
    if isinstance(result, Settings):
        loaded, default = (getattr(getattr(settings, table), name) for settings in (result, Settings()))
        assert type(loaded) is type(default)
    else:
        assert str(result).startswith(f"{path}: {table}.")
        assert name in str(result)
        assert str(result).isprintable()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_settings_or_a_config_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    result = outcome(path)
    assert isinstance(result, Settings) or str(result).startswith(str(path))
