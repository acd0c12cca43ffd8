//! What a server was asked.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, as it was sent.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// The path, without query, as it was sent.
    pub path: String,
    /// The query's parameters, decoded; of a name that occurs twice, the last.
    pub query: HashMap<String, String>,
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body. Of a long one the list of requests keeps nothing.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub is_whole: bool,
    /// How many bytes of body were given to the connection in answer.
    pub sent: u64,
}

impl Request {
    /// The parts of the path between its slashes, decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decode).collect()
    }

    /// Reads a request up to its body, unless the client only opened a connection.
    pub(crate) fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut lines = reader.lines();
        let Some(first) = lines.next().transpose()? else { return Ok(None) };
        let mut words = first.split(' ');
        let method = words.next().unwrap_or("GET").to_owned();
        let target = words.next().unwrap_or("/").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), parameters(query));
        let mut headers = HashMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Some(Self { method, target, path, query, headers, body: Vec::new(), is_whole: true, sent: 0 }))
    }

    /// Reads the body, of which the request has told the length, and no more of it than `limit` bytes.
    pub(crate) fn read_body(&mut self, reader: &mut impl BufRead, limit: u64) {
        let length = self.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        // A client that goes away in its middle has sent a part.
        let _ = reader.take(length.min(limit)).read_to_end(&mut self.body);
        self.is_whole = self.body.len() as u64 == length;
    }

    /// The same for the list of requests, which has no room for the files that are uploaded.
    pub(crate) fn noted(&self) -> Self {
        const LONG: usize = 1 << 20;
        let mut noted = self.clone();
        if noted.body.len() > LONG {
            noted.body = Vec::new();
        }
        noted
    }

    /// Where the range begins that is asked for, which has no end.
    pub(crate) fn range(&self) -> Option<u64> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))).collect()
}

/// Percent-decodes; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        if let Some(escaped) = escaped {
            bytes.extend(escaped);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
