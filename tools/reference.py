"""What a model folder should answer, computed with the Python packages `tokenizers` and `onnxruntime`.

Each text is run alone, unpadded. Shapes in the comments: S tokens, H hidden size, L labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

TASKS = ("sentence_embedding", "embedding", "sequence_classification", "token_classification")


def as_json(values: np.ndarray) -> Any:
    """Nested lists whose numbers are the shortest that read back as the same float32."""
    if values.ndim == 0:
        return float(str(values.astype(np.float32)))
    return [as_json(value) for value in values]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float64."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def length_limit(folder: Path) -> int | None:
    """Tokens that a text is cut to, special ones included.

    The first of: sentence-transformers' file, which wins in Python too; tokenizer.json; tokenizer_config.json, which
    `transformers` reads.
    """

    def read(name: str) -> dict[str, Any]:
        path = folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    limits = [
        read("sentence_bert_config.json").get("max_seq_length"),
        (read("tokenizer.json").get("truncation") or {}).get("max_length"),
        read("tokenizer_config.json").get("model_max_length"),
    ]
    return next((int(limit) for limit in limits if limit is not None), None)


class Reference:
    """A model folder, ready to answer."""

    def __init__(self, folder: Path, task: str):
        self.task = task
        self.limit = length_limit(folder)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        if self.limit is not None:
            self.tokenizer.enable_truncation(self.limit)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the order of additions must not depend on the machine's cores
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.labels = [label for _, label in sorted((int(i), name) for i, name in config.get("id2label", {}).items())]

    def answer(self, text: str) -> dict[str, Any]:
        """The result for one text, ready to be written as JSON."""
        encoding = self.tokenizer.encode(text)
        feed = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        wanted = [value.name for value in self.session.get_inputs()]
        tensors = {name: np.array([feed[name]], dtype=np.int64) for name in wanted}
        output = self.session.run(None, tensors)[0][0]  # [S, H], [S, L] or [L]
        answer = {"truncated": bool(encoding.overflowing), "input_ids": encoding.ids}

        if self.task == "sentence_embedding":
            mean = output.astype(np.float64).mean(axis=0)  # of all tokens: nothing is padded
            answer["embedding"] = as_json(mean / max(np.linalg.norm(mean), 1e-12))
        elif self.task == "sequence_classification":
            best = int(output.argmax())
            answer["logits"], answer["scores"] = as_json(output), as_json(softmax(output))
            answer["predicted_index"], answer["predicted_label"] = best, self.labels[best]
        else:
            answer["tokens"] = [
                self._token(encoding, index, row)
                for index, row in enumerate(output)
                if not encoding.special_tokens_mask[index]
            ]
        return answer

    def _token(self, encoding: tokenizers.Encoding, index: int, row: np.ndarray) -> dict[str, Any]:
        """One token and its row of the output; `start` and `end` count the text's characters, not bytes."""
        start, end = encoding.offsets[index]
        token = {"token": encoding.tokens[index], "token_id": encoding.ids[index], "start": start, "end": end}
        if self.task == "embedding":
            return {**token, "embedding": as_json(row)}
        scores, best = softmax(row), int(row.argmax())
        label = {"label": self.labels[best], "score": as_json(scores)[best]}
        return {**token, "logits": as_json(row), "scores": as_json(scores), **label}


def describe(folder: Path, task: str, texts: list[str]) -> dict[str, Any]:
    """The content of a reference file: the texts and, at the same index, what the model answers to them."""
    reference = Reference(folder, task)
    return {
        "task": task,
        "onnxruntime": onnxruntime.__version__,
        "max_length": reference.limit,
        "inputs": texts,
        "results": [reference.answer(text) for text in texts],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with one result a line, so that a difference can be read."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            items = ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value)
            lines.append(f" {json.dumps(key)}: [\n  {items}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
