//! The command `infer`: texts in, results out.

use std::io::{self, BufWriter};
use std::{mem, thread};

use crate::answer::{Answer, Writer};
use crate::batch::{self, Batch};
use crate::cli;
use crate::error::Error;
use crate::executable::Executable;
use crate::input::{Place, Texts};
use crate::prompt;
use crate::session::Model;
use crate::terminal;
use crate::tokenization::{Tokenizer, Tokens};

/// More warnings than this say nothing new.
const MOST_WARNINGS: u64 = 5;

/// Runs the model on all texts, in batches, and writes each result as soon as it is known.
pub(crate) fn infer(executable: &Executable, options: &cli::Infer) -> Result<(), Error> {
    executable.check_supported()?;
    let prompt = prompt::choose(&executable.manifest().description, options)?;
    let mut texts = Texts::open(options)?;
    let (mut tokenizer, mut model) = load(executable, options, prompt)?;
    let size = options.batch_size.get().min(model.limits.texts.unwrap_or(usize::MAX));
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, io::stdout().lock()), options.format);
    let mut truncations = Truncations::default();
    loop {
        let texts = texts.next(options.window())?;
        if texts.is_empty() {
            break;
        }
        let mut encoded = Vec::with_capacity(texts.len());
        for text in texts {
            let tokens = tokenizer.encode(&text)?;
            truncations.report(&text.place, &tokens);
            encoded.push((text.place, tokens));
        }
        let is_truncated: Vec<bool> =
            encoded.iter().map(|(_, tokens)| tokens.truncated_from.is_some()).collect();
        let answers = answers(&mut model, &tokenizer, encoded, size)?;
        for (answer, is_truncated) in answers.iter().zip(is_truncated) {
            writer.write(answer, is_truncated)?;
        }
        writer.flush()?;
    }
    writer.finish(&executable.manifest().description.name)?;
    truncations.finish();
    // The process ends here, and the system takes the memory back at once: freeing it piece by piece takes longer.
    mem::forget((model, tokenizer));
    Ok(())
}

/// Runs the model on texts of like length at a time, and gives the answers in the order of the texts.
fn answers(
    model: &mut Model,
    tokenizer: &Tokenizer,
    texts: Vec<(Place, Tokens)>,
    size: usize,
) -> Result<Vec<Answer>, Error> {
    let lengths: Vec<usize> = texts.iter().map(|(_, tokens)| tokens.encoding.len()).collect();
    let mut texts: Vec<_> = texts.into_iter().map(Some).collect();
    let mut answers = Vec::with_capacity(texts.len());
    for group in batch::groups(&lengths, size) {
        let rows = group.iter().filter_map(|&number| texts[number].take()).collect();
        let batch = Batch::new(rows, &tokenizer.padding, model.limits)?;
        let output = model.run(&batch)?;
        answers.extend(group.into_iter().zip(model.task.answers(&batch, &output)?));
    }
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Loads tokenizer and model side by side.
fn load(
    executable: &Executable,
    options: &cli::Infer,
    prompt: Option<&str>,
) -> Result<(Tokenizer, Model), Error> {
    thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::load(executable, prompt));
        let model = Model::load(executable, options).and_then(|model| match prompt {
            Some(_) => model.task.check_prompt().map(|()| model),
            None => Ok(model),
        });
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
    fn report(&mut self, place: &Place, tokens: &Tokens) {
        let Some(whole) = tokens.truncated_from else {
            return;
        };
        self.number += 1;
        if self.number <= MOST_WARNINGS {
            let limit = tokens.encoding.len();
            terminal::warning(format_args!("{place}: {whole} tokens, truncated to {limit}"));
        }
    }

    fn finish(&self) {
        let more = self.number.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            let texts = if more == 1 { "text was" } else { "texts were" };
            terminal::warning(format_args!("{more} more {texts} truncated"));
        }
    }
}
