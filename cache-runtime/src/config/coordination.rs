//! Settings of background runs, and of waits for other calls and processes; they can be set in code only.
//!
//! The one rule: **an error names the setting at fault, its value, and what is accepted**, as for every setting.

use std::{ops::RangeInclusive, time::Duration};

use super::setting::Setting;
use crate::{base::clock::ManualClock, error::Error};

/// The settings as they were given; `None` where nothing was said.
#[derive(Clone, Debug, Default)]
pub(super) struct CoordinationSettings {
    pub(super) background_runs: Option<Setting<usize>>,
    pub(super) background_runs_per_function: Option<Setting<usize>>,
    pub(super) background_timeout: Option<Setting<Duration>>,
    pub(super) refresh_pause: Option<Setting<RangeInclusive<Duration>>>,
    pub(super) cluster_wait: Option<Setting<Duration>>,
    pub(super) run_wait: Option<Setting<Duration>>,
    pub(super) clock: Option<ManualClock>,
}

/// The settings of background runs and waits, checked.
#[derive(Clone, Debug)]
pub(crate) struct Coordination {
    /// While so many bodies run in the background of the process, none more begins.
    pub(crate) background_runs: usize,
    /// While so many bodies of one function run there, none more of it begins.
    pub(crate) background_runs_per_function: usize,
    /// How long a body may run in the background before it is given up.
    pub(crate) background_timeout: Duration,
    /// The pause of a key after its first failed refresh, and the longest pause.
    pub(crate) refresh_pause: RangeInclusive<Duration>,
    /// How long to wait for another process that computes the same value.
    pub(crate) cluster_wait: Duration,
    /// How long to wait for another call in this process that computes the same value.
    pub(crate) run_wait: Duration,
    /// Default: the machine's.
    pub(crate) clock: Option<ManualClock>,
}

const DEFAULT_RUNS: usize = 256;
const DEFAULT_RUNS_PER_FUNCTION: usize = 64;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DEFAULT_PAUSE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

impl CoordinationSettings {
    pub(super) fn check(self) -> Result<Coordination, Error> {
        let background_runs = runs(self.background_runs, DEFAULT_RUNS)?;
        let background_runs_per_function =
            runs(self.background_runs_per_function, DEFAULT_RUNS_PER_FUNCTION)?;
        let refresh_pause = match self.refresh_pause {
            None => DEFAULT_PAUSE,
            Some(Setting { value, name }) => {
                let (first, longest) = (*value.start(), *value.end());
                if first < SHORTEST || longest > LONGEST_PAUSE || first > longest {
                    return Err(Error::config(format!(
                        "`{name}` is `{}` to `{}`; it is a shorter and a longer pause, from `1ms` to `1day`",
                        humantime::format_duration(first),
                        humantime::format_duration(longest)
                    )));
                }
                value
            }
        };
        let background_timeout = within(self.background_timeout, DEFAULT_TIMEOUT, LONGEST_TIMEOUT)?;
        let cluster_wait = within(self.cluster_wait, DEFAULT_WAIT, LONGEST_WAIT)?;
        let run_wait = within(self.run_wait, DEFAULT_WAIT, LONGEST_WAIT)?;
        Ok(Coordination {
            background_runs,
            background_runs_per_function,
            background_timeout,
            refresh_pause,
            cluster_wait,
            run_wait,
            clock: self.clock,
        })
    }
}

/// How many bodies may run at once: one at least.
fn runs(setting: Option<Setting<usize>>, default: usize) -> Result<usize, Error> {
    match setting {
        None => Ok(default),
        Some(Setting { value: 0, name }) => Err(Error::config(format!(
            "`{name}` is 0, which would refresh nothing; use 1 or more"
        ))),
        Some(Setting { value, .. }) => Ok(value),
    }
}

/// A duration of at least a millisecond.
fn within(
    setting: Option<Setting<Duration>>,
    default: Duration,
    longest: Duration,
) -> Result<Duration, Error> {
    match setting {
        None => Ok(default),
        Some(Setting { value, .. }) if (SHORTEST..=longest).contains(&value) => Ok(value),
        Some(Setting { value, name }) => Err(Error::config(format!(
            "`{name}` is `{}`; it is from `1ms` to `{}`",
            humantime::format_duration(value),
            humantime::format_duration(longest)
        ))),
    }
}
