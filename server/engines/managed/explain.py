"""What the engine's log means for a person: the phase of its start, and why it ended. Pure."""

from __future__ import annotations

import re

_PHASES = (
    (r"Downloading|Fetching \d+ files|Time spent downloading", "downloading weights"),
    (r"Resolved architecture", "starting the engine process"),
    (r"Starting to load model|Loading safetensors", "loading weights"),
    (r"Loading weights took|KV cache size", "warming up"),
    (r"[Cc]ompiling|torch\.compile|Dynamo bytecode", "compiling"),
    (r"Capturing (?:CUDA|cuda) ?graphs", "capturing CUDA graphs"),
    (r"init engine \(", "loading the tokenizer"),
    (r"Starting vLLM (?:API )?server|Application startup", "opening the port"),
)
FIRST_PHASE = "importing vLLM"


def phase(line: str) -> str | None:
    """The phase that a line of the log begins, or None."""
    if "non-default args" in line or "disabling torch.compile" in line or "vLLM engine (v" in line:
        return None  # these quote every setting
    return next((name for pattern, name in reversed(_PHASES) if re.search(pattern, line)), None)


_CAUSES = (
    (
        r"CUDA driver version is insufficient|driver on your system is too old|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "the NVIDIA driver is too old for vLLM's CUDA 13: install driver 580 or newer",
    ),
    (
        r"No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device",
        "vLLM finds no NVIDIA GPU: check nvidia-smi (in a container, run it with --gpus all)",
    ),
    (
        r"address already in use|Address already in use",
        "its port is taken: stop what uses it, or set engines.local.managed.port",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory",
        "the GPU's memory does not suffice: end other programs on the GPU (nvidia-smi shows them), name a smaller "
        "model, or lower --max-num-seqs / --max-model-len in engines.local.managed.args",
    ),
    (
        r"Free memory on device .* less than desired",
        "other programs use the GPU's memory: end them (nvidia-smi shows them), or lower --gpu-memory-utilization in "
        "engines.local.managed.args",
    ),
    (
        r"No available memory for the cache blocks|larger than the available KV cache memory|KV cache is needed",
        "no memory is left for the KV cache: lower --max-model-len in engines.local.managed.args",
    ),
    (
        r"Available memory on node|std::bad_alloc|Cannot allocate memory|can't allocate memory|MemoryError",
        "the machine's memory does not suffice: end other programs, or lower --kv-cache-memory-bytes / --max-num-seqs "
        "in engines.local.managed.args",
    ),
    (r"No space left on device", "the disk is full: make room, or set HF_HOME to a folder on a larger disk"),
    (
        r"401 Client Error|403 Client Error|GatedRepoError|RepositoryNotFoundError|Repository Not Found",
        "the model hub refuses the weights: check the name, set HF_TOKEN, or give the path of a local folder in "
        "engines.local.managed.model",
    ),
    (
        r"LocalEntryNotFoundError|cannot find the requested files in the local cache|couldn't connect to|"
        r"Failed to resolve|Temporary failure in name resolution|Network is unreachable|ConnectTimeout|"
        r"Max retries exceeded|OfflineModeIsEnabled|HF_HUB_OFFLINE",
        "no network for the weights: give the path of a local folder in engines.local.managed.model, set HF_HOME to a "
        "cache that has them, or HF_ENDPOINT to a mirror that can be reached",
    ),
    (
        r"does not appear to have a file named|no file named|Cannot find any model weights|"
        r"instantiate the backend tokenizer",
        "the model folder is not complete: it needs config.json, the tokenizer and *.safetensors",
    ),
)


_ERROR = re.compile(
    r"^(?:\([^)]*\) )?(?:ERROR \S+ \S+ \[[^]]*\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE
)


def explain(log_tail: str, status: int | None = None) -> str:
    """Why the engine ended: one line, with a way out where the cause is known.

    `log_tail` is the end of its log, `status` its exit status (minus the signal where one ended it).
    """
    if wrong := re.search(r"error: (unrecognized arguments: .*|argument .*|the following arguments .*)", log_tail):
        return f"vLLM does not take its arguments ({_short(wrong[1])}): check engines.local.managed.args"
    if status == -9:
        return "something killed it (the kernel does when memory runs out; `dmesg | tail` tells)"
    for pattern, line in _CAUSES:
        if re.search(pattern, log_tail):
            return line
    if status == -4:
        return "this processor lacks instructions of vLLM's build (SIGILL): give engines.local.url another engine"
    return _own_words(log_tail)


def _own_words(log_tail: str) -> str:
    """What vLLM itself says, where the cause is not one of those above."""
    if refused := re.search(r"Value error, (.+?)(?: \[type=|$)", log_tail, re.MULTILINE):
        return f"vLLM refuses its settings: {_short(refused[1])}"
    errors = _ERROR.findall(log_tail)
    told = [error for error in errors if "EngineDeadError" not in error and "Engine core initialization" not in error]
    if told:
        return f"vLLM says: {_short(told[-1])}"
    if errors:
        return "its engine process ended without a reason (the kernel kills when memory runs out; `dmesg | tail` tells)"
    lines = [line.strip() for line in log_tail.splitlines() if line.strip() and " INFO " not in line]
    if not lines:
        return "vLLM ended without a word (it does where its log cannot be written: check the disk with `df`)"
    return f"vLLM's last words: {_short(lines[-1])}"


def _short(text: str) -> str:
    """Without colours and on one line."""
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return plain if len(plain) <= 300 else plain[:297] + "..."
