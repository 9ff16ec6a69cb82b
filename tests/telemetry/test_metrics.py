"""Metrics: one list of names that dashboards rely on, each set on its own."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.telemetry.metrics import Metrics

# Labels that would make a new series for every person, event or address.
UNBOUNDED = {"track", "event", "id", "url", "path", "message", "run", "seq"}


def test_a_value_is_read_back() -> None:
    """By its name and labels; 0 where nothing was recorded."""
    metrics = Metrics()
    metrics.frames_dropped.labels("door", "rate").inc(3)
    assert metrics.value("moonwatch_frames_dropped_total", camera="door", reason="rate") == 3
    assert metrics.value("moonwatch_frames_dropped_total", camera="door", reason="motion") == 0
    assert metrics.value("moonwatch_no_such_total") == 0


def test_values_are_read_by_their_labels() -> None:
    """In the order in which the labels are declared."""
    metrics = Metrics()
    metrics.frames_dropped.labels("door", "rate").inc()
    metrics.frames_dropped.labels(reason="motion", camera="yard").inc(2)
    assert metrics.by_labels("moonwatch_frames_dropped_total") == {
        ("door", "rate"): 1,
        ("yard", "motion"): 2,
    }


def test_two_sets_know_nothing_of_each_other() -> None:
    """Two deployments in one process, or two tests, do not add up."""
    one, other = Metrics(), Metrics()
    one.frames_sampled.labels("door").inc()
    assert other.value("moonwatch_frames_sampled_total", camera="door") == 0


def test_the_page_is_what_prometheus_reads() -> None:
    """Every metric is on it, with its name, a sentence, and labels that cannot grow for ever."""
    metrics = Metrics()
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }
    assert len(metrics.made) > 15
    for attribute, metric in metrics.made.items():
        name = f"moonwatch_{attribute}"
        assert re.fullmatch(r"[a-z_]+", name)
        assert families[name].documentation.endswith(".")
        assert not UNBOUNDED.intersection(metric._labelnames)


def test_a_label_that_is_not_declared_is_refused() -> None:
    """So no metric can gain one by accident."""
    metrics = Metrics()
    with pytest.raises(ValueError, match="label"):
        metrics.frames_sampled.labels(camera="door", track="7")
