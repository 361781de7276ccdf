"""The figures a sample may hold: what each is called, its unit, how it is written. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    title: str
    form: str = "{:.0f}"
    unit: str = ""

    def text(self, value: float) -> str:
        return self.form.format(value)

    def with_unit(self, value: float) -> str:
        return f"{self.text(value)} {self.unit}".rstrip()


# In the order of the columns. A percentile of an open loop stands beside the generator's own lateness.
FIGURES: dict[str, Figure] = {
    "cpu_us": Figure("CPU-us/request", "{:.1f}", "us"),
    "user_us": Figure("user", "{:.1f}", "us"),
    "system_us": Figure("system", "{:.1f}", "us"),
    "capacity": Figure("capacity/s"),
    "requests_per_second": Figure("requests/s"),
    "p50_us": Figure("p50 us", unit="us"),
    "late_p50_us": Figure("late p50", unit="us"),
    "p99_us": Figure("p99 us", unit="us"),
    "late_p99_us": Figure("late p99", unit="us"),
    "p999_us": Figure("p99.9 us", unit="us"),
    "late_p999_us": Figure("late p99.9", unit="us"),
    "max_us": Figure("max us", unit="us"),
    "late_max_us": Figure("late max", unit="us"),
    "changes_per_second": Figure("changes/s", "{:.1f}"),
    "change_p50_ms": Figure("change p50 ms", "{:.1f}", "ms"),
    "change_p99_ms": Figure("change p99 ms", "{:.1f}", "ms"),
    "change_max_ms": Figure("change max ms", "{:.1f}", "ms"),
    "busy": Figure("busy", "{:.0%}"),
    "others": Figure("others", "{:.0%}"),
    "memory_mib": Figure("MiB", unit="MiB"),
    "worker_rss_mib": Figure("worker RSS MiB", "{:.1f}", "MiB"),
    "half_heads": Figure("half heads"),
    "half_heads_opened": Figure("opened"),
    "idle_kib": Figure("KiB/idle connection", "{:.1f}", "KiB"),
}
