"""Logits of a large vocabulary in pieces: the whole's numbers and gradients, and never the whole's memory."""

from __future__ import annotations

import pytest
import torch

from geor1.capacity.simulate import LiveBytes
from geor1.grpo import prefix
from geor1.models.tiny import build_model, build_tokenizer
from geor1.sft.run import score_labels_only_on_cpu

VOCABULARY, TOKENS, HIDDEN, TEMPERATURE = 50_000, 96, 32, 0.7


def scored(chunk_tokens: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Log probabilities, entropies, and gradients of a weighted sum, with the logits of so many tokens at a time."""
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
    with torch.no_grad():
        head.weight.normal_(generator=generator)
    hidden = torch.randn(TOKENS, HIDDEN, generator=generator, requires_grad=True)
    tokens = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    weights = torch.randn(TOKENS, generator=generator)
    head.weight.grad = torch.zeros_like(head.weight)
    with LiveBytes([head.weight, head.weight.grad, hidden]) as counted:
        log_probs, entropies = prefix._score(head, hidden, tokens, TEMPERATURE, True, chunk_tokens)
        (log_probs * weights).sum().backward()
    assert entropies is not None
    return {
        "log_probs": log_probs.detach(), "entropies": entropies, "hidden": hidden.grad, "head": head.weight.grad,
        "peak": torch.tensor(float(counted.peak)),
    }  # fmt: skip


@pytest.mark.parametrize("chunk_tokens", [1, 7, 32, 95])
def test_pieces_give_the_whole_s_numbers(chunk_tokens: int) -> None:
    whole, pieces = scored(TOKENS), scored(chunk_tokens)
    for name in ("log_probs", "entropies", "hidden", "head"):
        scale = max(1.0, float(whole[name].abs().max()))
        assert float((whole[name] - pieces[name]).abs().max()) <= 1e-5 * scale, name


def test_by_hand() -> None:
    whole = scored(TOKENS)
    generator = torch.Generator().manual_seed(0)
    weight = torch.empty(VOCABULARY, HIDDEN).normal_(generator=generator)
    hidden = torch.randn(TOKENS, HIDDEN, generator=generator)
    tokens = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    shares = ((hidden @ weight.T).double() / TEMPERATURE).softmax(-1)
    chosen = shares[torch.arange(TOKENS), tokens].log()
    assert torch.allclose(whole["log_probs"].double(), chosen, atol=1e-5)
    assert torch.allclose(whole["entropies"].double(), torch.special.entr(shares).sum(-1), atol=1e-5)


def test_no_piece_holds_the_logits_of_all_tokens() -> None:
    logits = 4.0 * TOKENS * VOCABULARY
    head = 4.0 * VOCABULARY * HIDDEN  # the head's gradient, before it joins what is there already
    assert float(scored(TOKENS)["peak"]) > 2 * logits
    for chunk_tokens in (4, 16):
        piece = 4.0 * chunk_tokens * VOCABULARY
        assert float(scored(chunk_tokens)["peak"]) < 3 * piece + head + logits / 50


def test_supervised_fine_tuning_makes_no_whole_logits_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL's own tiles of tokens by vocabulary; held here, since stage 02 relies on them."""
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    monkeypatch.setattr(chunked_logprob, "TOKEN_CHUNK_SIZE", 64)  # its own are for gigabytes
    monkeypatch.setattr(utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 4096)
    monkeypatch.setattr(utils, "_use_triton", utils._use_triton)
    score_labels_only_on_cpu()
    model = build_model(build_tokenizer(["a"]), hidden=HIDDEN, heads=1, key_value_heads=1, vocabulary=VOCABULARY)
    utils.add_fused_lm_head(model, outputs=("log_probs",))
    ids = torch.randint(20, (4, 200), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :100] = -100
    logits = 4.0 * 400 * VOCABULARY
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    held = [*model.parameters(), *(parameter.grad for parameter in model.parameters())]
    with LiveBytes(held) as counted:
        model(input_ids=ids, labels=labels, fused_lm_head=True).loss.backward()
    assert counted.peak < logits
