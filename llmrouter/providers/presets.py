"""Servers that speak OpenAI's protocol, known by name: where they are, which key they take, how they deviate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from llmrouter.providers.openai_dialect import COMPATIBLE, Dialect


@dataclass(frozen=True, slots=True)
class Preset:
    """One server: its base URL, the environment variables that hold its key (first wins), and its dialect."""

    base_url: str
    key_variables: tuple[str, ...] = ()
    url_variables: tuple[str, ...] = ()  # environment variables that may hold another base URL
    needs_key: bool = True
    dialect: Dialect = COMPATIBLE


_LOCAL = Dialect(echoes=("reasoning_content", "reasoning"), embed_batch=512)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "openrouter": Preset(
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            dialect=Dialect(
                reasoning="openrouter", document_urls="file_data", cache_marks=True, echoes=("reasoning_details",)
            ),
        ),
        "groq": Preset(
            "https://api.groq.com/openai/v1",
            ("GROQ_API_KEY",),
            dialect=Dialect(max_tokens="max_completion_tokens", reasoning="groq", echoes=(), embed_batch=0),
        ),
        "mistral": Preset(
            "https://api.mistral.ai/v1",
            ("MISTRAL_API_KEY",),
            dialect=Dialect(
                seed="random_seed",
                reasoning="mistral",
                stream_options=False,
                document_urls="document_url",
                names=False,
                prefix_flag=True,
                tool_id_pattern="[a-zA-Z0-9]{9}",
                tool_id_length=9,
                echoes=(),
                embed_batch=64,
                dimensions="output_dimension",
            ),
        ),
        "deepseek": Preset(
            "https://api.deepseek.com",
            ("DEEPSEEK_API_KEY",),
            dialect=Dialect(reasoning="deepseek", native_schema=False, images=False, embed_batch=0),
        ),
        "xai": Preset("https://api.x.ai/v1", ("XAI_API_KEY",), dialect=Dialect(echoes=(), embed_batch=0)),
        "together": Preset("https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        "fireworks": Preset("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        "cerebras": Preset(
            "https://api.cerebras.ai/v1",
            ("CEREBRAS_API_KEY",),
            dialect=Dialect(max_tokens="max_completion_tokens", echoes=(), embed_batch=0),
        ),
        "perplexity": Preset(
            "https://api.perplexity.ai",
            ("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
            dialect=Dialect(echoes=(), embed_batch=0),
        ),
        "huggingface": Preset("https://router.huggingface.co/v1", ("HF_TOKEN",)),
        "ollama": Preset(
            "http://127.0.0.1:11434/v1", ("OLLAMA_API_KEY",), ("OLLAMA_BASE_URL",), needs_key=False, dialect=_LOCAL
        ),
        "vllm": Preset(
            "http://127.0.0.1:8000/v1", ("VLLM_API_KEY",), ("VLLM_BASE_URL",), needs_key=False, dialect=_LOCAL
        ),
        "lmstudio": Preset(
            "http://127.0.0.1:1234/v1", ("LMSTUDIO_API_KEY",), ("LMSTUDIO_BASE_URL",), needs_key=False, dialect=_LOCAL
        ),
    }
)
