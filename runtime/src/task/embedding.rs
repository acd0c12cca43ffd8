//! One vector per token.

use super::{check_finite, rows, token_info};
use crate::answer::{Answer, TokenEmbedding};
use crate::batch::Batch;
use crate::error::Error;
use crate::session::Output;

pub(super) fn answers(batch: &Batch, output: &Output) -> Result<Vec<Answer>, Error> {
    let width = output.width(&[batch.length], batch.rows.len(), "[batch, tokens, hidden]")?;
    let answer = |(row, values): (&crate::batch::Row, &[f32])| {
        let embeddings = row.text_tokens().map(|(position, column)| {
            let embedding = &values[column * width..][..width];
            check_finite(embedding, &row.place)?;
            Ok(TokenEmbedding { embedding: embedding.to_vec(), token_info: token_info(row, position) })
        });
        Ok(Answer::Embedding { embeddings: embeddings.collect::<Result<_, Error>>()? })
    };
    rows(batch, output, batch.length * width).map(answer).collect()
}
