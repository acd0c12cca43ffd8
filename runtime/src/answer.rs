//! Results as JSON.

use std::io::Write;

use serde::Serialize;

use crate::cli::Format;
use crate::error::Error;

/// What the model says of one text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Embedding {
        embeddings: Vec<TokenEmbedding>,
    },
    SentenceEmbedding {
        embedding: Vec<f32>,
    },
    SequenceClassification {
        logits: Vec<f32>,
        scores: Vec<f32>,
        predicted_index: usize,
        predicted_label: String,
    },
    TokenClassification {
        tokens: Vec<TokenLabel>,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct TokenEmbedding {
    pub(crate) embedding: Vec<f32>,
    pub(crate) token_info: TokenInfo,
}

#[derive(Debug, Serialize)]
pub(crate) struct TokenLabel {
    pub(crate) token_info: TokenInfo,
    /// Probabilities.
    pub(crate) scores: Vec<f32>,
    pub(crate) label: String,
    /// The label's probability.
    pub(crate) score: f32,
}

/// A token and where it stands in its text, in characters.
#[derive(Debug, Serialize)]
pub(crate) struct TokenInfo {
    pub(crate) token: String,
    pub(crate) token_id: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    #[serde(skip_serializing_if = "is_false")]
    truncated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Writes answers as they come, so that none has to be kept.
pub(crate) struct Writer<W: Write> {
    to: W,
    format: Format,
    is_first: bool,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(to: W, format: Format) -> Self {
        Self { to, format, is_first: true }
    }

    pub(crate) fn write(&mut self, answer: &Answer, truncated: bool) -> Result<(), Error> {
        if self.format == Format::Json {
            let before: &[u8] = if self.is_first { b"{\"results\":[" } else { b"," };
            self.to.write_all(before).map_err(Error::writing)?;
        }
        self.is_first = false;
        let written = Written { answer, truncated };
        serde_json::to_writer(&mut self.to, &written).map_err(|error| Error::writing(error.into()))?;
        if self.format == Format::Jsonl {
            self.to.write_all(b"\n").map_err(Error::writing)?;
        }
        Ok(())
    }

    /// Makes everything so far visible to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.to.flush().map_err(Error::writing)
    }

    /// Ends the output.
    pub(crate) fn finish(&mut self, model_id: &str) -> Result<(), Error> {
        if self.format == Format::Json {
            let before: &[u8] = if self.is_first { b"{\"results\":[" } else { b"" };
            self.to.write_all(before).map_err(Error::writing)?;
            self.to.write_all(b"],\"model_id\":").map_err(Error::writing)?;
            serde_json::to_writer(&mut self.to, model_id).map_err(|error| Error::writing(error.into()))?;
            self.to.write_all(b"}\n").map_err(Error::writing)?;
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, answers: &[(Answer, bool)]) -> String {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, format);
        for (answer, truncated) in answers {
            writer.write(answer, *truncated).unwrap();
        }
        writer.finish("a \"name\"").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn two() -> [(Answer, bool); 2] {
        [
            (Answer::SentenceEmbedding { embedding: vec![0.1, -2.0] }, false),
            (
                Answer::SequenceClassification {
                    logits: vec![1.0],
                    scores: vec![1.0],
                    predicted_index: 0,
                    predicted_label: "x".to_owned(),
                },
                true,
            ),
        ]
    }

    #[test]
    fn a_document_holds_all_results() {
        let expected = concat!(
            r#"{"results":[{"embedding":[0.1,-2.0]},"#,
            r#"{"logits":[1.0],"scores":[1.0],"predicted_index":0,"predicted_label":"x","truncated":true}],"#,
            r#""model_id":"a \"name\""}"#,
            "\n"
        );
        assert_eq!(written(Format::Json, &two()), expected);
        assert_eq!(written(Format::Json, &[]), "{\"results\":[],\"model_id\":\"a \\\"name\\\"\"}\n");
    }

    #[test]
    fn jsonl_is_a_result_a_line() {
        let text = written(Format::Jsonl, &two());
        assert!(
            text.starts_with("{\"embedding\":[0.1,-2.0]}\n{\"logits\"") && text.ends_with("true}\n"),
            "{text}"
        );
        assert_eq!(written(Format::Jsonl, &[]), "");
    }

    #[test]
    fn token_results_have_the_documented_shape() {
        let token_info = || TokenInfo { token: "a".to_owned(), token_id: 7, start: 0, end: 1 };
        let info = r#""token_info":{"token":"a","token_id":7,"start":0,"end":1}"#;
        let tokens =
            TokenLabel { token_info: token_info(), scores: vec![0.5], label: "L".to_owned(), score: 0.5 };
        assert_eq!(
            serde_json::to_string(&Answer::TokenClassification { tokens: vec![tokens] }).unwrap(),
            format!(r#"{{"tokens":[{{{info},"scores":[0.5],"label":"L","score":0.5}}]}}"#)
        );
        let embeddings = vec![TokenEmbedding { embedding: vec![1.5], token_info: token_info() }];
        assert_eq!(
            serde_json::to_string(&Answer::Embedding { embeddings }).unwrap(),
            format!(r#"{{"embeddings":[{{"embedding":[1.5],{info}}}]}}"#)
        );
    }
}
