//! A web server on loopback that serves a directory or answers as it is told, counts what it is asked, and misbehaves
//! on command.
//!
//! It speaks HTTP by hand: a real server library would refuse to send most of what the tests need.

use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::answer::{Answer, Reply};
use crate::request::Request;

/// What the server does instead of answering properly. [`Fault::Status`], [`Fault::Body`] and the faults on the way of a
/// request strike whatever was asked for; the others spoil only an answer that would have status 200 or be a part of a file.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Closes the connection after so many bytes of the body.
    CutAfter(u64),
    /// Sends so many bytes of the body, and then nothing, without closing.
    StallAfter(u64),
    /// Waits until [`Server::release`] before it answers, properly.
    Hold,
    /// An empty answer with this status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Another body, with these headers, as if it were the file.
    Body(Vec<u8>, Vec<(&'static str, String)>),
    /// A `Content-Length` that is so much longer than the file.
    LongerLength(u64),
    /// The whole file with status 200, whatever range was asked for.
    NoRanges,
    /// The file from this byte on with status 206, whatever range was asked for.
    WrongRange(u64),
    /// A body without length that never ends.
    Endless,
    /// The file without a length, ended after so many bytes by closing the connection.
    NoLength(u64),
    /// Closes the connection after the request, which nobody has looked at.
    LoseRequest,
    /// Closes the connection when the request is done, without an answer.
    LoseAnswer,
    /// Closes the connection after so many bytes of the request's body. What has come is looked at.
    CutRequestAfter(u64),
    /// Reads so many bytes of the request's body, of which what has come is looked at, and then nothing, without closing.
    StallRequestAfter(u64),
}

/// Longer than anything that is waited for takes on a busy machine.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// When the server misbehaves.
struct Rule {
    /// What the path ends with.
    path: String,
    fault: Fault,
    /// So many requests are answered properly before.
    after: usize,
    times: usize,
}

#[derive(Default)]
pub(crate) struct State {
    rules: Vec<Rule>,
    pub(crate) requests: Vec<Request>,
    released: bool,
    pub(crate) stopped: bool,
}

pub(crate) struct Shared {
    handler: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `root` on a port that the system chooses.
    pub fn start(root: &Path) -> Self {
        let root = root.to_owned();
        Self::start_with(move |request| match find(&root, &request.path) {
            Some(path) => Reply::file(path),
            None => Reply::empty(404),
        })
    }

    /// Answers with what `handler` says, on a port that the system chooses. Faults come first.
    pub fn start_with(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let handler = Box::new(handler);
        let shared = Arc::new(Shared { handler, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.lock().stopped {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                // A client that goes away is its own affair.
                thread::spawn(move || shared.serve(&stream).ok());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next `times` requests for a path that ends with `path` are answered with `fault`.
    pub fn misbehave(&self, path: &str, fault: Fault, times: usize) {
        self.misbehave_after(path, 0, fault, times);
    }

    /// The same, when `after` such requests have been answered properly.
    pub fn misbehave_after(&self, path: &str, after: usize, fault: Fault, times: usize) {
        self.shared.lock().rules.push(Rule { path: path.to_owned(), fault, after, times });
    }

    /// Behaves from now on.
    pub fn behave(&self) {
        self.shared.lock().rules.clear();
    }

    /// The requests for paths that end with `path`, in the order in which they came.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let state = self.shared.lock();
        state.requests.iter().filter(|request| request.path.ends_with(path)).cloned().collect()
    }

    /// Waits until there were `count` requests for paths that end with `path`; not for ever, since who should ask may have
    /// ended.
    pub fn wait_for(&self, path: &str, count: usize) {
        let too_few = |state: &State| {
            state.requests.iter().filter(|request| request.path.ends_with(path)).count() < count
        };
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, LONGEST_WAIT, |state| too_few(state));
        let waited = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!waited.timed_out(), "there were no {count} requests for `{path}`");
    }

    /// Answers the requests that [`Fault::Hold`] holds.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_while(&self, condition: impl Fn(&State) -> bool) {
        drop(self.changed.wait_while(self.lock(), |state| condition(state)));
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let Some(mut request) = Request::read_head(&mut reader)? else { return Ok(()) };
        let fault = self.fault(&request);
        let limit = match fault {
            Some(Fault::CutRequestAfter(bytes) | Fault::StallRequestAfter(bytes)) => bytes,
            _ => u64::MAX,
        };
        request.read_body(&mut reader, limit);
        let number = self.note(&request);
        let mut answer = Answer { shared: self, stream, number };
        match fault {
            Some(Fault::Status(status, headers)) => return answer.whole(status, headers, &[]),
            Some(Fault::Body(body, headers)) => return answer.whole(200, headers, &body),
            Some(Fault::LoseRequest) => return Ok(()),
            Some(Fault::Hold) => {
                self.wait_while(|state| !state.released && !state.stopped);
                if self.lock().stopped {
                    return Ok(());
                }
            }
            _ => {}
        }
        let reply = (self.handler)(&request);
        match fault {
            Some(Fault::LoseAnswer | Fault::CutRequestAfter(_)) => Ok(()),
            Some(Fault::StallRequestAfter(_)) => {
                self.wait_while(|state| !state.stopped);
                Ok(())
            }
            fault => answer.reply(reply, request.range(), fault.as_ref()),
        }
    }

    /// What is to go wrong with this request.
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut state = self.lock();
        let rules = state.rules.iter_mut();
        for rule in rules.filter(|rule| request.path.ends_with(&*rule.path) && rule.times > 0) {
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.fault.clone());
        }
        None
    }

    fn note(&self, request: &Request) -> usize {
        let mut state = self.lock();
        state.requests.push(request.noted());
        self.changed.notify_all();
        state.requests.len() - 1
    }
}

fn find(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.strip_prefix('/')?);
    let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
    plain.then(|| root.join(relative))
}
