//! The command `infer`: texts in, results out.

use std::io::{self, BufWriter, Write};
use std::{mem, thread};

use crate::answer::Writer;
use crate::batch::Batch;
use crate::cli;
use crate::error::Error;
use crate::executable::Executable;
use crate::input::Texts;
use crate::session::Model;
use crate::tokenization::{Tokenizer, Tokens};

/// More warnings than this say nothing new.
const MOST_WARNINGS: u64 = 5;

/// Runs the model on all texts, in batches, and writes each result as soon as it is known.
pub(crate) fn infer(executable: &Executable, options: &cli::Infer) -> Result<(), Error> {
    executable.check_supported()?;
    let mut texts = Texts::open(options)?;
    let (mut tokenizer, mut model) = load(executable, options)?;
    let size = options.batch_size.get().min(model.limits.texts.unwrap_or(usize::MAX));
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, io::stdout().lock()), options.format);
    let mut truncations = Truncations::default();
    loop {
        let batch = texts.next_batch(size)?;
        if batch.is_empty() {
            break;
        }
        let mut encoded = Vec::with_capacity(batch.len());
        for text in batch {
            let tokens = tokenizer.encode(&text)?;
            encoded.push((text.place, tokens));
        }
        let batch = Batch::new(encoded, &tokenizer.padding, model.limits)?;
        let output = model.run(&batch)?;
        for (row, answer) in batch.rows.iter().zip(model.task.answers(&batch, &output)?) {
            truncations.report(&row.place, &row.tokens);
            writer.write(&answer, row.tokens.truncated_from.is_some())?;
        }
        writer.flush()?;
    }
    writer.finish(&executable.manifest().name)?;
    truncations.finish();
    // The process ends here, and the system takes the memory back at once: freeing it piece by piece takes longer.
    mem::forget((model, tokenizer));
    Ok(())
}

/// Loads tokenizer and model side by side.
fn load(executable: &Executable, options: &cli::Infer) -> Result<(Tokenizer, Model), Error> {
    thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::load(executable));
        let model = Model::load(executable, options);
        match tokenizer.join() {
            Ok(tokenizer) => Ok((tokenizer?, model?)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Tells on standard error which texts were cut.
#[derive(Default)]
struct Truncations {
    number: u64,
}

impl Truncations {
    fn report(&mut self, place: &crate::input::Place, tokens: &Tokens) {
        let Some(whole) = tokens.truncated_from else {
            return;
        };
        self.number += 1;
        if self.number <= MOST_WARNINGS {
            let limit = tokens.encoding.len();
            // A warning that nobody can read is no reason to stop.
            let _ = writeln!(io::stderr(), "warning: {place}: {whole} tokens, truncated to {limit}");
        }
    }

    fn finish(&self) {
        let more = self.number.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            let texts = if more == 1 { "text was" } else { "texts were" };
            let _ = writeln!(io::stderr(), "warning: {more} more {texts} truncated");
        }
    }
}
