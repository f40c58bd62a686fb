"""Upkeep of the lake by policy: which past states stay, for how long.

The states that a reporting run is of are kept longer than those between, and of each calendar month the last run's
longest: that is how the month stood when it ended.
"""

import datetime as dt

from psa_erp_assets.adapters.lake import Maintained
from psa_erp_assets.services import as_of
from psa_erp_assets.services.runtime import Runtime


def kept_snapshots(runtime: Runtime) -> set[int]:
    """The snapshots of reporting runs that stay although other states of their age go."""
    policy, now = runtime.settings.policies.lake, runtime.clock()
    recent = now - dt.timedelta(days=policy.keep_runs_days)
    # A month has 30.436875 days on average; a day more or less of a state of years ago matters to nobody.
    month_ends = now - dt.timedelta(days=policy.keep_month_ends_months * 31)
    return {
        run.lake_snapshot
        for run in as_of.runs(runtime, limit=None)
        if run.published_at >= (month_ends if run.month_end is not None else recent)
    }


def maintain(runtime: Runtime) -> Maintained:
    """Move small commits into files, merge small files, and forget states by the policy in policies.yaml."""
    keep = dt.timedelta(days=runtime.settings.policies.lake.keep_states_days)
    return runtime.lake.maintain(keep=keep, kept=kept_snapshots(runtime))
