"""Decoding beside its peers: same model, same contexts, same tokens, in one run.

    python benchmarks/decoding.py [--contexts 1000] [--horizon 1500]
    python benchmarks/decoding.py --brief           # the transformers to 400 tokens only: under four minutes
    python benchmarks/decoding.py --tiny            # seconds: only to see that it runs
    python benchmarks/decoding.py --record          # and keep the figures for the book's Speed page

1. The same small GPT-2 through transformers' generate and through this package (tokens compared one by one).
2. The same LSTM through a plain PyTorch loop (no compaction, no early leave) and through this package.
3. Termination of a bigram under top-2: the linear solve against simulation to the same standard error.
4. Peak memory of tensors in recurrent decoding at two horizons.

One thread; `--clock cpu` counts this process's seconds in place of the wall's, for a machine that is not idle. The weights
are random. 1 and 2 are run twice: with <eos> lifted until nine contexts in ten stop within 100 tokens, and with <eos> out
of reach, so that no row ends early. Where rows stop, most of what is won is that they leave the batch. On endless rows an
LSTM wins where its state comes back bit for bit, so that what follows can be copied; a transformer with absolute positions
has no such state, and wins by its cache: written in place, keys stored time last, two thin products in place of fused
attention.

On endless rows the peer's time depends on what the process did before. It copies its caches at every step, and where the C
library hands such blocks back to the system each time, most of its time goes into page faults. So that part is timed
twice: behind the others, and in a process of its own (`--only gpt2 --rows endless`), as of a script that does nothing else.

The two sum in different orders, so where the best word leads by less than rounding, rounding decides: on endless texts of
1,500 tokens a few in a thousand may part there. Where texts part, the two words are compared in float64.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar, cast

import numpy as np
import torch
import transformers
from record import add_options, record
from torch import Tensor

from kexue.decoding.decode import decode
from kexue.decoding.exact import decoded_chain, survival, termination
from kexue.decoding.huggingface import from_gpt2
from kexue.decoding.memory import peak_bytes
from kexue.decoding.ngram import Markov
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.rules import Greedy, TopK
from kexue.decoding.transformer import Transformer
from kexue.press.results.benchmarks import Value

Result = TypeVar("Result")
Model = TypeVar("Model", Recurrent, Transformer)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]
rows: list[dict[str, Value]] = []


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What the work gives, and the seconds it took."""
    started = clock()
    result = work()
    return result, clock() - started


def mostly_stopping(lifted: Iterable[Model], context: Tensor) -> Model:
    """The first of the lifted models that stops for nine contexts in ten within 100 tokens."""
    for model in lifted:
        if float(decode(model, context[:100], Greedy(), 100).stopped.double().mean()) > 0.9:
            return model
    raise SystemExit("no lift of <eos> makes nine contexts in ten stop")


@torch.no_grad()
def leads_where_they_part(
    model: Recurrent | Transformer, context: Tensor, mine: Tensor, theirs: Tensor
) -> list[float]:
    """For each text that differs, how far our token leads theirs in float64 where they first part; below 0: theirs is right."""
    exact, leads = copy.deepcopy(model).double(), []
    for row in (mine != theirs).any(dim=1).nonzero().flatten().tolist():
        first = int((mine[row] != theirs[row]).nonzero()[0])
        text = torch.cat([context[row], mine[row, :first]])[None]
        logits = exact(text, start=text.shape[1] - 1)[0, -1]
        leads.append(float(logits[mine[row, first]] - logits[theirs[row, first]]))
    return leads


def side_by_side(
    label: str,
    model: Recurrent | Transformer,
    context: Tensor,
    horizon: int,
    peer_name: str,
    peer: Callable[[], Tensor],
    before: str = "other parts",
) -> None:
    """Time both, compare token by token; behind a row's <eos> both hold <eos>."""
    (mine, quick), (theirs, slow) = (
        timed(lambda: decode(model, context, Greedy(), horizon, leave_loops=isinstance(model, Recurrent))),
        timed(peer),
    )
    width = min(mine.tokens.shape[1], theirs.shape[1])
    leads = leads_where_they_part(model, context, mine.tokens[:, :width], theirs[:, :width])
    same = len(context) - len(leads)
    tokens = int(mine.lengths.sum())
    print(
        f"{label}, greedy, {len(context)} contexts, L = {horizon}: {tokens:,} tokens, "
        f"r = {1 - float(mine.stopped.double().mean()):.3f}; {peer_name} {tokens / slow:,.0f} tokens/s ({slow:.1f} s), "
        f"here {tokens / quick:,.0f} ({quick:.1f} s): {slow / quick:.1f} times; same tokens in {same} of {len(context)}"
        + (
            f"; where texts part, our token's lead in float64: {', '.join(f'{lead:+.1e}' for lead in leads)}"
            if leads
            else ""
        ),
        flush=True,
    )
    rows.append(
        {
            "model": label,
            "contexts": len(context),
            "L": horizon,
            "never stop": f"{1 - float(mine.stopped.double().mean()):.1%}",
            "beside": peer_name,
            "in this process before": before,
            "its tokens/s": round(tokens / slow),
            "tokens/s": round(tokens / quick),
            "times": round(slow / quick, 1),
            "texts with the same tokens": f"{same} of {len(context)}",
            "largest lead where texts part": max((abs(lead) for lead in leads), default=None),
        }
    )


def beside_generate(contexts: int, horizon: int, stopping: bool, before: str = "other parts") -> None:
    """The same small GPT-2 through transformers' generate and here."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=500,
        n_positions=max(horizon, 100) + 16,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=499,
        initializer_range=0.3,
    )
    theirs: Any = transformers.GPT2LMHeadModel(config).train(False)
    context = torch.randint(0, 499, (contexts, 10), generator=torch.Generator().manual_seed(1))
    direction = 0.3 * torch.randn(32, generator=torch.Generator().manual_seed(2))

    def lifted() -> Iterator[Transformer]:
        for factor in (1.5, 2.0, 3.0, 4.0, 6.0, 8.0):
            with torch.no_grad():
                theirs.transformer.wte.weight[499] = factor * direction
            yield from_gpt2(theirs)

    if stopping:
        ours = mostly_stopping(lifted(), context)
    else:
        with torch.no_grad():
            theirs.transformer.wte.weight[499] = 0.0  # a logit of 0 is never the largest of 500
        ours = from_gpt2(theirs)
    ask = {"max_new_tokens": horizon, "do_sample": False, "pad_token_id": 499}

    def generate() -> Tensor:
        with torch.no_grad():
            found: Tensor = theirs.generate(context, attention_mask=torch.ones_like(context), **ask)
        return found[:, 10:]

    side_by_side("GPT-2 shape", ours, context, horizon, "generate", generate, before)


def endless_alone(contexts: int, horizon: int, by: str) -> list[dict[str, Value]]:
    """What `beside_generate` finds of endless rows, to be called in a process of its own."""
    global clock
    clock = CLOCKS[by]
    torch.set_num_threads(1)
    beside_generate(contexts, horizon, stopping=False, before="nothing")
    return rows


def beside_plain_loop(contexts: int, horizon: int, stopping: bool) -> None:
    """The same LSTM through a plain loop and here."""
    torch.manual_seed(0)
    model = Recurrent(2_000, 1_999, 128, cell="lstm").eval()
    model.embedding.weight.data *= 4
    bias = cast(Tensor, model.bias)
    context = torch.randint(0, 1_999, (contexts, 10), generator=torch.Generator().manual_seed(1))

    def lifted() -> Iterator[Recurrent]:
        for lift in np.arange(0.0, 4.0, 0.1):
            bias.data[-1] = float(lift)
            yield model

    if stopping:
        mostly_stopping(lifted(), context)
    else:
        bias.data[-1] = -50.0

    @torch.no_grad()
    def plain() -> Tensor:
        """What one writes first: all rows to the last, finished ones padded."""
        _, state = model.network(model.embedding(context))
        top, out = state[0][-1], []
        running = torch.ones(contexts, dtype=torch.bool)
        for _ in range(horizon):
            token = (top @ model.embedding.weight.T + model.bias).argmax(dim=1)
            token = torch.where(running, token, torch.tensor(model.eos))
            out.append(token)
            running = running & (token != model.eos)
            if not bool(running.any()):
                break
            hidden, state = model.network(model.embedding(token[:, None]), state)
            top = hidden[:, -1]
        return torch.stack(out, dim=1)

    side_by_side("LSTM 2 x 128", model, context, horizon, "plain loop", plain)


def solve_beside_simulation(draws: int = 20_000, horizon: int = 500) -> None:
    """Termination of a bigram: solved, and simulated."""
    law = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(300, 0.05), size=300))
    model, begin = Markov(law, 299), torch.zeros(1, 1, dtype=torch.int64)
    (chain, solved), solving = timed(
        lambda: (found := decoded_chain(model, TopK(2), begin), float(termination(found)[0]))
    )
    within = 1 - float(survival(chain, chain.law(begin), horizon)[-1])
    crowd = begin.expand(draws, 1)
    out, drawing = timed(
        lambda: decode(model, crowd, TopK(2), horizon, generator=torch.Generator().manual_seed(0), tail=1)
    )
    share = float(out.stopped.double().mean())
    error = math.sqrt(max(share * (1 - share), 1e-12) / draws)
    print(
        f"bigram of 300 words, top-2: exact {solved:.6f} (within {horizon} words {within:.6f}) in {1000 * solving:.1f} ms; "
        f"simulation {share:.4f} ± {error:.4f} in {drawing:.2f} s. At equal standard error the simulation never gets there "
        f"(the solve has none but rounding); for ± 0.0001 it needs {drawing * (error / 1e-4) ** 2:,.0f} s"
    )


def memory(horizons: tuple[int, int] = (200, 2_000)) -> None:
    """Peak memory of tensors in recurrent decoding at two horizons."""
    torch.manual_seed(0)
    model = Recurrent(200, 199, 32).eval()
    bias = cast(Tensor, model.bias)
    bias.data[-1] = -50.0
    context = torch.zeros(16, 5, dtype=torch.int64)
    held = [peak_bytes(partial(decode, model, context, Greedy(), L, tail=64)) for L in horizons]
    print(f"peak bytes in tensors at L = {horizons}: {held}")


def main() -> None:
    """Run the parts asked for."""
    global clock, rows
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contexts", type=int, default=1_000)
    parser.add_argument("--horizon", type=int, default=1_500)
    parser.add_argument("--only", choices=("lstm", "solve", "memory", "gpt2"), help="one part")
    parser.add_argument("--rows", choices=("stopping", "endless"), help="one kind of rows")
    parser.add_argument("--brief", action="store_true", help="the transformers to 400 tokens only")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    add_options(parser)
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.contexts, arguments.horizon = 8, 20
    torch.set_num_threads(1)
    clock = CLOCKS[arguments.clock]
    first = "nothing" if arguments.only and arguments.rows else "other parts"
    kinds = [kind == "stopping" for kind in ("stopping", "endless") if arguments.rows in (None, kind)]
    for stopping in kinds:
        if arguments.only in (None, "lstm"):
            beside_plain_loop(arguments.contexts, arguments.horizon, stopping)
        if arguments.only in (None, "gpt2"):
            beside_generate(
                arguments.contexts,
                min(400, arguments.horizon) if arguments.brief else arguments.horizon,
                stopping,
                first,
            )
    if (
        arguments.only is None
        and arguments.rows in (None, "endless")
        and not (arguments.brief or arguments.tiny)
    ):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            rows += alone.submit(
                endless_alone, arguments.contexts, arguments.horizon, arguments.clock
            ).result()
    if arguments.only in (None, "solve"):
        solve_beside_simulation(*((50, 20) if arguments.tiny else ()))
    if arguments.only in (None, "memory"):
        memory(*(((10, 20),) if arguments.tiny else ()))
    if arguments.record:
        print(f"recorded in {record('decoding', rows)}")


if __name__ == "__main__":
    main()
