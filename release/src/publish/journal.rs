//! What is told meanwhile, and how far it came.

use std::cell::RefCell;
use std::io::{self, Write as _};

/// Tells a line on standard error. Who does not listen is no reason to stop.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// How far it came, for who is interrupted.
#[derive(Default)]
pub(crate) struct Journal {
    stage: RefCell<Stage>,
}

/// How far it came.
#[derive(Clone, Debug, Default)]
pub(crate) enum Stage {
    /// Nothing has been changed, or nobody knows yet.
    #[default]
    Looking,
    /// There is a draft at this address.
    Draft(String),
    /// It was being published.
    Publishing(String),
}

impl Journal {
    /// From now on there is a draft at `url`.
    pub(crate) fn draft(&self, url: &str) {
        self.stage.replace(Stage::Draft(url.to_owned()));
    }

    /// From now on the draft may be published.
    pub(crate) fn publishing(&self) {
        let mut stage = self.stage.borrow_mut();
        if let Stage::Draft(url) = &*stage {
            *stage = Stage::Publishing(url.clone());
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }
}
