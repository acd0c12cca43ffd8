#!/usr/bin/env python3
"""Writes the inputs that the fuzz targets start from into fuzz/corpus: small, and with everything that is parsed in them.

    python3 fuzz/make_seeds.py

What fuzzing found beyond them lies there too and is kept: `fuzz/run TARGET -merge=1` (see README.md).
"""

import hashlib
import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """A protobuf field: text, bytes and messages, or an integer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def save(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed_{name}").write_bytes(content)


# encoderfiles -------------------------------------------------------------------------------------------------------


def artifact(number, offset, content, name=""):
    body = fixed64(1, offset) + fixed64(2, len(content)) + field(3, hashlib.sha256(content).digest())
    return field(number, body + (field(4, name) if name else b""))


SHA256 = bytes(range(32))
PLAIN = [(1, 4), (2, "tiny"), (3, "1.2.3")]
ADDITIONS = PLAIN + [
    (4, message((1, "x86_64-unknown-linux-gnu"), (2, "0.1.0"), (3, SHA256), (4, "0123456789ABCDEF"))),
    (5, message((1, "encoderfile"), (2, "0.1.0"))),
    (6, message((1, bytes([1, 3, 6])), (2, 1), (3, 1))),
    (7, message((1, "tokenizer.json"), (2, 9803), (3, SHA256))),
    (8, message((1, "query"), (2, "query: "))),
    (8, message((1, "passage"), (2, "passage: "))),
    (9, "query"),
    (10, message((1, "tokenizer.max_length"), (2, "256"), (3, "sentence_bert_config.json"))),
    (10, message((1, "pooling"), (2, '["cls","max"]'), (3, "given"))),
    (11, message((1, 12), (2, 4), (3, "null"))),
    (11, message((1, 700), (3, "\n"))),
    (44, "of the future"),
    (45, 7),
    (49, bytes(32)),
]
CONTENTS = [
    (120, b'{"model_type":"bert"}', ""),
    (130, b'{"tokenizer":{},"config":{"padding":null,"truncation":null}}', ""),
    (100, b"weights", "onnx/model.onnx"),
    (110, b"\x08\x01\x12\x04true", ""),
    (140, b"{}", ""),
    (150, b"tensors", "onnx/model.onnx_data"),
    (150, b"more", "onnx/model.onnx_data_1"),
    (160, b"{}", "config.json"),
    (160, b"[]", "1_Pooling/config.json"),
    (170, b"an artifact of the future", ""),
    (1234, b"another", "a/b"),
]


def manifest(fields, contents):
    """The manifest and its artifacts' bytes, right behind each other."""
    size = len(message(*fields)) + sum(len(artifact(n, 0, c, name)) for n, c, name in contents)
    out, position, rest = message(*fields), size, b""
    for number, content, name in contents:
        out += artifact(number, position, content, name)
        position += len(content)
        rest += content
    return out, rest


def encoderfile(fields, contents, base=b"a base binary"):
    encoded, rest = manifest(fields, contents)
    footer = b"ENCFILE\0" + struct.pack("<IQQI", 1, len(base), len(encoded), 1)
    return base + encoded + rest + footer


KINDS = {"plain": (PLAIN, CONTENTS[:2]), "full": (ADDITIONS, CONTENTS), "bare": ([], []), "no_artifacts": (ADDITIONS, [])}
for name, (fields, contents) in KINDS.items():
    save("file", name, encoderfile(fields, contents))
    save("manifest", name, manifest(fields, contents)[0])
    save("rewrite", name, manifest(fields, contents)[0])

# ONNX models --------------------------------------------------------------------------------------------------------


def dimension(size):
    return message((1, size)) if isinstance(size, int) else message((2, size))


def value(name, element, *shape):
    shape = message(*((1, dimension(size)) for size in shape))
    return message((1, name), (2, message((1, message((1, element), (2, shape))))))


def tensor(name, element, dimensions, raw=None, external=None):
    out = [(1, size) for size in dimensions] + [(2, element), (8, name)]
    if raw is not None:
        out.append((9, raw))
    if external is not None:
        out += [(13, message((1, key), (2, text))) for key, text in external.items()] + [(14, 1)]
    return message(*out)


def node(operator, inputs, outputs, attributes=(), domain="", name=""):
    out = [(1, i) for i in inputs] + [(2, o) for o in outputs] + [(3, name)] * bool(name) + [(4, operator)]
    return message(*out, *((5, a) for a in attributes), *([(7, domain)] * bool(domain)))


def graph(nodes, initializers, inputs, outputs, sparse=()):
    return message(
        *((1, n) for n in nodes),
        (2, "main"),
        *((5, i) for i in initializers),
        *((11, i) for i in inputs),
        *((12, o) for o in outputs),
        *((15, s) for s in sparse),
    )


def model(main, sets=(("", 17),), functions=(), training=(), ir=8):
    sets = [message((1, domain), (2, version)) for domain, version in sets]
    return message((1, ir), (2, "test"), (7, main), *((8, s) for s in sets), *((20, t) for t in training), *((25, f) for f in functions))


IDS = [value(name, 7, "batch", "sequence") for name in ("input_ids", "attention_mask", "token_type_ids")]
TABLE = tensor("table", 1, [6, 2], raw=bytes(48))
LOOKUP = [node("Cast", ["input_ids"], ["ids"]), node("Gather", ["table", "ids"], ["last_hidden_state"], [message((1, "axis"), (3, 0))])]
HIDDEN = value("last_hidden_state", 1, "batch", "sequence", 2)
LOGITS = value("logits", 1, "batch", 3)
EXTERNAL = {"location": "model.onnx_data", "offset": "64", "length": "48"}
BRANCH = graph([node("Identity", ["b"], ["c"])], [tensor("b", 1, [6, 2], external=EXTERNAL)], [], [value("c", 1)])
SPARSE = message((1, tensor("values", 1, [2], raw=bytes(8))), (2, tensor("indices", 7, [2], external={"location": "sparse.bin"})), (3, 9))

save("onnx", "embedding", model(graph(LOOKUP, [TABLE], IDS, [HIDDEN])))
save("onnx", "classification", model(graph(LOOKUP, [TABLE], IDS[:1], [LOGITS]), sets=[("ai.onnx", 11), ("ai.onnx.ml", 3)]))
save("onnx", "external", model(graph(LOOKUP, [tensor("table", 1, [6, 2], external=EXTERNAL)], IDS, [HIDDEN, LOGITS])))
save("onnx", "branch", model(graph(
    [node("If", ["x"], ["last_hidden_state"], [message((1, "then_branch"), (6, BRANCH)), message((1, "more"), (11, BRANCH))])],
    [TABLE, tensor("halves", 21, [3], raw=bytes(2)), tensor("typed", 7, [1])], IDS, [HIDDEN], [SPARSE])))
save("onnx", "function", model(
    graph([node("Twice", ["input_ids"], ["logits"], domain="custom", name="n")], [], IDS[:1], [LOGITS]),
    sets=[("", 17), ("custom", 1)],
    functions=[message((1, "Twice"), (4, "x"), (5, "y"), (7, node("Gather", ["t", "x"], ["y"])), (9, message((2, 17))), (10, "custom"),
                       (11, message((1, "a"), (5, tensor("t", 1, [1], external=EXTERNAL)))))],
    training=[message((1, BRANCH), (2, BRANCH))]))
save("onnx", "quantized", model(graph(
    [node("DequantizeLinear", ["q", "s", "z"], ["table"]), *LOOKUP,
     node("EmbedLayerNormalization", ["input_ids", "", "table"], ["e"], domain="com.microsoft"),
     node("Constant", [], ["k"], [message((1, "value"), (5, tensor("k", 10, [2, 2], raw=bytes(8)))), message((1, "sparse"), (22, SPARSE))])],
    [tensor("q", 3, [6, 2], raw=bytes(12)), tensor("s", 1, [], raw=bytes(4)), tensor("z", 3, [], raw=bytes(1))], IDS, [HIDDEN]),
    sets=[("", 19), ("com.microsoft", 1)]))

# encoderfile.yml ----------------------------------------------------------------------------------------------------

save("build_file", "folder", b"""# A comment.
encoderfile:
  name: &name mood
  version: *name
  path: ./model
  model_type: sentence_embedding
  weights: fp16
  pooling: [cls, max]
  normalize: true
  prompts: {query: 'query: ', document: ''}
  default_prompt_name: query
  tokenizer:
    pad_strategy: {fixed: 128}
    truncation_side: right
    truncation_strategy: longest_first
    max_length: 256
    stride: 0
  transform: |
    function Postprocess(arr)
      return arr
    end
  lua_libs: [math, string]
  validate_transform: false
  output_path: "out\\x20put"
  target: [x86_64-unknown-linux-gnu, aarch64-apple-darwin]
  runtime_version: ^0.1
  base_binary_path: b
  cache_dir: ~
""")
save("build_file", "files", b"""encoderfile:
  path:
    model_config_path: config.json
    model_weights_path: model.onnx
    tokenizer_path: tokenizer.json
    tokenizer_config_path: tokenizer_config.json
    preprocessor_config_path:
  tokenizer: {pad_strategy: batch_longest}
  pooling: mean
  transform: {path: transform.lua}
""")
save("build_file", "unknown", b"encoderfile:\n  nmae: x\n  tokenizer: {max_lenght: 5}\n")
save("build_file", "tagged", b"%YAML 1.2\n---\n!!map\nencoderfile: {name: !!str 5, path: >-\n  a\n  b\n}\n...\n")

# The rest -----------------------------------------------------------------------------------------------------------

TOKENIZER = '{"version": "1.0", "truncation": {"max_length":512},\n "padding": null, "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "\\u00e9": 1}}}\n'
PADDING = '{"strategy":"BatchLongest","direction":"Right","pad_id":0,"pad_token":"[PAD]"}'
save("tokenizer", "both", f"{TOKENIZER}\0{PADDING}\0{{\"max_length\":64}}".encode())
save("tokenizer", "neither", b" {\"a\" : [1e-5] } \0null\0null")
save("tokenizer", "empty", f"{{}}\0{PADDING}\0null".encode())
save("tokenizer", "artifact", f'{{"tokenizer":{TOKENIZER},"config":{{"padding":{PADDING},"truncation":null}}}}'.encode())

save("content", "transform", message((1, 1), (2, "function Postprocess(arr) return arr end"), (3, message((1, "math"), (1, "table")))))
save("content", "model_config", b'{"model_type":"bert","num_labels":2,"id2label":{"0":"a","1":"b"},"label2id":{"a":0,"b":1},"image_size":[8,8]}')
STAMP = message((1, "0.1.0"), (2, "x86_64-unknown-linux-gnu"), (3, bytes([1, 2])), (4, "1.23.2"))
save("content", "stamp", STAMP)
save("content", "stamp_in_place", b"code\0ENCODERFILE-RT\0\0ENCODERFILE-RT\0" + struct.pack("<I", len(STAMP)) + STAMP + hashlib.sha256(STAMP).digest())

# Executables --------------------------------------------------------------------------------------------------------


def stamp(target):
    body = message((1, "0.1.0"), (2, target), (3, bytes([1])), (4, "1.23.2"))
    return b"\0ENCODERFILE-RT\0" + struct.pack("<I", len(body)) + body + hashlib.sha256(body).digest()


def elf(machine, kind, behind=b""):
    """Sections: none, names of the loader, verneed, dynamic."""
    strings = b"\0libc.so.6\0GLIBC_2.34\0GLIBC_2.39\0libstdc++.so.6\0"
    verneed = struct.pack("<HHIII", 1, 2, 1, 16, 0)
    verneed += struct.pack("<IHHII", 1, 0, 2, 11, 16) + struct.pack("<IHHII", 2, 2, 3, 22, 0)
    dynamic = struct.pack("<QQQQQQ", 1, 1, 1, 33, 0, 0)
    parts = [b"", strings, verneed, dynamic]
    kinds = [(0, 0, 0), (3, 0, 0), (0x6FFFFFFE, 1, 1), (6, 1, 0)]
    offset, body, table = 64, b"", b""
    for part, (section, link, info) in zip(parts, kinds):
        table += struct.pack("<IIQQQQIIQQ", 0, section, 0, 0, offset, len(part), link, info, 1, 16)
        offset, body = offset + len(part), body + part
    body += bytes(-len(body) % 8)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, 4, 1)
    return header + body + table + behind


def macho(cpu, kind, version, behind=b""):
    return struct.pack("<15I", 0xFEEDFACF, cpu, 0, kind, 1, 24, 0, 0, 0x32, 24, 1, version, 0, 0, 0) + behind


save("executable", "elf_x86_64", elf(62, 2, stamp("x86_64-unknown-linux-gnu")))
save("executable", "elf_aarch64", elf(183, 3, stamp("aarch64-unknown-linux-gnu") + elf(183, 3)))
save("executable", "macho_aarch64", macho(0x0100000C, 2, 0x000B0000, stamp("aarch64-apple-darwin")))
save("executable", "macho_x86_64", macho(0x01000007, 2, 0x000A0F00, macho(0x01000007, 6, 0x000D0301)))


def image(segments, signature):
    """The smallest Mach-O executable for x86_64 that a model can be put into: the start of a page, then `__LINKEDIT`."""
    linkedit = 0x1000
    count = len(segments) + 1
    list_end = 32 + 4 + 4 * count
    chains = (list_end + 7) // 8 * 8
    fixups = struct.pack("<8I", 0, 32, chains + 24, chains + 28, 1, 1, 0, 0) + struct.pack("<I", count)
    fixups += struct.pack(f"<{count}I", *[chains - 32 if name == b"__TEXT" else 0 for name in (*segments, b"")])
    fixups = fixups.ljust(chains, b"\0") + struct.pack("<IHHQIHH", 24, 0x1000, 6, 0, 0, 1, 0)
    fixups += struct.pack("<I", 0x201) + b"\0_puts\0\0"
    fixups += bytes(-len(fixups) % 8)
    symbols = struct.pack("<IBBHQ", 1, 1, 0, 0, 0)
    strings = b" _puts\0\0"
    content = b"".join((fixups, symbols, strings))
    content += bytes(-len(content) % 16)
    end = linkedit + len(content)
    room = 192 if signature else 0

    def segment(name, address, size, offset, length, section=b""):
        numbers = struct.pack("<4Q4I", address, size, offset, length, 5, 5, bool(section), 0)
        return struct.pack("<II16s", 0x19, 72 + len(section), name) + numbers + section

    section = struct.pack("<16s16s2Q8I", b"__text", b"__TEXT", 1 << 32, 16, 0xFF0, 2, *[0] * 6)
    commands = []
    for name in segments:
        text = name == b"__TEXT"
        sizes = (1 << 32, 0x1000, 0, 0x1000, section) if text else (0, 1 << 32, 0, 0)
        commands.append(segment(name, *sizes))
    commands.append(segment(b"__LINKEDIT", (1 << 32) + 0x1000, 0x1000, linkedit, len(content) + room))
    commands.append(struct.pack("<4I", 0x80000034, 16, linkedit, len(fixups)))
    place = linkedit + len(fixups)
    commands.append(struct.pack("<6I", 2, 24, place, 1, place + len(symbols), len(strings)))
    if signature:
        commands.append(struct.pack("<4I", 0x1D, 16, end, room))
    body = b"".join(commands)
    header = struct.pack("<8I", 0xFEEDFACF, 0x01000007, 3, 2, len(commands), len(body), 0x85, 0)
    signed = (header + body).ljust(0x1000, b"\0") + content
    start = struct.pack("<H", len(header + body)) + header + body
    if not signature:
        return start + content
    pages = [hashlib.sha256(signed[at : at + 0x1000]).digest() for at in range(0, len(signed), 0x1000)]
    directory = struct.pack(">9I4B6I", 0xFADE0C02, 90 + 32 * len(pages), 0x20400, 0x20002, 90, 88, 0, len(pages),
                            len(signed), 32, 2, 0, 12, *[0] * 6)
    directory += struct.pack(">3Q", 0, 0x1000, 1) + b"a\0" + b"".join(pages)
    blob = struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory
    return start + content + blob.ljust(room, b"\0")


# With room in the list of segments, and without.
save("mach_o", "signed", image((b"__TEXT",), True))
save("mach_o", "unsigned", image((b"__PAGEZERO", b"__TEXT"), False))
