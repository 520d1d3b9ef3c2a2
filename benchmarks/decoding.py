"""Decoding beside its peers: same model, same contexts, same tokens, in one run.

    python benchmarks/decoding.py [--contexts 1000] [--horizon 1500]

1. The same small GPT-2 through transformers' generate and through this package (tokens compared one by one).
2. The same LSTM through a plain PyTorch loop (no compaction, no early leave) and through this package.
3. Termination of a bigram under top-2: the linear solve against simulation to the same standard error.
4. Peak memory of recurrent decoding at two horizons.

One thread. The weights are random; <eos> is lifted until nine contexts in ten stop within 100 tokens. Trained models leave fewer
running; compaction is what makes the difference, and the more contexts stop the larger it is.
"""

import argparse
import math
import time
import tracemalloc

import numpy as np
import torch
import transformers

from kexue.decoding.decode import decode
from kexue.decoding.exact import decoded_chain, survival, termination
from kexue.decoding.huggingface import from_gpt2
from kexue.decoding.ngram import Markov
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.rules import Greedy, TopK


def timed(work):
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def beside_generate(contexts, horizon):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=500,
        n_positions=horizon + 16,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=499,
        initializer_range=0.3,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    context = torch.randint(0, 499, (contexts, 10), generator=torch.Generator().manual_seed(1))
    for factor in (1.5, 2.0, 3.0, 4.0, 6.0, 8.0):
        with torch.no_grad():
            theirs.transformer.wte.weight[499] = (
                factor * torch.randn(32, generator=torch.Generator().manual_seed(2)) * 0.3
            )
        ours = from_gpt2(theirs)
        if bool(decode(ours, context[:100], Greedy(), 100).stopped.double().mean() > 0.9):
            break
    mine, quick = timed(lambda: decode(ours, context, Greedy(), horizon))
    ask = {"max_new_tokens": horizon, "do_sample": False, "pad_token_id": 499}
    with torch.no_grad():
        peer, slow = timed(
            lambda: theirs.generate(context, attention_mask=torch.ones_like(context), **ask)[:, 10:]
        )
    width = min(mine.tokens.shape[1], peer.shape[1])
    same = (mine.tokens[:, :width] == peer[:, :width]).all(dim=1)
    tokens = int(mine.lengths.sum())
    print(
        f"GPT-2 shape, greedy, {contexts} contexts, L = {horizon}: {tokens:,} tokens, r = {1 - float(mine.stopped.double().mean()):.3f}; "
        f"generate {tokens / slow:,.0f} tokens/s ({slow:.1f} s), here {tokens / quick:,.0f} ({quick:.1f} s): {slow / quick:.1f} times; "
        f"same tokens in {int(same.sum())} of {contexts}"
    )


def beside_plain_loop(contexts, horizon):
    torch.manual_seed(0)
    model = Recurrent(2_000, 1_999, 128, cell="lstm").eval()
    model.embedding.weight.data *= 4
    context = torch.randint(0, 1_999, (contexts, 10), generator=torch.Generator().manual_seed(1))
    for lift in np.arange(0.0, 4.0, 0.1):
        model.bias.data[-1] = float(lift)
        if bool(decode(model, context[:100], Greedy(), 100).stopped.double().mean() > 0.9):
            break

    @torch.no_grad()
    def plain():
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

    mine, quick = timed(lambda: decode(model, context, Greedy(), horizon))
    peer, slow = timed(plain)
    tokens = int(mine.lengths.sum())
    same = (mine.tokens == peer[:, : mine.tokens.shape[1]]).all(dim=1)
    print(
        f"LSTM 2 x 128, greedy, {contexts} contexts, L = {horizon}: {tokens:,} tokens, r = {1 - float(mine.stopped.double().mean()):.3f}; "
        f"plain loop {tokens / slow:,.0f} tokens/s ({slow:.1f} s), here {tokens / quick:,.0f} ({quick:.1f} s): {slow / quick:.1f} times; "
        f"same tokens in {int(same.sum())} of {contexts}"
    )


def solve_beside_simulation(target=1e-3):
    law = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(300, 0.05), size=300))
    model = Markov(law, 299)
    begin = torch.zeros(1, dtype=torch.int64)
    (chain, stop), solving = timed(lambda: decoded_chain(model, TopK(2), begin))
    exact, more = timed(lambda: float(termination(chain, stop)[0]))
    at_horizon = 1 - float(survival(chain, np.eye(300)[0], 500)[-1])
    crowd = torch.zeros(20_000, 1, dtype=torch.int64)
    out, drawing = timed(
        lambda: decode(model, crowd, TopK(2), 500, generator=torch.Generator().manual_seed(0), tail=1)
    )
    share = float(out.stopped.double().mean())
    error = math.sqrt(max(share * (1 - share), 1e-12) / len(crowd))
    print(
        f"bigram of 300 words, top-2: exact {exact:.6f} (within 500 words {at_horizon:.6f}) in {1000 * (solving + more):.1f} ms; simulation {share:.4f} ± {error:.4f} in {drawing:.2f} s, "
        f"so {drawing * (error / target) ** 2:.2f} s for a standard error of {target}"
    )


def memory(horizons=(1_000, 10_000)):
    torch.manual_seed(0)
    model = Recurrent(200, 199, 32).eval()
    model.bias.data[-1] = -50.0
    context = torch.zeros(16, 5, dtype=torch.int64)
    live = []
    for horizon in horizons:
        tracemalloc.start()
        decode(model, context, Greedy(), horizon, tail=64)
        live.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    tensors = 16 * 64 * 8
    print(f"peak Python memory at L = {horizons}: {live} bytes; tensors kept: {tensors} bytes at either")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contexts", type=int, default=1_000)
    parser.add_argument("--horizon", type=int, default=1_500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    beside_plain_loop(arguments.contexts, arguments.horizon)
    solve_beside_simulation()
    memory()
    beside_generate(arguments.contexts, arguments.horizon)
