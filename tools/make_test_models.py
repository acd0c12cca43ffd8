#!/usr/bin/env python3
"""Makes testing/models: tiny BERT models with seeded random weights, and the answers that are expected of them.

    python3 tools/with_requirements.py tools/make_test_models.py [--check]

Each folder is laid out as Hugging Face lays out a model, plus a `reference.json` with texts and what Python's
`onnxruntime` answers to them. The output depends on nothing but this script and tools/requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import bert_onnx
import reference
from bert_onnx import ATTENTION_MASK, DEFAULT_INPUTS, INPUT_IDS, TOKEN_TYPE_IDS, seeded_tensor

REPOSITORY = Path(__file__).resolve().parent.parent

HIDDEN, HEADS, LAYERS, INTERMEDIATE, POSITIONS = 32, 4, 2, 64, 64
# sentence-transformers' limit is the smaller one, so that a reader of the wrong file is caught.
TOKENIZER_LIMIT, SENTENCE_TRANSFORMERS_LIMIT = 48, 32
# How far a reference may be from the committed one: other CPUs round the last digits otherwise.
TOLERANCE = 1e-6

SEQUENCE_LABELS = ["NEGATIVE", "NEUTRAL", "POSITIVE"]
TOKEN_LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Letters that do not decompose into a base letter and an accent, so lower-casing keeps them.
OTHER_LETTERS = "æøßđłαβγδωбдияё"
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[]_{}|~€–—’“”…。、😀"
CJK = "東京中文日本語大学人水山"
WORDS = """
    the of and to in a is was for on that with as it by at from this are be or an not have has his her he she they we
    you i do does did can will would could should may all one two three first new old good bad great small large more
    most some any other time year day week people man woman child world life work hand part place case point company
    number group problem fact example sentence word text each every convert model token embed search rank index label
    score query document page book paper language english german french house city river mountain water fire light
    dark red green blue white black north south east west morning evening night food bread coffee tea milk apple train
    car road street bridge school teacher student doctor nurse lawyer engineer king queen war peace love hate happy
    sad quick brown fox jump over lazy dog cat bird fish tree flower run walk read write speak listen see hear make
    take give get go come know think say tell ask answer open close begin end north alice bob carol johnson smith
    maria garcia acme globex berlin paris london cafe zurich naive uber resume hello statement lives near
""".split()
PIECES = "s es ed er est ing ly ness ment tion able less ful ity al ic ous ive ize ism ist ian land burg son".split()

TEXTS = [
    "This is an example sentence.",
    "Hello",
    "Alice Johnson works for Acme Corporation in Berlin, near the river.",
    "Café Zürich: naïve 東京 😀 costs 5 € – ЁЛКА, straße, Ωμέγα… and 🦀 is not in the vocabulary",
    "  Cafe\u0301\tau\u00a0lait, written by a 👩\u200d💻  ",
    "UNHAPPINESS, antidisestablishmentarianism and a word of a hundred letters and one: " + "x" * 101,
    "The quick brown fox jumps over the lazy dog, and the dog asks the fox: would you walk with me to the old bridge "
    "over the river this evening? The fox answers: I think that I can.",
    " ".join(f"{word}s {number}" for number, word in enumerate(WORDS[40:140])),
]


@dataclass(frozen=True)
class TestModel:
    """One folder of testing/models."""

    name: str
    task: str
    inputs: tuple[str, ...] = DEFAULT_INPUTS
    tokenizer_limit: int | None = POSITIONS  # in tokenizer.json
    has_external_data: bool = False

    @property
    def labels(self) -> list[str]:
        """What the head's outputs stand for; empty without a head."""
        return {"sequence_classification": SEQUENCE_LABELS, "token_classification": TOKEN_LABELS}.get(self.task, [])

    @property
    def texts(self) -> list[str]:
        """The inputs of the reference: all of them for a task, a few (one is truncated) for a variant of it."""
        return TEXTS if self.name == self.task else [*TEXTS[:4], TEXTS[-1]]

    @property
    def architecture(self) -> str:
        """The name of the class in `transformers` that such a model is saved from."""
        heads = {
            "sequence_classification": "BertForSequenceClassification",
            "token_classification": "BertForTokenClassification",
        }
        return heads.get(self.task, "BertModel")


TEST_MODELS = [
    TestModel("embedding", "embedding"),
    TestModel("sentence_embedding", "sentence_embedding", tokenizer_limit=TOKENIZER_LIMIT),
    TestModel("sequence_classification", "sequence_classification"),
    TestModel("token_classification", "token_classification"),
    # An export without the input that many models do not have; and, as most models on the Hub, without a truncation in
    # tokenizer.json: the limit is the one of tokenizer_config.json.
    TestModel("no_token_type_ids", "sequence_classification", (INPUT_IDS, ATTENTION_MASK), tokenizer_limit=None),
    # Binding inputs by position would feed this one swapped tensors.
    TestModel("reordered_inputs", "embedding", (TOKEN_TYPE_IDS, ATTENTION_MASK, INPUT_IDS)),
    # As exporters write models of more than 2 GB. Two files, and a tensor that stands in a branch of an `If`.
    TestModel("external_data", "sequence_classification", has_external_data=True),
]

# In the model with external data: tensors from this size on are moved out, in bytes.
EXTERNAL_FROM = 1024
EXTERNAL_FILES = {"embeddings.position_embeddings.weight": "model.onnx_data_1"}


def vocabulary() -> dict[str, int]:
    """Token to id: special tokens, single characters, their continuations, words, endings."""
    characters = LETTERS + "0123456789" + OTHER_LETTERS
    tokens = [*SPECIAL_TOKENS.values(), *characters, *PUNCTUATION, *CJK]
    tokens += [f"##{piece}" for piece in [*characters, *PIECES]]
    tokens += WORDS
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def make_tokenizer(vocab: dict[str, int], limit: int | None, padding: int | None) -> Tokenizer:
    """A lower-casing WordPiece tokenizer as BERT has it, with the truncation and padding that end up in its file."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=SPECIAL_TOKENS["unk"], max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    cls, sep, pad = (SPECIAL_TOKENS[kind] for kind in ("cls", "sep", "pad"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL_TOKENS.values()])
    if limit is not None:
        tokenizer.enable_truncation(limit)
    if padding is not None:
        tokenizer.enable_padding(length=padding, pad_id=vocab[pad], pad_token=pad)
    return tokenizer


def encoder_weights(vocab_size: int) -> dict[str, np.ndarray]:
    """Random weights under PyTorch's names, large enough that attention is uneven and each input changes the output."""
    weights = {
        "embeddings.word_embeddings.weight": seeded_tensor("words", (vocab_size, HIDDEN), 1.0),
        "embeddings.position_embeddings.weight": seeded_tensor("positions", (POSITIONS, HIDDEN), 0.5),
        "embeddings.token_type_embeddings.weight": seeded_tensor("types", (2, HIDDEN), 0.5),
    }

    def add_linear(name: str, outputs: int, inputs: int) -> None:
        weights[f"{name}.weight"] = seeded_tensor(f"{name}.weight", (outputs, inputs), 2.5 / math.sqrt(inputs))
        weights[f"{name}.bias"] = seeded_tensor(f"{name}.bias", (outputs,), 0.1)

    def add_norm(name: str) -> None:
        weights[f"{name}.weight"] = seeded_tensor(f"{name}.weight", (HIDDEN,), 0.2, centre=1.0)
        weights[f"{name}.bias"] = seeded_tensor(f"{name}.bias", (HIDDEN,), 0.1)

    add_norm("embeddings.LayerNorm")
    for layer in (f"encoder.layer.{index}" for index in range(LAYERS)):
        for role in ("query", "key", "value"):
            add_linear(f"{layer}.attention.self.{role}", HIDDEN, HIDDEN)
        add_linear(f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_linear(f"{layer}.intermediate.dense", INTERMEDIATE, HIDDEN)
        add_linear(f"{layer}.output.dense", HIDDEN, INTERMEDIATE)
        add_norm(f"{layer}.output.LayerNorm")
    return weights


def write_json(path: Path, content: Any) -> None:
    """Writes JSON the way `transformers` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_sentence_transformers_files(folder: Path) -> None:
    """Mean pooling, then L2 normalisation, and a length limit that differs from tokenizer.json's."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": HIDDEN,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    limit = {"max_seq_length": SENTENCE_TRANSFORMERS_LIMIT, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", limit)


def projection(model: TestModel) -> np.ndarray | None:
    """What the model with external data multiplies its output by, in a branch."""
    size = 1 / math.sqrt(HIDDEN)
    return seeded_tensor("projection", (HIDDEN, HIDDEN), size) if model.has_external_data else None


def write_weights(model: TestModel, weights: onnx.ModelProto, folder: Path) -> None:
    """Writes model.onnx, and the files beside it that hold its large tensors if the model has external data."""

    def file_of(name: str, size: int) -> str | None:
        return EXTERNAL_FILES.get(name, "model.onnx_data") if size >= EXTERNAL_FROM else None

    if model.has_external_data:
        for name, content in bert_onnx.move_out(weights, file_of).items():
            (folder / name).write_bytes(content)
    onnx.save(weights, folder / "model.onnx")


def write_folder(model: TestModel, folder: Path) -> None:
    """Writes one model folder and the reference beside it."""
    folder.mkdir(parents=True)
    vocab = vocabulary()
    labels = model.labels
    config: dict[str, Any] = {
        "architectures": [model.architecture],
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "model_type": "bert",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": vocab[SPECIAL_TOKENS["pad"]],
        "type_vocab_size": 2,
        "vocab_size": len(vocab),
    }
    head = None
    if labels:
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
        head = bert_onnx.Head(
            weight=seeded_tensor(f"{model.task}.weight", (HIDDEN, len(labels)), 0.5),
            bias=seeded_tensor(f"{model.task}.bias", (len(labels),), 0.1),
            per_token=model.task == "token_classification",
        )
    write_json(folder / "config.json", config)
    weights = encoder_weights(len(vocab))
    write_weights(model, bert_onnx.build(config, weights, head, model.inputs, projection(model)), folder)

    is_sentence_model = model.task == "sentence_embedding"
    # Like all-MiniLM-L6-v2, the sentence model has a fixed padding in tokenizer.json that nobody applies.
    padding = model.tokenizer_limit if is_sentence_model else None
    tokenizer = make_tokenizer(vocab, model.tokenizer_limit, padding)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    special_tokens = {f"{kind}_token": token for kind, token in SPECIAL_TOKENS.items()}
    write_json(folder / "special_tokens_map.json", special_tokens)
    write_json(
        folder / "tokenizer_config.json",
        {
            **special_tokens,
            "do_lower_case": True,
            "model_max_length": POSITIONS,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "tokenizer_class": "BertTokenizer",
        },
    )
    if is_sentence_model:
        write_sentence_transformers_files(folder)
    reference.write(folder / "reference.json", reference.describe(folder, model.task, model.texts))


def numeric_differences(expected: Any, found: Any, path: str) -> list[str]:
    """Where two JSON values differ, numbers by more than `TOLERANCE` (absolute and relative)."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [d for key in expected for d in numeric_differences(expected[key], found[key], f"{path}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(range(len(expected)), expected, found)
        return [d for index, old, new in pairs for d in numeric_differences(old, new, f"{path}[{index}]")]
    if isinstance(expected, float) and isinstance(found, float):
        equal = math.isclose(expected, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        equal = expected == found
    return [] if equal else [f"{path}: {expected!r} / {found!r}"]


def differences(committed: Path, fresh: Path) -> list[str]:
    """What would change in one model folder; references are compared as numbers, all other files byte for byte."""
    names = {p.relative_to(root).as_posix() for root in (committed, fresh) for p in root.rglob("*") if p.is_file()}
    found = []
    for name in sorted(names):
        old, new = committed / name, fresh / name
        if not (old.is_file() and new.is_file()):
            found.append(f"{old}: {'not made by this script' if old.is_file() else 'missing'}")
        elif name == "reference.json":
            before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (old, new))
            before["onnxruntime"] = after["onnxruntime"]  # says who computed it, not what
            found += [f"{old}: {difference}" for difference in numeric_differences(before, after, "$")[:5]]
        elif old.read_bytes() != new.read_bytes():
            found.append(f"{old}: differs")
    return found


def main() -> int:
    """Writes the folders, or with --check compares them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "testing" / "models", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the folders are not up to date")
    arguments = parser.parse_args()

    problems = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    # On the output's own file system, so that a folder can be renamed into place.
    with tempfile.TemporaryDirectory(dir=None if arguments.check else arguments.out, prefix=".making-") as scratch:
        for model in TEST_MODELS:
            fresh, folder = Path(scratch) / model.name, arguments.out / model.name
            write_folder(model, fresh)
            size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
            if arguments.check:
                problems += differences(folder, fresh)
            else:
                if folder.exists():
                    folder.rename(Path(scratch) / f"{model.name}.old")
                fresh.rename(folder)
            print(f"{model.name:<26}{size / 1000:7.1f} kB")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("hint: write them again with the same command without --check", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
