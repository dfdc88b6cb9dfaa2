"""The bundled vocabulary and the counting of plain text."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from hypothesis import given, strategies as st

from llmrouter.tokens import encoding

PUBLISHED = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def packed() -> bytes:
    return files("llmrouter.tokens").joinpath(encoding.VOCABULARY).read_bytes()


def test_the_vocabulary_is_the_published_file() -> None:
    assert hashlib.sha256(gzip.decompress(packed())).hexdigest() == PUBLISHED


def test_the_vocabulary_carries_no_time_stamp_so_that_builds_repeat() -> None:
    assert packed()[4:8] == b"\0\0\0\0"


def test_the_encoding_is_tiktokens_own() -> None:
    openai_public = pytest.importorskip("tiktoken_ext.openai_public")
    ours = encoding.load()
    lines = gzip.decompress(packed()).splitlines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_args, **_options: {})
        theirs = openai_public.o200k_base()
    assert ours._pat_str == theirs["pat_str"]
    assert ours._special_tokens == theirs["special_tokens"]
    assert [int(line.split()[1]) for line in lines] == list(range(len(lines)))


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("hello world", 2), ("Grüße aus Köln!", 6), ("1234567", 3), ("  \n\n x", 2)]
)
def test_known_texts_have_their_known_counts(text: str, tokens: int) -> None:
    assert encoding.count(text) == tokens


def test_counting_needs_neither_network_nor_download_cache() -> None:
    script = (
        "import os, socket\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "os.environ['TIKTOKEN_CACHE_DIR'] = '/nonexistent'\n"
        "from llmrouter.tokens import TokenCounter\n"
        "assert TokenCounter().count_text('hello world') == 2\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_importing_the_package_loads_neither_tiktoken_nor_the_vocabulary() -> None:
    script = "import sys, llmrouter.tokens; assert 'tiktoken' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_threads_that_come_first_together_get_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoding.load()
    reads = []

    def slow_read() -> object:
        time.sleep(0.02)
        reads.append(1)
        return loaded

    monkeypatch.setattr(encoding, "_encoding", None)
    monkeypatch.setattr(encoding, "_read", slow_read)
    with ThreadPoolExecutor(8) as pool:
        got = {id(future.result()) for future in [pool.submit(encoding.load) for _ in range(8)]}
    assert (len(got), len(reads)) == (1, 1)


def test_special_tokens_in_a_text_are_ordinary_text() -> None:
    assert encoding.count("<|endoftext|>") > 1
    assert encoding.count("<|endofprompt|> and <|im_start|>") > 5


def test_a_lone_surrogate_counts_as_the_replacement_character() -> None:
    assert encoding.count("a\ud800b") == encoding.count("a\ufffdb")


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("a" * 1_000_000, 125_000),
        (" " * 1_000_000, 7_000),
        (" " * 1_000_000 + "x", 7_000),
        ("\n" * 1_000_000, 60_000),
        ("😀" * 250_000, 250_000),
        ("e\u0301" * 250_000, 250_000),
        ("\t " * 250_000, 250_000),
        ("<|endoftext|>" * 50_000, 300_000),
        ("\ud83d" * 100_000, 10_000),
        (("a" * 50_000 + " ") * 20, 125_000),
    ],
    ids=["a", "spaces", "spaces-x", "newlines", "emoji", "combining", "tabs", "special", "surrogates", "long-words"],
)
def test_a_megabyte_of_monotony_neither_panics_nor_takes_long(text: str, least: int) -> None:
    began = time.perf_counter()
    assert encoding.count(text) >= least
    assert time.perf_counter() - began < 10


@given(st.text(alphabet="aB9 \n\r\t.,'sé漢😀/\u0301\ud800-", min_size=1, max_size=60), st.integers(4, 40))
def test_cutting_long_text_into_chunks_does_not_change_its_count(text: str, chunk: int) -> None:
    whole = len(encoding.load().encode_ordinary(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_CHUNK", chunk)
        chunks = encoding._chunks(text)
        counted = encoding.count(text)
    assert "".join(chunks) == text
    at_a_space = all(chunk[0] == " " for chunk in chunks[1:]) and not any(chunk[-1].isspace() for chunk in chunks[:-1])
    if at_a_space:  # elsewhere there was no place that no token spans
        assert counted == whole


@given(st.text(max_size=300))
def test_any_text_at_all_can_be_counted(text: str) -> None:
    assert 0 <= encoding.count(text) <= 4 * len(text.encode("utf-8", "replace"))
