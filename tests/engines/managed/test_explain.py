import pytest

from server.engines.managed.backoff import Backoff
from server.engines.managed.explain import explain, phase

NOISE = "(APIServer pid=1) INFO 11-24 00:16:32 [model.py:733] Resolved architecture: GptOssForCausalLM\n"


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ("api_server.py: error: unrecognized arguments: --nonsense 3\n", "--nonsense 3): check engines.local.managed.args"),  # noqa: E501
        ("api_server.py: error: argument --port: invalid int value: 'x'\n", "check engines.local.managed.args"),
        ("OSError: [Errno 98] Address already in use\n", "engines.local.managed.port"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n", "GPU's memory does not suffice"),
        ("ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU\n", "nvidia-smi"),
        ("ValueError: No available memory for the cache blocks. Try increasing\n", "KV cache"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020)\n", "driver 580"),
        ("huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate\n", "HF_ENDPOINT"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files\n", "no network for the weights"),
        ("OSError: /m does not appear to have a file named pytorch_model.bin\n", "not complete"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried\n", "machine's memory"),
        ("OSError: [Errno 28] No space left on device\n", "HF_HOME"),
        ("(APIServer pid=3) ValueError: Something new\n", "vLLM says: ValueError: Something new"),
        ("(EngineCore pid=3) ERROR 11-24 00:17:05 [core.py:1] RuntimeError: boom\n"
         "RuntimeError: Engine core initialization failed. See root cause above.\n", "vLLM says: RuntimeError: boom"),
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.\n", "ended without a reason"),
        ("guard: /x/python: No such file or directory\n", "last words: guard: /x/python: No such file"),
        ("  Value error, User-specified max_model_len (9) is too much [type=value_error, input_value=1]\n", "refuses its settings"),  # noqa: E501
        ("ValueError: Couldn't instantiate the backend tokenizer from one of:\n", "not complete"),
        ("ValueError: Available memory on node 0 (10.63/18.34 GiB) on startup is less than\n", "machine's memory"),
        ("", "without a word"),
    ],
)  # fmt: skip
def test_the_end_of_a_log_becomes_one_line(tail: str, says: str) -> None:
    line = explain(NOISE + tail if tail else "", 1)
    assert says in line
    assert "\n" not in line


def test_signals() -> None:
    assert "killed" in explain(NOISE, -9)
    assert "SIGILL" in explain(NOISE, -4)


def test_phases_of_a_start() -> None:
    log = [
        "(APIServer pid=1) INFO 11-24 00:16:25 [api_utils.py:286] non-default args: {'load_format': 'Downloading'}",
        NOISE,
        "(Worker pid=3) INFO [cpu_model_runner.py:68] Starting to load model /tmp/eng/tiny...",
        "(Worker pid=3) INFO [default_loader.py:501] Loading weights took 0.18 seconds",
        "(EngineCore pid=2) INFO [core.py:402] init engine (profile, create kv cache, warmup model) took 2.12 s",
        "(APIServer pid=1) INFO [entry.py:140] Starting vLLM server on http://127.0.0.1:8191",
        "nothing of interest",
    ]
    assert [phase(line) for line in log] == [
        None,
        "starting the engine process",
        "loading weights",
        "warming up",
        "loading the tokenizer",
        "opening the port",
        None,
    ]


def test_backoff_doubles_to_its_bound_and_forgets_after_health() -> None:
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.after(299) == 60
    assert backoff.after(300) == 1
    assert backoff.after(1) == 2
