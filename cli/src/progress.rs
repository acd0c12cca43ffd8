//! Download progress on a terminal.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use encoderfile_registry::{Error, Progress, Target};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::{Terminal, size};

/// The lines of one command, one for each target.
pub(crate) struct Lines {
    bars: MultiProgress,
    terminal: Terminal,
    /// Downloads that are not complete: how many bytes are here, of how many.
    incomplete: Mutex<BTreeMap<Target, (u64, u64)>>,
}

impl Lines {
    pub(crate) fn new(terminal: Terminal) -> Self {
        let target =
            if terminal.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), terminal, incomplete: Mutex::default() }
    }

    /// Says something while the bars are out of the way.
    pub(crate) fn suspend(&self, say: impl FnOnce()) {
        self.bars.suspend(say);
    }

    /// What an interruption leaves, to be continued.
    pub(crate) fn incomplete(&self) -> BTreeMap<Target, (u64, u64)> {
        self.incomplete.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, target: Target, bytes: Option<(u64, u64)>) {
        let mut incomplete = self.incomplete.lock().unwrap_or_else(PoisonError::into_inner);
        match bytes {
            Some(bytes) => incomplete.insert(target, bytes),
            None => incomplete.remove(&target),
        };
    }

    pub(crate) fn line(&self, target: Target) -> Line<'_> {
        Line { lines: self, target, bar: OnceLock::new() }
    }
}

/// The line of one target. It is drawn once there is something to wait for.
pub(crate) struct Line<'a> {
    lines: &'a Lines,
    target: Target,
    bar: OnceLock<ProgressBar>,
}

impl Line<'_> {
    fn bar(&self) -> &ProgressBar {
        self.bar.get_or_init(|| {
            let style = "{prefix:25} {bar:14} {decimal_bytes:>9}/{decimal_total_bytes:9} \
                         {decimal_bytes_per_sec:>11} {eta:>4}";
            let style = ProgressStyle::with_template(style).expect("a valid template");
            self.lines.bars.add(ProgressBar::new(0).with_style(style).with_prefix(self.target.triple()))
        })
    }

    fn say(&self, message: impl FnOnce(Terminal)) {
        self.lines.suspend(|| message(self.lines.terminal));
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Line<'_> {
    fn waiting(&self, holder: Option<u32>) {
        let (holder, target) = (name(holder), self.target);
        self.say(|terminal| {
            terminal.status("Waiting", format_args!("for {holder}, which is busy with {target}"));
        });
    }

    fn started(&self, _: &str, position: u64, total: u64) {
        if position > 0 {
            let (target, position, total) = (self.target, size(position), size(total));
            self.say(|terminal| {
                terminal.status("Resuming", format_args!("{target} at {position} of {total}"));
            });
        }
        self.lines.note(self.target, Some((position, total)));
        let bar = self.bar();
        bar.set_length(total);
        bar.set_position(position);
        // What was there before is not part of the speed.
        bar.reset_eta();
    }

    fn advanced(&self, position: u64) {
        let bar = self.bar();
        bar.set_position(position);
        self.lines.note(self.target, Some((position, bar.length().unwrap_or(position))));
    }

    fn downloaded(&self) {
        self.lines.note(self.target, None);
    }

    fn warning(&self, message: &str) {
        self.say(|terminal| terminal.warning(message));
    }

    fn detail(&self, message: &str) {
        self.say(|terminal| terminal.detail("Detail", message));
    }

    fn retrying(&self, error: &Error, delay: Duration) {
        self.say(|terminal| terminal.warning(again(error, delay)));
    }
}

/// Tells what there is to tell where nothing is downloaded that would have a line.
pub(crate) struct Voice {
    terminal: Terminal,
}

impl Voice {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal }
    }
}

impl Progress for Voice {
    fn waiting(&self, holder: Option<u32>) {
        self.terminal.status("Waiting", format_args!("for {}", name(holder)));
    }

    fn retrying(&self, error: &Error, delay: Duration) {
        self.terminal.warning(again(error, delay));
    }

    fn warning(&self, message: &str) {
        self.terminal.warning(message);
    }

    fn detail(&self, message: &str) {
        self.terminal.detail("Detail", message);
    }
}

/// Whoever holds a lock.
fn name(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

fn again(error: &Error, delay: Duration) -> String {
    format!("{error}; trying again in {:.1} s", delay.as_secs_f64())
}
