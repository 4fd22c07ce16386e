"""What the system tells of its CPU."""

from pathlib import Path

from pipeline_src.benchmarking import cpu


def test_the_hottest_zone_and_the_fastest_core_are_read(tmp_path: Path) -> None:
    for name, text in (
        ("class/thermal/thermal_zone0/temp", "48312\n"),
        ("class/thermal/thermal_zone1/temp", "51000\n"),
        ("class/thermal/thermal_zone2/temp", "switched off\n"),
        ("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
        ("devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "2400000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert (cpu.celsius(tmp_path), cpu.megahertz(tmp_path)) == (51.0, 2400.0)


def test_a_system_that_shows_neither_has_none(tmp_path: Path) -> None:
    assert (cpu.celsius(tmp_path), cpu.megahertz(tmp_path)) == (None, None)
